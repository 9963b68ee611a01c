"""Reads conversations: messages with role and content, ShareGPT's from and value, and pairs of earlier turns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from tasks.formats import split_marked

Role = Literal["system", "user", "assistant"]
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "patient": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "doctor": "assistant",
}
_ROLE_KEYS = ("role", "from", "speaker")
_TEXT_KEYS = ("content", "value", "text")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_CALL_KEYS = ("tool_calls", "function_call", "tool_call_id")


class Turn(NamedTuple):
    """One turn of a conversation.

    Attributes:
        role: Who speaks.
        text: What is said; of an assistant, its response.
        reasoning: The reasoning before an assistant's response, or empty.
    """

    role: Role
    text: str
    reasoning: str = ""


class UnusableRowError(ValueError):
    """A row that cannot be trained or scored on; the message says why, without its position."""


def as_turns(value: Any) -> list[Any] | None:
    """A cell as a list of turns, or None if it is something else.

    A list may be stored as JSON text (in CSV files), and a list of objects as an object of lists (by `datasets`).
    """
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, dict) and value and all(isinstance(cells, list) for cells in value.values()):
        value = [dict(zip(value, cells, strict=False)) for cells in zip(*value.values(), strict=False)]
    return value if isinstance(value, list) and all(isinstance(turn, dict) for turn in value) else None


def is_list_text(value: Any) -> bool:
    """Whether a cell is the text of a list of objects, whatever the notation."""
    return isinstance(value, str) and re.match(r"\s*\[\s*\{", value) is not None


def read_turns(value: Any) -> list[Turn]:
    """The turns in a cell.

    Raises:
        UnusableRowError: There is none, or one of them cannot be used.
    """
    turns = as_turns(value)
    if turns is None and is_list_text(value):
        raise UnusableRowError(
            "the conversation is Python's notation of a list, as pandas' to_csv writes it, and not JSON: save the rows"
            " with to_json(orient='records', lines=True)"
        )
    if not turns:
        raise UnusableRowError("the conversation is empty" if value in (None, [], "") else "there is no list of turns")
    return [_read_turn(turn) for turn in turns if not _is_empty_system_turn(turn)]


def _is_empty_system_turn(turn: dict[str, Any]) -> bool:
    """Whether a turn is a system turn without text, which many data sets have where there is no system prompt."""
    content = _first(turn, _TEXT_KEYS)
    return _role(turn) == "system" and (content is None or (isinstance(content, str) and not content.strip()))


def _first(turn: dict[str, Any], keys: Sequence[str]) -> Any:
    """The first value that is there, or None."""
    return next((turn[key] for key in keys if turn.get(key) is not None), None)


def _role(turn: dict[str, Any]) -> Role | None:
    return _ROLES.get(str(_first(turn, _ROLE_KEYS)).strip().lower())


def check_alternation(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns of a conversation: perhaps a system turn, then user and assistant in alternation, the assistant last.

    Raises:
        UnusableRowError: They are not in this order.
    """
    spoken = turns[1:] if turns and turns[0].role == "system" else turns
    for number, turn in enumerate(spoken):
        expected = "assistant" if number % 2 else "user"
        if turn.role != expected:
            place = "the first turn" if number == 0 else f"the turn after one of the role {spoken[number - 1].role}"
            raise UnusableRowError(f"{place} has the role {turn.role}, not {expected}")
    if not spoken or spoken[-1].role != "assistant":
        raise UnusableRowError("the conversation does not end with an assistant turn")
    return tuple(turns)


def read_pairs(value: Any) -> list[Turn]:
    """Earlier turns as a list of [question, answer] pairs, as LLaMA-Factory's column `history` holds them.

    Raises:
        UnusableRowError: It is something else.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except ValueError:
            value = None
    if not isinstance(value, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) and text.strip() for text in pair)  # noqa: PLR2004
        for pair in value
    ):
        raise UnusableRowError("history is not a list of [question, answer] pairs")
    turns = []
    for question, answer in value:
        reasoning, response = split_marked(answer)
        turns += [Turn("user", question.strip()), Turn("assistant", response, reasoning)]
    return turns


def _read_turn(turn: dict[str, Any]) -> Turn:
    name, role = _first(turn, _ROLE_KEYS), _role(turn)
    if role is None:
        what = "no role" if name is None else f"the role {str(name)[:40]!r}"
        raise UnusableRowError(f"a turn has {what}; known: system, user, assistant (human, gpt)")
    if any(turn.get(key) for key in _CALL_KEYS):
        raise UnusableRowError("a turn calls a tool, which is not supported")
    if turn.get("weight") == 0 or turn.get("train") is False:
        raise UnusableRowError("a turn is excluded from training (weight or train), which is not supported")
    text = _text(_first(turn, _TEXT_KEYS)).strip()
    if not text:
        raise UnusableRowError(f"a turn of the role {role} is empty")
    if role != "assistant":
        return Turn(role, text)
    reasoning = next((turn[key] for key in _REASONING_KEYS if isinstance(turn.get(key), str)), "").strip()
    if reasoning:
        return Turn(role, text, reasoning)
    reasoning, response = split_marked(text)
    return Turn(role, response, reasoning)


def _text(content: Any) -> str:
    """A turn's content, which may be a list of parts as multimodal templates expect."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [{"text": part} if isinstance(part, str) else part for part in content]
        other = next(
            (part for part in parts if not isinstance(part, dict) or not isinstance(part.get("text"), str)), None
        )
        if other is None:
            return "\n".join(part["text"] for part in parts)
        kind = str(other.get("type", "unknown")) if isinstance(other, dict) else type(other).__name__
        raise UnusableRowError(f"a turn has a part of type {kind[:40]}; only text is supported")
    raise UnusableRowError(f"a turn holds {type(content).__name__} instead of a text")
