"""The engine interface: whoever answers requests for one base and its adapters implements `Engine`."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.planning.run_plan import Plan
    from tasks.answers import FinishReason


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """How likely is `continuation` after `context`? Both are token ids; neither is empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PerplexityRequest:
    """How likely is a whole text, in windows of the model's length whose scored parts do not overlap?

    Attributes:
        tokens: Its token ids, all of them scored.
        start: The token that stands before the first.
    """

    tokens: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Continue `prompt` (token ids) until an end token, a stop string, or `max_new_tokens`.

    `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 leave all tokens in. A sampled answer depends on its own seed,
    not on what else is answered.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


Request = ScoreRequest | PerplexityRequest | GenerateRequest
Asked = tuple[str, Request]  # the name of the model that is asked, and what


@dataclass(frozen=True, slots=True)
class Cost:
    """What one answer took.

    Attributes:
        seconds: Its share of the time that the batches took which it was in.
        latency: Seconds from when its first batch began until it was answered.
        peak_memory: Highest memory in bytes while it was in work: allocated on a GPU, resident on a CPU.
        reused: Whether the answer was given in an earlier run; then that took it.
    """

    seconds: float
    latency: float
    peak_memory: int
    reused: bool = False


@dataclass(frozen=True, slots=True)
class ScoreAnswer:
    """How likely a continuation is.

    Attributes:
        logprobs: Log-probability in nats of each token of the continuation in order, from a float32 softmax; an array
            of float32.
        greedy: Whether every token was the most likely one.
        cost: What the answer took.
    """

    logprobs: array[float]
    greedy: bool
    cost: Cost

    @property
    def logprob(self) -> float:
        """Log-likelihood of the whole continuation in nats: the exact sum of `logprobs`."""
        return math.fsum(self.logprobs)


@dataclass(frozen=True, slots=True)
class GenerateAnswer:
    """The text without end token and stop string, and how it came about."""

    text: str
    tokens: tuple[int, ...] = field(repr=False)
    finish_reason: FinishReason
    cost: Cost


Answer = ScoreAnswer | GenerateAnswer
NONE_KNOWN: Mapping[int, Answer] = {}


@dataclass(frozen=True)
class Start:
    """What an engine is started with.

    Attributes:
        plan: What is scored, by which recipe, on which device.
        load: Loads the base, in evaluation mode on its device.
        tokenizer: The base's.
        folders: Adapter folders by name.
        asked: What it will be asked.
    """

    plan: Plan
    load: Callable[[], PreTrainedModel]
    tokenizer: PreTrainedTokenizerBase
    folders: Mapping[str, Path]
    asked: Iterable[Asked]


class Engine(Protocol):
    """Holds one base and its adapters, and answers for all of them.

    Attributes:
        name: As in `harness.engines.kinds`.
        tokenizer: The base's.
        max_length: Longest row in tokens; what is longer loses its start.
        setup: How it was set up, for the report: seconds to start, and settings that it chose itself.
    """

    name: str
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    setup: dict[str, str | float]

    def answer(self, asked: Sequence[Asked], known: Mapping[int, Answer] = NONE_KNOWN) -> Iterator[tuple[int, Answer]]:
        """(place in `asked`, answer) of every request that is not known, as soon as it is there, in any order.

        Known answers take their place in the batches all the same, and only batches with nothing else are left out: so
        answers given after an interruption are, to the bit, those that they would have been without it (not with vLLM,
        which makes its batches itself).

        Args:
            asked: All requests, those with known answers among them.
            known: Answers given earlier, by place.
        """
        ...

    def close(self) -> None:
        """Give the memory back; the engine answers no more."""
        ...
