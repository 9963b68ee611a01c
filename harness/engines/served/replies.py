"""Reads the replies of OpenAI-compatible servers, which are untrusted: what is missing or impossible is an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.answers import FinishReason

_ROUNDING = 1e-3  # by which servers' log-probabilities may exceed 0
_ID_MARK = "token_id:"  # before ids in the place of token texts, as vLLM writes them
_REASONS: dict[object, FinishReason] = {
    "stop": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "content_filter": "stop",
    "length": "length",
}


class InvalidReplyError(Exception):
    """A reply that lacks something or cannot be; the message continues `the server's reply`."""


@dataclass(frozen=True)
class TokenScore:
    """Log-probability of a token in nats, and whether it was the most likely one."""

    logprob: float
    is_argmax: bool


@dataclass(frozen=True)
class Answer:
    """A generated answer.

    Attributes:
        tokens: Its token ids, or None if the server does not give them.
        ends_at_string: Whether a stop string ended it; None if the server does not say.
    """

    text: str
    tokens: tuple[int, ...] | None
    finish_reason: FinishReason
    ends_at_string: bool | None


def prompt_count(reply: dict[str, Any]) -> int | None:
    """Tokens that the server says it read; None if it does not say."""
    usage = reply.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else None


def answer(reply: dict[str, Any], vocab_size: int) -> Answer:
    """The answer in a reply of /completions or /chat/completions."""
    choice = _choice(reply)
    message = choice.get("message")
    text = (message.get("content") or "") if isinstance(message, dict) else choice.get("text")
    if not isinstance(text, str):
        raise InvalidReplyError("holds no text")
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or reason not in _REASONS:
        raise InvalidReplyError(f"ends for no known reason: {str(reason)[:40]!r}")
    tokens = choice.get("token_ids")
    if not isinstance(tokens, list):
        tokens = None
    elif not all(type(token) is int and 0 <= token < vocab_size for token in tokens):
        raise InvalidReplyError("holds tokens that the tokenizer does not have")
    by_string = isinstance(choice["stop_reason"], str) if "stop_reason" in choice else None
    return Answer(text, None if tokens is None else tuple(tokens), _REASONS[reason], by_string)


def prompt_scores(reply: dict[str, Any], tokens: Sequence[int], count: int, *, strict: bool) -> list[TokenScore]:
    """Scores of the last `count` tokens of a prompt by vLLM's `prompt_logprobs`."""
    entries = _checked(_choice(reply).get("prompt_logprobs"), len(tokens), 0, strict=strict)
    scores = []
    for token, entry in zip(tokens[-count:], entries[-count:], strict=True):
        own = entry.get(str(token)) if isinstance(entry, dict) else None
        if not isinstance(own, dict):
            raise InvalidReplyError("gives log-probabilities of other tokens than those of the prompt")
        scores.append(TokenScore(_logprob(own.get("logprob")), own.get("rank") == 1))
    return scores


def echoed_scores(reply: dict[str, Any], tokens: Sequence[int], count: int, *, strict: bool) -> list[TokenScore]:
    """Scores of the last `count` tokens of a prompt that was echoed with one new token (OpenAI's first completions)."""
    given = _choice(reply).get("logprobs")
    given = given if isinstance(given, dict) else {}
    values = _checked(given.get("token_logprobs"), len(tokens), 1, strict=strict)
    tops, texts = given.get("top_logprobs"), given.get("tokens")
    if not isinstance(tops, list) or not isinstance(texts, list) or not len(tops) == len(texts) == len(values):
        raise InvalidReplyError("gives log-probabilities without tokens, or of different numbers of tokens")
    scores = []
    for place, token in zip(range(len(values) - 1 - count, len(values) - 1), tokens[-count:], strict=True):
        if str(texts[place]).startswith(_ID_MARK) and texts[place] != f"{_ID_MARK}{token}":
            raise InvalidReplyError("gives log-probabilities of other tokens than those of the prompt")
        if not isinstance(tops[place], dict) or not tops[place]:
            raise InvalidReplyError("does not say which tokens are most likely")
        value = _logprob(values[place])
        scores.append(TokenScore(value, value >= max(map(_logprob, tops[place].values()))))
    return scores


def next_scores(reply: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[int, TokenScore]:
    """Scores of those tokens that the server lists for the first new token."""
    pairs = list(_listed(_choice(reply).get("logprobs")))
    if not pairs:
        raise InvalidReplyError("holds no log-probabilities")
    best = max(value for _, value in pairs)
    scores = {}
    for name, value in pairs:
        if isinstance(name, str) and name.startswith(_ID_MARK) and name[len(_ID_MARK) :].isdecimal():
            name = int(name[len(_ID_MARK) :])  # noqa: PLW2901
        tokens = [name] if isinstance(name, int) else tokenizer.encode(name, add_special_tokens=False)
        if len(tokens) == 1:
            scores[tokens[0]] = TokenScore(value, value >= best)
    return scores


def _listed(given: Any) -> Iterator[tuple[str | int, float]]:
    """(text or id, log-probability) of each token listed for the first new token, in either of two forms."""
    given = given if isinstance(given, dict) else {}
    if isinstance(content := given.get("content"), list) and content and isinstance(content[0], dict):
        for entry in content[0].get("top_logprobs") or ():  # of llama.cpp
            if isinstance(entry, dict) and isinstance(name := entry.get("id", entry.get("token")), str | int):
                yield name, _logprob(entry.get("logprob"))
    elif isinstance(tops := given.get("top_logprobs"), list) and tops and isinstance(tops[0], dict):
        for name, value in tops[0].items():
            yield name, _logprob(value)


def _choice(reply: dict[str, Any]) -> dict[str, Any]:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise InvalidReplyError("holds no answer (`choices`)")
    return choices[0]


def _checked(entries: Any, wanted: int, more: int, *, strict: bool) -> list[Any]:
    """A list with an entry for each token of a prompt, the first included, and `more`."""
    if not isinstance(entries, list):
        raise InvalidReplyError("holds no log-probabilities of the prompt")
    if len(entries) < 2 + more or (strict and len(entries) != wanted + more):
        raise InvalidReplyError(f"gives log-probabilities of {len(entries) - more} tokens for a prompt of {wanted}")
    return entries


def _logprob(value: Any) -> float:
    """A log-probability; NaN and infinity pass, since the scoring stage names models that give them."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidReplyError("lacks a log-probability of a token")
    if value > _ROUNDING:
        raise InvalidReplyError(f"gives the log-probability {value:g}, which is above 0")
    return float(value)
