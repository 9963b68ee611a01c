"""Rows of tokens for log-likelihoods: requests with the same forward pass share a row, parts of a text are joined."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from harness.engines.interface import Cost, PerplexityRequest, ScoreRequest, ScoreResponse
from harness.engines.windows import score_inputs, windows

Tokens = tuple[int, ...]


@dataclass
class ScoringRow:
    """A row of input tokens, and the continuations whose log-likelihoods it gives.

    Attributes:
        tokens: Input tokens.
        targets: (part, continuation): tokens to score after the last `len(continuation)` positions of the row, of equal
            length for all. Parts are numbered by the batch.
        is_recorded: Whether the responses to all of them are recorded; then the row only fills its place in a batch.
    """

    tokens: Tokens
    targets: list[tuple[int, Tokens]]
    is_recorded: bool = True

    @property
    def scored(self) -> int:
        """Number of positions at the end of the row whose next token is scored."""
        return len(self.targets[0][1])


@dataclass(frozen=True)
class PartScore:
    """Log-likelihood of one continuation of a row.

    Attributes:
        part: Its number, as in `ScoringRow.targets`.
        logprobs: Log-probability of each token in nats; an array of float32.
        greedy: Whether each token was the most likely one.
        cost: Time and memory.
    """

    part: int
    logprobs: array[float]
    greedy: bool
    cost: Cost


class ScoringBatch:
    """The rows of some requests, and the responses once all their parts are scored.

    Continuations that differ only in their last token, as labels do, share a row; a row longer than the window loses
    its start.

    Args:
        requests: Requests of one model.
        max_length: The window in tokens.
        recorded: Numbers of the requests with a recorded response.
    """

    def __init__(
        self, requests: Sequence[ScoreRequest | PerplexityRequest], max_length: int, recorded: Collection[int] = ()
    ) -> None:
        rows: dict[tuple[Tokens, int], ScoringRow] = {}
        self._request_of_part: list[int] = []
        self._missing = [0] * len(requests)
        self._scores: list[list[PartScore]] = [[] for _ in requests]
        self._recorded = frozenset(recorded)
        for number, request in enumerate(requests):
            for window in windows(request, max_length):
                tokens, continuation = score_inputs(window, max_length)
                row = rows.setdefault((tokens, len(continuation)), ScoringRow(tokens, []))
                row.targets.append((len(self._request_of_part), continuation))
                row.is_recorded = row.is_recorded and number in self._recorded
                self._request_of_part.append(number)
                self._missing[number] += 1
        self.rows = list(rows.values())

    def complete(self, score: PartScore) -> tuple[int, ScoreResponse] | None:
        """(number of the request, response) with the last part of a request; None before, and for recorded ones."""
        number = self._request_of_part[score.part]
        if number in self._recorded:
            return None
        scores = self._scores[number]
        scores.append(score)
        if len(scores) < self._missing[number]:
            return None
        self._scores[number] = []
        scores.sort(key=lambda score: score.part)  # windows are numbered in their order and scored in any
        cost = replace(
            scores[0].cost,
            seconds=math.fsum(score.cost.seconds for score in scores),
            latency=math.fsum(score.cost.latency for score in scores),
            peak_memory=max(score.cost.peak_memory for score in scores),
        )
        logprobs = array("f", itertools.chain.from_iterable(score.logprobs for score in scores))
        return number, ScoreResponse(logprobs, all(score.greedy for score in scores), cost)
