"""The engine on transformers: one base in memory, adapters switched on it, requests of all tasks batched by length."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.adapter_switch import AdapterMode, adapter_switch
from harness.engines.answer_text import AnswerEnd, end_tokens
from harness.engines.causal_model import Budget, CausalModel
from harness.engines.decoding import Decoder
from harness.engines.interface import (
    CAPABILITIES,
    Capability,
    GenerateRequest,
    GenerateResponse,
    ModelRequest,
    Request,
    Response,
)
from harness.engines.likelihoods import log_likelihoods
from harness.engines.packed_weights import pack
from harness.engines.padded_decoding import PaddedDecoder
from harness.engines.rows import ScoringBatch
from training.models.device import Device

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TransformersEngine:
    """Responds with a loaded model; see `harness.engines.interface.Engine`.

    Args:
        load: Loads the base, in evaluation mode on its device.
        tokenizer: The base's tokenizer.
        adapters: Adapter folders by name.
        ends: Recognises the end of an answer, by model; those of the base's generation settings for other models.
        device: What the model is on, by the model if None.
        adapter_mode: Whether adapters are merged into the base's weights while they respond.
        batch_tokens: Rows times longest row of a batch; by the device if None, halved for good when memory runs out.
        batch_rows: Rows generated at once; likewise.
        recorded: Returns the response to a request from an earlier run, or None.

    Attributes:
        max_length: Longest row in tokens; longer ones lose their start.
        stats: What it has computed so far.
    """

    capabilities: frozenset[Capability] = CAPABILITIES | {"replay"}

    def __init__(  # noqa: PLR0913 - one for each setting
        self,
        load: Callable[[], PreTrainedModel],
        tokenizer: PreTrainedTokenizerBase,
        adapters: Mapping[str, Path],
        *,
        ends: Mapping[str, AnswerEnd] | None = None,
        device: Device | None = None,
        adapter_mode: AdapterMode = "auto",
        batch_tokens: int | None = None,
        batch_rows: int | None = None,
        recorded: Callable[[ModelRequest], Response | None] = lambda _: None,
    ) -> None:
        started = time.perf_counter()
        (device or Device()).prepare()
        model = load()
        self._recorded = recorded
        pack(model)
        self._switch = adapter_switch(model, adapters, adapter_mode)
        self._model = CausalModel(model, tokenizer, device)
        self.max_length = self._model.max_length
        self.stats = self._model.stats
        device = self._model.hardware
        self._budget = Budget(batch_tokens or device.batch_tokens)
        self._end = AnswerEnd(tokenizer, end_tokens(model.generation_config, tokenizer))
        self._ends = ends or {}
        mode = self._model.generation_mode
        rows = (batch_rows or device.batch_rows) if mode == "padded" else 1
        self._decoder: Decoder | PaddedDecoder = (
            Decoder(self._model, rows, self._budget)
            if self.stats.shares_prefixes
            else PaddedDecoder(model, self.max_length, rows, device, cached=mode != "uncached")
        )
        self.setup: dict[str, str | float] = {
            "engine": "transformers",
            "adapters": self._switch.mode,
            "batch_tokens": self._budget.tokens,
            "batch_rows": rows,
            "start_seconds": round(time.perf_counter() - started, 3),
        }

    @property
    def batch_tokens(self) -> int:
        """Current token budget of a batch."""
        return self._budget.tokens

    def respond(self, requests: Sequence[ModelRequest]) -> Iterator[tuple[int, Response]]:
        """Respond model by model: first all log-likelihoods, then the generations."""
        recorded = [self._recorded(request) for request in requests]
        for name in dict.fromkeys(request.model for request in requests):
            own = [index for index, request in enumerate(requests) if request.model == name]
            if all(recorded[index] is not None for index in own):
                continue
            if self._switch.use(name):
                self._model.adapter_changed()
                if self._switch.mode == "unmerged":
                    self._decoder.forget_weights()
            yield from self._score({index: requests[index].request for index in own}, recorded)
            end = self._ends.get(name, self._end)
            yield from self._generate({index: requests[index].request for index in own}, recorded, end)

    def close(self) -> None:
        """Release the weights."""
        device = self._model.hardware
        del self._model, self._switch, self._decoder
        device.release_memory()

    def _score(self, own: Mapping[int, Request], recorded: Sequence[Response | None]) -> Iterator[tuple[int, Response]]:
        scored = {index: request for index, request in own.items() if not isinstance(request, GenerateRequest)}
        indices = list(scored)
        done = [number for number, index in enumerate(indices) if recorded[index] is not None]
        batch = ScoringBatch(list(scored.values()), self.max_length, done)
        for scores in log_likelihoods(self._model, self._budget, batch.rows):
            if (completed := batch.complete(scores)) is not None:
                yield indices[completed[0]], completed[1]

    def _generate(
        self, own: Mapping[int, Request], recorded: Sequence[Response | None], end: AnswerEnd
    ) -> Iterator[tuple[int, Response]]:
        generated = {index: request for index, request in own.items() if isinstance(request, GenerateRequest)}
        indices = list(generated)
        responses = enumerate(recorded[index] for index in indices)
        done = {number: response for number, response in responses if isinstance(response, GenerateResponse)}
        for number, response in self._decoder.generate(list(generated.values()), done, end):
            yield indices[number], response
