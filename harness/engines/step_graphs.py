"""One decoding step: as it is on a CPU, replayed from CUDA graphs on a GPU, where launching it takes longer than it."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import torch

from harness.engines.causal_model import CausalModel
from harness.engines.key_values import Slots
from training.machine_failures import is_out_of_memory

_log = logging.getLogger("medbench.decoding")
_FIRST_USES = 2  # steps of a shape before it is recorded: few would not pay, and the first ones warm up
_FEWEST_ROWS = 8
_LENGTH_STEP = 64  # tokens


class StepGraphs:
    """Makes steps whose shapes repeat cheap.

    A graph reads and writes the same memory at every replay: weights and slots may change in place, not move.
    """

    def __init__(self, model: CausalModel) -> None:
        self._model = model
        self._on = model.hardware.supports_graphs
        self._uses: Counter[tuple[int, int]] = Counter()
        self._graphs: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        self._pool: Any = None

    def rows(self, needed: int, most: int) -> int:
        """How many rows a step computes where `needed` are: on a GPU a power of two, so that few shapes occur."""
        return min(most, max(_FEWEST_ROWS, 1 << (needed - 1).bit_length())) if self._on else needed

    def length(self, needed: int) -> int:
        """How many tokens of each row a step looks at where `needed` are."""
        return -(-needed // _LENGTH_STEP) * _LENGTH_STEP if self._on else needed

    def logits(self, tokens: torch.Tensor, positions: torch.Tensor, slots: Slots, length: int) -> torch.Tensor:
        """As `CausalModel.next_logits`; on a GPU valid until the next call.

        `tokens` and `positions` must be the same memory, from its start, at every call.
        """
        key = (len(tokens), length)
        self._uses[key] += 1
        if not self._on or self._uses[key] <= _FIRST_USES:
            return self._model.next_logits(tokens, positions, slots, length)
        if key not in self._graphs:
            try:
                self._graphs[key] = self._record(tokens, positions, slots, length)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                _log.warning("this model's steps cannot be recorded as CUDA graphs: %s", error)
                self.clear()
                self._on = False
                return self._model.next_logits(tokens, positions, slots, length)
        graph, logits = self._graphs[key]
        graph.replay()
        return logits

    def clear(self) -> None:
        """Forget the graphs, because memory that they use is given back."""
        self._graphs.clear()
        self._uses.clear()
        self._pool = None

    def _record(
        self, tokens: torch.Tensor, positions: torch.Tensor, slots: Slots, length: int
    ) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            logits = self._model.next_logits(tokens, positions, slots, length)
        return graph, logits
