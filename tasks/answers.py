"""Model answers that carry token counts, finish reason and time through lm-eval's filters to our metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

from tasks.answer_parts import Parsed
from tasks.formats import split_answer

FinishReason = Literal["stop", "length"]


class GeneratedText(str):
    """A generated answer: a plain `str` to lm-eval, with its cost as attributes.

    Attributes:
        prompt_tokens: Tokens of the prompt.
        output_tokens: Generated tokens, including the end token.
        finish_reason: `stop` if the model ended the answer or reached a stop string, `length` at the token limit.
        seconds: Time from the start of the batch to the last token of this answer.
    """

    __slots__ = ("finish_reason", "output_tokens", "prompt_tokens", "seconds")

    prompt_tokens: int
    output_tokens: int
    finish_reason: FinishReason
    seconds: float

    def __new__(
        cls, text: str, *, prompt_tokens: int, output_tokens: int, finish_reason: FinishReason, seconds: float
    ) -> Self:
        """Create the text with its cost."""
        self = super().__new__(cls, text)
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.finish_reason = finish_reason
        self.seconds = seconds
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        """Arguments of `__new__`, so that copies and pickles keep the cost."""
        return (str(self),), {name: getattr(self, name) for name in self.__slots__}


def split_document_answer(document: dict[str, Any], answer: str) -> Parsed:
    """Reasoning and response of the answer to a task's document, which holds its `prompt` and `format`.

    See `tasks.formats.split_answer`. Plain text from stock lm-eval has no finish reason.
    """
    return split_answer(
        answer,
        document["format"],
        prompt_opened=document["prompt"],
        finish_reason=answer.finish_reason if isinstance(answer, GeneratedText) else None,
    )


class ScoredText(tuple[float, bool]):  # noqa: SLOT001 - a tuple cannot have slots with names
    """A (log-likelihood in nats, is greedy) pair as lm-eval wants it, with the log-probability of each token.

    Attributes:
        logprobs: Log-probability in nats of each token of the continuation; their sum is the log-likelihood.
        prompt_tokens: Tokens of the context.
        seconds: The row's share of its batch's time.
    """

    logprobs: Sequence[float]
    prompt_tokens: int
    seconds: float

    def __new__(cls, logprobs: Sequence[float], *, greedy: bool, prompt_tokens: int, seconds: float) -> Self:
        """Create the pair with its cost."""
        self = super().__new__(cls, (math.fsum(logprobs), greedy))
        self.logprobs = logprobs
        self.prompt_tokens = prompt_tokens
        self.seconds = seconds
        return self

    @property
    def tokens(self) -> int:
        """Number of tokens of the continuation."""
        return len(self.logprobs)

    def __getnewargs_ex__(self) -> tuple[tuple[Sequence[float]], dict[str, Any]]:
        """Arguments of `__new__`, so that copies and pickles keep the cost."""
        return (self.logprobs,), {"greedy": self[1], "prompt_tokens": self.prompt_tokens, "seconds": self.seconds}
