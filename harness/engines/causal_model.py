"""A loaded causal language model as scoring uses it: passes over rows of tokens, and only the requested logits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from harness.engines.attention import use_own_attention
from harness.engines.fused_decoder import FusedDecoder, fits
from harness.engines.generation_mode import generation_mode
from harness.engines.key_values import PrefixKVCache, SlotKVCache
from harness.engines.packed_weights import Products
from harness.engines.windows import model_window
from reports.errors import UserError, is_failure
from training.machine_failures import is_out_of_memory
from training.models.device import device_of
from training.models.probes import agree, is_causal, own_logprobs, probe_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.engines.rows import Tokens
    from training.models.device import Device

_log = logging.getLogger("medbench.scoring")
_PADDING = 16  # largest share of the budget that is padding is 1 / 16, about the cost of another pass
_Item = TypeVar("_Item")


@dataclass
class EngineStats:
    """What a model has computed so far.

    Attributes:
        shares_prefixes: Whether rows can continue tokens of an earlier pass; else `attend` does not fit this model.
        passes: Forward passes over rows, decoding steps not included.
        tokens: Tokens of these passes, padding included.
        logits: Positions whose logits were computed.
        decoded: Rows of all decoding steps; steps that are replayed from CUDA graphs are not counted.
    """

    shares_prefixes: bool
    passes: int = 0
    tokens: int = 0
    logits: int = 0
    decoded: int = 0


class CausalModel:
    """A transformers model with its own attention where that computes the same.

    Attributes:
        model: transformers' own, in evaluation mode.
        hardware: What it computes on; `device` is PyTorch's object for that.
        max_length: Its window in tokens.
        token_bytes: Memory of one token's keys and values.
        logit_rows: Rows of float32 logits held at once.
        stats: What it has computed so far.
        fused: Computes in its stead, where it is built like Llama and the adapter in place allows it.
        generation_mode: How its own forward can generate, where `stats.shares_prefixes` is not set.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, device: Device | None = None
    ) -> None:
        self.model = model
        # Without the layer that makes logits; Llama 4's `base_model` is of another class.
        self._decoder = model.base_model if model.base_model is not model else getattr(model, "model", model)
        self.hardware = device or device_of(model.device)
        self.device = model.device
        self.max_length = model_window(model.config, tokenizer)
        self._tokenizer_name = str(tokenizer.name_or_path)
        vocab_size = int(model.get_output_embeddings().weight.shape[0])
        self.logit_rows = max(1, self.hardware.logit_bytes // (4 * vocab_size))
        self._products = Products(model)
        self.fused: FusedDecoder | None = None
        self._check(tokenizer)
        self.token_bytes = _key_value_bytes(model) if self.stats.shares_prefixes else 0

    def _check(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Switch to the own attention if scores stay the same.

        Raises:
            UserError: The model is no causal one, or its logits are not those of its head.
        """
        tokens = tuple(probe_tokens(self.model, tokenizer))[: self.max_length]
        expected = own_logprobs(self.model, tokens)
        kind = type(self.model).__name__
        if not is_causal(self.model, tokens, expected):
            raise UserError(
                f"{kind} is no causal language model: what it predicts depends on later tokens",
                where=self._tokenizer_name,
                fix="give a causal language model; of one for both, set is_decoder=true in its config.json",
            )
        self.stats = EngineStats(use_own_attention(self.model, self.hardware))
        agrees = self._agrees(tokens, expected)
        if self.stats.shares_prefixes and not agrees:
            self.model.set_attn_implementation("sdpa")
            self.stats.shares_prefixes = False
            agrees = self._agrees(tokens, expected)
        if not agrees:
            raise UserError(
                f"{kind} computes its logits otherwise than by its output layer, which this engine does not support",
                where=self._tokenizer_name,
                fix="set scoring.engine=vllm if vLLM supports the model, or report it as an issue of medbench",
            )
        own = self.stats.shares_prefixes
        self.fused = self._all_fused = self._fused(tokens, expected) if own else None
        self.generation_mode = "padded" if own else generation_mode(self.model, tokens, expected)
        self.stats = EngineStats(self.stats.shares_prefixes)

    @torch.inference_mode()
    def _agrees(self, tokens: Tokens, expected: torch.Tensor) -> bool:
        """Whether passes of this class give the expected log-probabilities."""
        if self._decoder is self.model:
            return False
        logits = self.logits(self.states([tokens])[0][0])
        return agree(self.model, logits.float().log_softmax(-1), expected)

    def _fused(self, tokens: Tokens, expected: torch.Tensor) -> FusedDecoder | None:
        """The fused decoder, if it runs on this device and predicts what the model does."""
        if len(tokens) < 2 or not fits(self._decoder):  # noqa: PLR2004 - one for the slot, one for a step
            return None
        self.fused = FusedDecoder(self._decoder, self._products)
        try:
            agrees = self._steps_agree(tokens, expected) and self._agrees(tokens, expected)
        except BaseException as error:  # whatever Triton raises where it has no compiler for a GPU
            if not is_failure(error) or is_out_of_memory(error):
                raise
            _log.warning("this model is computed by transformers' layers, since fused ones do not run: %s", error)
            agrees = False
        return self.fused if agrees else None

    @torch.inference_mode()
    def _steps_agree(self, tokens: Tokens, expected: torch.Tensor) -> bool:
        """Whether decoding steps through the second half give the expected log-probabilities."""
        half = len(tokens) // 2
        made = self.states([tokens[:half]], keep=True)[1]
        assert made is not None
        slots = SlotKVCache(1, len(tokens))
        slots.put([0], made)
        places = torch.arange(half, len(tokens), device=self.device)[:, None]
        inputs = torch.tensor(tokens[half:], device=self.device)[:, None]
        steps = zip(inputs, places, strict=True)
        logits = torch.cat([self.next_logits(*step, slots, len(tokens)) for step in steps])
        return agree(self.model, logits.float().log_softmax(-1), expected[half:])

    def adapter_changed(self) -> None:
        """Take notice of other weights or layers in the model."""
        self._products.forget()
        self.fused = self._all_fused if self._all_fused and self._all_fused.computes_adapters() else None

    def states(
        self, rows: Sequence[Tokens], before: PrefixKVCache | None = None, of: Sequence[int] = (), *, keep: bool = False
    ) -> tuple[torch.Tensor, PrefixKVCache | None]:
        """Last hidden states, [rows, longest row, width], padded on the right; and keys and values if `keep`.

        Args:
            rows: Token ids.
            before: Keys and values of an earlier pass that the rows continue.
            of: For each row, the row of that pass that it continues.
            keep: Whether later passes continue these rows.
        """
        longest = max(map(len, rows))
        self.stats.passes += 1
        self.stats.tokens += len(rows) * longest
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        valid = torch.zeros(len(rows), longest, dtype=torch.bool)
        self._check_tokens(max(map(max, rows)))
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            valid[number, : len(row)] = True
        ids, valid = ids.to(self.device), valid.to(self.device)
        if not self.stats.shares_prefixes:
            return self._decoder(ids, attention_mask=valid.long(), use_cache=False).last_hidden_state, None
        kept = PrefixKVCache(valid, before, of) if before is not None or keep else None
        if self.fused is not None:
            return self.fused.rows(ids, kept), kept
        if kept is None:
            return self._decoder(ids, use_cache=False).last_hidden_state, None
        output = self._decoder(
            ids,
            attention_mask=kept.mask(longest),
            position_ids=kept.positions(longest),
            past_key_values=kept,
            use_cache=True,
        )
        return output.last_hidden_state, kept

    def _check_tokens(self, greatest: int) -> None:
        """Check that the model has an embedding for the greatest of some token ids."""
        count = len(self.model.get_input_embeddings().weight)
        if greatest >= count:
            raise UserError(
                f"its tokenizer gives the token {greatest}, but the model has only {count}",
                where=self._tokenizer_name,
                fix="give a model with its own tokenizer, or resize its embeddings to the tokenizer and save both",
            )

    def next_logits(
        self, tokens: torch.Tensor, positions: torch.Tensor, slots: SlotKVCache, length: int
    ) -> torch.Tensor:
        """Logits after one new token of each row, [rows, vocab_size], in the model's dtype.

        Args:
            tokens: The new tokens, [rows].
            positions: Their positions, [rows].
            slots: Earlier tokens; the new ones are added.
            length: Above the last position, at most the slots' tokens.
        """
        self.stats.decoded += len(tokens)
        tokens = tokens.clamp(min=0)  # NO_TOKEN in slots of ended answers
        if self.fused is not None:
            return self.logits(self.fused.step(tokens, positions, slots, length))
        output = self._decoder(
            tokens[:, None],
            attention_mask=slots.step(positions, length),
            position_ids=positions[:, None],
            past_key_values=slots,
            use_cache=True,
        )
        return self.logits(output.last_hidden_state[:, -1])

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, scaled and capped as the model's own forward does."""
        self.stats.logits += states.shape[:-1].numel()
        config = self.model.config.get_text_config()
        logits = self._products.of_layer(self.model.get_output_embeddings(), states)
        if scale := getattr(config, "logit_scale", None):
            logits = logits * scale
        if scale := getattr(config, "logits_scaling", None):
            logits = logits / scale
        cap = getattr(config, "final_logit_softcapping", None) or getattr(config, "logits_soft_cap", None)
        return logits if cap is None else cap * (logits / cap).tanh()


def _key_value_bytes(model: PreTrainedModel) -> int:
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    widths = 2 * width
    if getattr(config, "kv_lora_rank", None):  # DeepSeek's attention keeps what it expands for all heads
        widths = config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim
    return int(config.num_hidden_layers * heads * widths * model.dtype.itemsize)


class Budget:
    """Tokens computed at once; halved for good when memory runs out.

    Attributes:
        tokens: Rows times longest row.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def batches(self, items: Sequence[_Item], length: Callable[[_Item], int]) -> Iterator[list[_Item]]:
        """The items sorted by length, longest first, in batches within the budget as it is when each batch begins."""
        left = sorted(items, key=length, reverse=True)
        while left:
            batch = self.first(left, length)
            yield batch
            left = left[len(batch) :]

    def first(self, items: Sequence[_Item], length: Callable[[_Item], int]) -> list[_Item]:
        """The first batch of items sorted by length: at least one item, and not mostly padding."""
        longest = length(items[0])
        padding = 0
        for count, item in enumerate(items[: max(1, self.tokens // longest)]):
            padding += longest - length(item)
            if padding > self.tokens // _PADDING:
                return list(items[:count])
        return list(items[: max(1, self.tokens // longest)])

    def halve(self, used: int) -> None:
        """Set half of what did not fit."""
        self.tokens = max(1, min(self.tokens, used) // 2)
