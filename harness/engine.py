"""The engine interface: whoever answers requests for one base and its adapters implements these two calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.answers import FinishReason

BASE = "base"
OWN_ADAPTER = "adapter"  # the recipe's own
DEFAULT_MODELS = f"{BASE},{OWN_ADAPTER}"
Progress = Callable[[int], None]


@dataclass(frozen=True)
class ScoreRequest:
    """How likely is `continuation` after `context`? Both are token ids; the context is not empty."""

    model: str
    context: tuple[int, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True)
class ScoreAnswer:
    """Log-likelihood in nats (summed in float32 from a float32 softmax), and whether every token was the likeliest."""

    logprob: float
    greedy: bool
    seconds: float


@dataclass(frozen=True)
class GenerateRequest:
    """Continue `prompt` (token ids) until the end token, a stop string, or `max_new_tokens`.

    `temperature` 0 is greedy.
    """

    model: str
    prompt: tuple[int, ...]
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class GenerateAnswer:
    """The text without end token and stop string, and how it came about."""

    text: str
    tokens: tuple[int, ...] = field(repr=False)
    finish_reason: FinishReason
    seconds: float


class Engine(Protocol):
    """Holds one base and its adapters; answers come back in the order of the requests.

    `progress` is called with the number of requests done since the last call.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    def score(self, requests: Sequence[ScoreRequest], progress: Progress) -> list[ScoreAnswer]:
        """Log-likelihoods."""
        ...

    def generate(self, requests: Sequence[GenerateRequest], progress: Progress) -> list[GenerateAnswer]:
        """Generated answers."""
        ...
