"""The engine protocol: requests in, responses out, for one base and its adapters."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from harness.engines.answer_text import NO_TOKEN, AnswerEnd

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from harness.planning.run_plan import Plan
    from tasks.answers import FinishReason


class NotFiniteError(Exception):
    """A model gave NaN or infinity instead of an answer; the other models of the run can still be scored.

    Attributes:
        model: Its name.
    """

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Log-likelihood of `continuation` after `context`; token ids, neither is empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PerplexityRequest:
    """Log-likelihood of a whole text, in windows of the model's length whose scored parts do not overlap.

    Attributes:
        tokens: Token ids of the text, all of them scored.
        start: Token before the first.
    """

    tokens: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Continue `prompt` (token ids) until an end token, a stop string, or `max_new_tokens`.

    `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 keep all tokens. A sampled answer depends on its own seed and
    not on other requests.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


Request = ScoreRequest | PerplexityRequest | GenerateRequest


class ModelRequest(NamedTuple):
    """A request to one model: the base or an adapter, by its name in the plan."""

    model: str
    request: Request


@dataclass(frozen=True, slots=True)
class Cost:
    """Time and memory of one response.

    Attributes:
        seconds: Its share of the time of its batches.
        latency: Seconds from the start of its first batch until the response was complete.
        peak_memory: Peak memory in bytes meanwhile: allocated on a GPU, resident on a CPU.
        reused: Whether the response comes from an earlier run, whose cost this is.
    """

    seconds: float
    latency: float
    peak_memory: int
    reused: bool = False


@dataclass(frozen=True, slots=True)
class ScoreResponse:
    """Log-likelihood of a continuation or a text.

    Attributes:
        logprobs: Log-probability in nats of each token in order, from a float32 softmax; an array of float32.
        greedy: Whether every token was the most likely one.
        cost: Time and memory.
    """

    logprobs: array[float]
    greedy: bool
    cost: Cost

    @property
    def logprob(self) -> float:
        """Log-likelihood of the whole continuation in nats: the exact sum of `logprobs`."""
        return math.fsum(self.logprobs)

    @property
    def is_finite(self) -> bool:
        """Whether the model gave numbers, not NaN or infinity."""
        return all(map(math.isfinite, self.logprobs))


@dataclass(frozen=True, slots=True)
class GenerateResponse:
    """Generated text without end token and stop string; `tokens` has them, or NO_TOKEN where the model failed."""

    text: str
    tokens: tuple[int, ...] = field(repr=False)
    finish_reason: FinishReason
    cost: Cost

    @property
    def is_finite(self) -> bool:
        """Whether the model gave numbers, not NaN or infinity."""
        return self.tokens[-1:] != (NO_TOKEN,)


@dataclass(frozen=True)
class AllRequests:
    """All requests of a plan, built again by each iteration over them."""

    build: Callable[[], Iterator[ModelRequest]]

    def __iter__(self) -> Iterator[ModelRequest]:
        """Build them."""
        return self.build()


Response = ScoreResponse | GenerateResponse
Capability = Literal["log_likelihoods", "generation", "adapters", "replay"]
CAPABILITIES: frozenset[Capability] = frozenset({"log_likelihoods", "generation", "adapters"})


@dataclass(frozen=True)
class Unsupported:
    """Why an engine cannot score a plan, and what to do about it."""

    reason: str
    fix: str


@dataclass(frozen=True)
class EngineConfig:
    """What an engine is constructed with.

    Attributes:
        plan: The run, or its part with one base: recipe, models, tasks, device and dtypes.
        load: Loads the base in evaluation mode on its device.
        tokenizer: The base's tokenizer.
        ends: Recognises the end of an answer, by model; adapters may have tokenizers of their own.
        adapters: Adapter folders by name.
        requests: All requests that will follow; iterating over them may cost time.
        recorded: Returns the response to a request from an earlier run, or None. Only an engine with the capability
            `replay` needs it.
    """

    plan: Plan
    load: Callable[[], PreTrainedModel]
    tokenizer: PreTrainedTokenizerBase
    ends: Mapping[str, AnswerEnd]
    adapters: Mapping[str, Path]
    requests: Iterable[ModelRequest]
    recorded: Callable[[ModelRequest], Response | None]


class Engine(Protocol):
    """Holds one base and its adapters, and responds for all of them.

    Attributes:
        capabilities: `log_likelihoods` (score and perplexity requests), `generation`, `adapters` (more models than the
            base). With `replay` it receives requests with a recorded response too, uses them to form the same batches
            as in the earlier run, and yields responses to the others only, bit-identical to an uninterrupted run.
        setup: Settings that it chose itself, for the report.
    """

    capabilities: frozenset[Capability]
    setup: dict[str, str | float]

    def respond(self, requests: Sequence[ModelRequest]) -> Iterator[tuple[int, Response]]:
        """(index in `requests`, response) of every request as soon as it is complete, in any order."""
        ...

    def close(self) -> None:
        """Release the memory; no requests follow."""
        ...
