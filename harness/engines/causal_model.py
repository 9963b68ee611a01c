"""A loaded causal language model as scoring uses it: passes over rows of tokens, and only the logits asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

from harness.engines.attention import use_own_attention
from harness.engines.key_values import Recorded, Slots
from harness.engines.windows import model_window
from training.models.device import device_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.engines.rows import Tokens
    from training.models.device import Device

_PADDING = 16  # a batch may hold this part of the budget in padding, about what a pass more would cost
_Item = TypeVar("_Item")


class CausalModel:
    """See above.

    Attributes:
        model: transformers' own, in evaluation mode.
        hardware: What it computes on; `device` is PyTorch's object for that.
        max_length: Its window in tokens.
        shares: Whether rows can go on from tokens of an earlier pass; else `attend` does not fit this model.
        token_bytes: Memory of one token's keys and values.
        logit_rows: How many rows of float32 logits are held at once.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, device: Device | None = None
    ) -> None:
        self.model = model
        self.hardware = device or device_of(model.device)
        self.device = model.device
        self.max_length = model_window(model.config, tokenizer)
        self.shares = use_own_attention(model, self.hardware)
        words = int(model.get_output_embeddings().weight.shape[0])
        self.token_bytes = _key_value_bytes(model)
        self.logit_rows = max(1, self.hardware.logit_bytes // (4 * words))

    def states(
        self, rows: Sequence[Tokens], before: Recorded | None = None, of: Sequence[int] = (), *, keep: bool = False
    ) -> tuple[torch.Tensor, Recorded | None]:
        """Last hidden states, [rows, longest row, width], padded on the right; and keys and values if `keep`.

        Args:
            rows: Token ids.
            before: What an earlier pass kept, from which the rows go on.
            of: The row of that pass that each row goes on from.
            keep: Whether later passes go on from these rows.
        """
        longest = max(map(len, rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        valid = torch.zeros(len(rows), longest, dtype=torch.bool)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            valid[number, : len(row)] = True
        ids, valid = ids.to(self.device), valid.to(self.device)
        if not self.shares:
            return self.model.base_model(ids, attention_mask=valid.long(), use_cache=False).last_hidden_state, None
        if before is None and not keep:
            return self.model.base_model(ids, use_cache=False).last_hidden_state, None
        kept = Recorded(valid, before, of)
        output = self.model.base_model(
            ids,
            attention_mask=kept.mask(longest),
            position_ids=kept.positions(longest),
            past_key_values=kept,
            use_cache=True,
        )
        return output.last_hidden_state, kept

    def next_logits(self, tokens: torch.Tensor, positions: torch.Tensor, slots: Slots, length: int) -> torch.Tensor:
        """Logits after one new token of each row, [rows, words], in the model's dtype.

        Args:
            tokens: The new tokens, [rows].
            positions: Their positions, [rows].
            slots: Where earlier tokens are; the new ones are added.
            length: More than the last position, at most the slots' tokens.
        """
        output = self.model.base_model(
            tokens[:, None],
            attention_mask=slots.step(positions, length),
            position_ids=positions[:, None],
            past_key_values=slots,
            use_cache=True,
        )
        return self.logits(output.last_hidden_state[:, -1])

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, scaled and capped as the model's own forward does."""
        config = self.model.config.get_text_config()
        logits: torch.Tensor = self.model.get_output_embeddings()(states)
        if scale := getattr(config, "logit_scale", None):
            logits = logits * scale
        if scale := getattr(config, "logits_scaling", None):
            logits = logits / scale
        cap = getattr(config, "final_logit_softcapping", None)
        return logits if cap is None else cap * (logits / cap).tanh()


def _key_value_bytes(model: PreTrainedModel) -> int:
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


class Budget:
    """How many tokens are computed at once; halved for good when memory runs out.

    Attributes:
        tokens: Rows times longest row.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def batches(self, items: Sequence[_Item], length: Callable[[_Item], int]) -> Iterator[list[_Item]]:
        """The items sorted by length, longest first, in batches within the budget; asked anew for every batch."""
        left = sorted(items, key=length, reverse=True)
        while left:
            batch = self.first(left, length)
            yield batch
            left = left[len(batch) :]

    def first(self, items: Sequence[_Item], length: Callable[[_Item], int]) -> list[_Item]:
        """The first batch of items sorted by length: one at least, and none that is mostly padding."""
        longest = length(items[0])
        padding = 0
        for count, item in enumerate(items[: max(1, self.tokens // longest)]):
            padding += longest - length(item)
            if padding > self.tokens // _PADDING:
                return list(items[:count])
        return list(items[: max(1, self.tokens // longest)])

    def halve(self, used: int) -> None:
        """Take half of what did not fit."""
        self.tokens = max(1, min(self.tokens, used) // 2)
