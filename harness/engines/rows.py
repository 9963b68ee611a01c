"""Rows of tokens to feed for log-likelihoods: requests that need the same pass share one, texts are put together."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from harness.engines.interface import Cost, PerplexityRequest, ScoreAnswer, ScoreRequest
from harness.engines.windows import fed, windows

Tokens = tuple[int, ...]


@dataclass
class Row:
    """A row of tokens to feed, and what is asked about its end.

    Attributes:
        tokens: All that is fed.
        wanted: Continuations by whom they are for: the tokens after the last `len(continuation)` places of the row, of
            the same number for all.
        is_known: Whether the answers to all of them are known; then the row only fills its place in a batch.
    """

    tokens: Tokens
    wanted: list[tuple[int, Tokens]]
    is_known: bool = True

    @property
    def scored(self) -> int:
        """Places at the end of the row whose next token is looked at."""
        return len(self.wanted[0][1])


@dataclass(frozen=True)
class Found:
    """The answer to one continuation of a row.

    Attributes:
        owner: Whom it is for, as in `Row.wanted`.
        logprobs: Log-probability of each token in nats; an array of float32.
        greedy: Whether each token was the most likely one.
        cost: What it took.
    """

    owner: int
    logprobs: array[float]
    greedy: bool
    cost: Cost


class Gathered:
    """The rows of some requests, and their answers once those of all their rows are there.

    Continuations that differ only in their last token, as labels do, share a row; a row that is longer than the window
    loses its start.

    Args:
        requests: What is asked.
        max_length: The window in tokens.
        known: Numbers of the requests whose answers are known already.
    """

    def __init__(
        self, requests: Sequence[ScoreRequest | PerplexityRequest], max_length: int, known: Collection[int] = ()
    ) -> None:
        rows: dict[tuple[Tokens, int], Row] = {}
        self._owners: list[int] = []
        self._missing = [0] * len(requests)
        self._parts: list[list[Found]] = [[] for _ in requests]
        self._known = frozenset(known)
        for number, request in enumerate(requests):
            for part in windows(request, max_length):
                tokens, continuation = fed(part, max_length)
                row = rows.setdefault((tokens, len(continuation)), Row(tokens, []))
                row.wanted.append((len(self._owners), continuation))
                row.is_known = row.is_known and number in self._known
                self._owners.append(number)
                self._missing[number] += 1
        self.rows = list(rows.values())

    def take(self, found: Found) -> tuple[int, ScoreAnswer] | None:
        """(number of the request, its answer) once its last row is answered; None for one that is known."""
        number = self._owners[found.owner]
        if number in self._known:
            return None
        parts = self._parts[number]
        parts.append(found)
        if len(parts) < self._missing[number]:
            return None
        self._parts[number] = []
        parts.sort(key=lambda part: part.owner)  # windows are numbered in their order and answered in any
        cost = replace(
            parts[0].cost,
            seconds=math.fsum(part.cost.seconds for part in parts),
            latency=math.fsum(part.cost.latency for part in parts),
            peak_memory=max(part.cost.peak_memory for part in parts),
        )
        logprobs = array("f", itertools.chain.from_iterable(part.logprobs for part in parts))
        return number, ScoreAnswer(logprobs, all(part.greedy for part in parts), cost)
