"""The engine on transformers and PEFT: one base in memory, adapters switched on it, batches sorted by length."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.decoding import decode_batch
from harness.engine import BASE, GenerateAnswer, GenerateRequest, Progress, ScoreAnswer, ScoreRequest
from training.loading import quiet_bitsandbytes

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LOGIT_ROWS = 256  # rows of [rows, vocabulary] float32 logits held at once
_DEFAULT_WINDOW = 2048
_Key = tuple[tuple[int, ...], int]  # the tokens fed, and how many of the tokens after them are scored


class TransformersEngine:
    """Scores and generates with a loaded model; see `harness.engine.Engine`.

    Args:
        model: The base, in evaluation mode on its device.
        tokenizer: The base's tokenizer.
        adapters: Adapter folders by name.
        batch_tokens: Rows times longest row of a batch; halved for good when memory runs out.
        batch_rows: Rows generated at once.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        adapters: Mapping[str, Path],
        *,
        batch_tokens: int,
        batch_rows: int,
    ) -> None:
        self.tokenizer = tokenizer
        window = getattr(model.config, "max_position_embeddings", None) or _DEFAULT_WINDOW
        self.max_length = min(int(window), int(tokenizer.model_max_length))
        self._batch_tokens = batch_tokens
        self._batch_rows = batch_rows
        self._adapters = dict(adapters)
        self._model: Any = model if not adapters else _with_adapters(model, self._adapters)
        self._plain = model
        self._ends = _end_tokens(model, tokenizer)

    def score(self, requests: Sequence[ScoreRequest], progress: Progress) -> list[ScoreAnswer]:
        """Log-likelihoods; a row longer than the model's window loses tokens at its start."""
        answers: dict[int, ScoreAnswer] = {}
        for model in dict.fromkeys(request.model for request in requests):
            # Continuations that differ only in the last token, as single-token choices do, share one forward pass.
            groups: dict[_Key, list[int]] = {}
            for index, request in enumerate(requests):
                if request.model == model:
                    groups.setdefault((self._input(request), len(request.continuation)), []).append(index)
            with self._use(model):
                for batch in self._batches(list(groups)):
                    started = time.perf_counter()
                    found = self._score_batch(batch, [[requests[i] for i in groups[key]] for key in batch])
                    indices = [i for key in batch for i in groups[key]]
                    seconds = (time.perf_counter() - started) / len(indices)
                    for index, (logprob, greedy) in zip(indices, found, strict=True):
                        answers[index] = ScoreAnswer(logprob, greedy, seconds)
                    progress(len(indices))
        return [answers[index] for index in range(len(requests))]

    def generate(self, requests: Sequence[GenerateRequest], progress: Progress) -> list[GenerateAnswer]:
        """Generated answers, decoded in batches of similar length from which finished rows are dropped."""
        answers: dict[int, GenerateAnswer] = {}
        for model in dict.fromkeys(request.model for request in requests):
            order = [index for index, request in enumerate(requests) if request.model == model]
            order.sort(key=lambda index: -len(requests[index].prompt))
            with self._use(model):
                while order:
                    batch, order = order[: self._batch_rows], order[self._batch_rows :]
                    decoded = self._decode([requests[index] for index in batch], progress)
                    answers.update(zip(batch, decoded, strict=True))
        return [answers[index] for index in range(len(requests))]

    def _input(self, request: ScoreRequest) -> tuple[int, ...]:
        """What is fed: all but the last token, cut at the start to the model's window."""
        return (*request.context, *request.continuation)[-(self.max_length + 1) : -1]

    def _batches(self, keys: list[_Key]) -> Iterator[list[_Key]]:
        """Inputs sorted by length, longest first, in batches within the token budget."""
        keys = sorted(keys, key=lambda key: (-len(key[0]), key))
        while keys:
            count = max(1, self._batch_tokens // len(keys[0][0]))
            yield keys[:count]
            keys = keys[count:]

    def _score_batch(self, keys: list[_Key], requests: list[list[ScoreRequest]]) -> list[tuple[float, bool]]:
        """One batch; on running out of memory it is halved, and so are all later ones."""
        import torch

        try:
            return self._score_rows(keys, requests)
        except torch.OutOfMemoryError:
            if len(keys) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(keys) // 2
        self._batch_tokens = max(1, half * len(keys[0][0]))
        return self._score_batch(keys[:half], requests[:half]) + self._score_batch(keys[half:], requests[half:])

    def _score_rows(self, keys: list[_Key], requests: list[list[ScoreRequest]]) -> list[tuple[float, bool]]:
        import torch

        with torch.inference_mode():
            hidden = self._hidden([row for row, _ in keys])
            found = []
            for states, (row, length), group in zip(hidden, keys, requests, strict=True):
                kept = states[max(0, len(row) - length) : len(row)]
                found += self._continuations(kept, [request.continuation for request in group])
        return found

    def _hidden(self, rows: list[tuple[int, ...]]) -> torch.Tensor:
        """Last hidden states, shape [rows, longest row, width]; padded on the right, which causal models ignore."""
        import torch

        longest = len(rows[0])
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        device = self._plain.device
        same_length = len(rows[-1]) == longest
        output = self._plain.base_model(
            input_ids=ids.to(device), attention_mask=None if same_length else mask.to(device), use_cache=False
        )
        return output.last_hidden_state  # type: ignore[no-any-return]

    def _continuations(self, states: torch.Tensor, wanted: Sequence[tuple[int, ...]]) -> list[tuple[float, bool]]:
        """(log-likelihood, greedy) of each continuation that follows the same input; `states` is [tokens, width]."""
        import torch

        sums, greedy = [0.0] * len(wanted), [True] * len(wanted)
        targets = torch.tensor(wanted, device=states.device)
        targets = targets[:, -len(states) :]
        for start in range(0, len(states), _LOGIT_ROWS):
            logits = self._logits(states[start : start + _LOGIT_ROWS])
            part = targets[:, start : start + _LOGIT_ROWS]
            picked = logits.gather(1, part.T).T - logits.logsumexp(-1)
            best = logits.argmax(-1)
            for number in range(len(wanted)):
                sums[number] += float(picked[number].sum())
                greedy[number] &= bool((best == part[number]).all())
        return list(zip(sums, greedy, strict=True))

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        """Float32 logits of hidden states, scaled and capped as the model's own forward does."""
        config = self._plain.config.get_text_config()
        logits: torch.Tensor = self._plain.get_output_embeddings()(states).float()
        logits = (
            logits * (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
        )
        cap = getattr(config, "final_logit_softcapping", None)
        return logits if cap is None else cap * (logits / cap).tanh()

    def _decode(self, requests: list[GenerateRequest], progress: Progress) -> list[GenerateAnswer]:
        """One batch of generations; on running out of memory it is halved, and so are all later ones."""
        import torch

        try:
            return decode_batch(self._model, self.tokenizer, requests, self._ends, self.max_length, progress)
        except torch.OutOfMemoryError:
            if len(requests) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(requests) // 2
        self._batch_rows = half
        return self._decode(requests[:half], progress) + self._decode(requests[half:], progress)

    @contextmanager
    def _use(self, name: str) -> Iterator[None]:
        """Answer as the base or as one of the adapters."""
        if name == BASE:
            if not self._adapters:
                yield
                return
            with self._model.disable_adapter():
                yield
            return
        self._model.set_adapter(name, inference_mode=True)
        yield


def _with_adapters(model: PreTrainedModel, adapters: Mapping[str, Path]) -> Any:
    """The model with all adapters loaded in it, none merged; the vocabulary is never resized."""
    with quiet_bitsandbytes():
        from peft import PeftModel

    names = iter(adapters.items())
    first, folder = next(names)
    wrapped = PeftModel.from_pretrained(model, str(folder), adapter_name=first)
    for name, folder in names:
        wrapped.load_adapter(str(folder), adapter_name=name)
    return wrapped.eval()


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """All tokens that end an answer: the tokenizer's and those of the model's generation settings."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (tokenizer.eos_token_id, *several) if token is not None)
