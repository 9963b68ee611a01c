"""The engine on transformers: one base in memory, adapters switched on it, requests of all tasks batched by length."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.engines.adapter_switch import AdapterMode, adapter_switch
from harness.engines.answer_text import AnswerEnd, end_tokens
from harness.engines.causal_model import Budget, CausalModel
from harness.engines.decoding import Decoder
from harness.engines.interface import NONE_KNOWN, Answer, Asked, GenerateAnswer, GenerateRequest, Request
from harness.engines.likelihoods import likelihoods
from harness.engines.padded_decoding import PaddedDecoder
from harness.engines.rows import Gathered
from training.models.device import Device

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class TransformersEngine:
    """Answers with a loaded model; see `harness.engines.interface.Engine`.

    Args:
        load: Loads the base, in evaluation mode on its device.
        tokenizer: The base's tokenizer.
        folders: Adapter folders by name.
        device: What the model is on, by the model if None.
        adapters: Whether they are merged into the base's weights while they answer.
        batch_tokens: Rows times longest row of a batch; by the device if None, halved for good when memory runs out.
        batch_rows: Rows generated at once; likewise.
    """

    name = "transformers"

    def __init__(
        self,
        load: Callable[[], PreTrainedModel],
        tokenizer: PreTrainedTokenizerBase,
        folders: Mapping[str, Path],
        *,
        device: Device | None = None,
        adapters: AdapterMode = "auto",
        batch_tokens: int | None = None,
        batch_rows: int | None = None,
    ) -> None:
        started = time.perf_counter()
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(cpu_threads())
        model = load()
        self.tokenizer = tokenizer
        self._switch = adapter_switch(model, folders, adapters)
        self._model = CausalModel(model, tokenizer, device)
        self.max_length = self._model.max_length
        device = self._model.hardware
        self._budget = Budget(batch_tokens or device.batch_tokens)
        end = AnswerEnd(tokenizer, end_tokens(model.generation_config, tokenizer))
        rows = batch_rows or device.batch_rows
        self._decoder: Decoder | PaddedDecoder = (
            Decoder(self._model, end, rows, self._budget)
            if self._model.shares
            else PaddedDecoder(model, end, self.max_length, rows, device)
        )
        self.setup: dict[str, str | float] = {
            "engine": self.name,
            "adapters": self._switch.mode,
            "batch_tokens": self._budget.tokens,
            "batch_rows": rows,
            "start_seconds": round(time.perf_counter() - started, 3),
        }

    def answer(self, asked: Sequence[Asked], known: Mapping[int, Answer] = NONE_KNOWN) -> Iterator[tuple[int, Answer]]:
        """Answers model by model: first all log-likelihoods of its tasks, then its generations."""
        for name in dict.fromkeys(model for model, _ in asked):
            mine = [(place, request) for place, (model, request) in enumerate(asked) if model == name]
            if all(place in known for place, _ in mine):
                continue
            self._switch.use(name)
            if self._switch.mode == "unmerged":
                self._decoder.forget_weights()
            yield from self._score(mine, known)
            yield from self._generate(mine, known)

    def close(self) -> None:
        """Let go of the weights."""
        device = self._model.hardware
        del self._model, self._switch, self._decoder
        device.release_memory()

    def _score(self, mine: Sequence[tuple[int, Request]], known: Mapping[int, Answer]) -> Iterator[tuple[int, Answer]]:
        asked = [(place, request) for place, request in mine if not isinstance(request, GenerateRequest)]
        done = [number for number, (place, _) in enumerate(asked) if place in known]
        gathered = Gathered([request for _, request in asked], self.max_length, done)
        for found in likelihoods(self._model, self._budget, gathered.rows):
            if (whole := gathered.take(found)) is not None:
                yield asked[whole[0]][0], whole[1]

    def _generate(
        self, mine: Sequence[tuple[int, Request]], known: Mapping[int, Answer]
    ) -> Iterator[tuple[int, Answer]]:
        asked = [(place, request) for place, request in mine if isinstance(request, GenerateRequest)]
        given = [(number, known.get(place)) for number, (place, _) in enumerate(asked)]
        done = {number: answer for number, answer in given if isinstance(answer, GenerateAnswer)}
        for number, answer in self._decoder.answers([request for _, request in asked], done):
            yield asked[number][0], answer


def cpu_threads() -> int:
    """Threads that this process may keep busy: cores it may run on, its container's quota, its share of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such limit
        pass
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
