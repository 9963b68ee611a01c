"""JSON text: written without NaN, parsed with bounded depth, no key twice in an object, errors that name the line."""

from __future__ import annotations

import json
import re
from typing import Any

from reports.encodings import not_utf8
from reports.errors import UserError
from reports.text import LONE_SURROGATES

_TOKEN = re.compile(r'[{}]|"(?:[^"\\]|\\.)*"(\s*:)?')  # a brace, a string, or a key with its colon
_MOST_LEVELS = 64  # of nested lists and objects; ours have fewer than ten
_NO_VALUE = "nested too deeply, or too many digits"


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Serialise `value` as JSON text: UTF-8, no NaN."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    return LONE_SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def parse_json(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: The text is not JSON, an object has a key twice, it is nested too deeply, or has a number of
            thousands of digits.
        RecursionError: The text is nested far too deeply.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            raise _repeated_key(text)
        return value

    value = json.loads(text, object_pairs_hook=unique)
    if text.count("[") + text.count("{") <= _MOST_LEVELS:  # the common case
        return value
    level, depth = [value], 0
    while level := [
        inner
        for outer in level
        if isinstance(outer, dict | list)
        for inner in (outer.values() if isinstance(outer, dict) else outer)
        if isinstance(inner, dict | list)
    ]:
        depth += 1
        if depth >= _MOST_LEVELS:
            raise ValueError("nested too deeply")
    return value


def parse_json_line(raw: bytes, number: int, where: str) -> Any:
    """The value of a line of a JSONL file; in line `number` 1 a byte order mark may stand before it.

    Raises:
        UserError: It is not UTF-8 or not JSON.
    """
    try:
        return parse_json(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise not_utf8(error, where) from error
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else _NO_VALUE
        raise UserError(f"invalid JSON: {reason}", where=where, fix="fix or remove the line") from error


def json_error(error: Exception, where: str) -> UserError:
    """The error for a whole JSON file that cannot be decoded or parsed; it names the line."""
    if isinstance(error, UnicodeDecodeError):
        return not_utf8(error, f"{where}, line {error.object[: error.start].count(10) + 1}")
    if isinstance(error, json.JSONDecodeError):
        return UserError(
            f"invalid JSON: {error.msg}", where=f"{where}, line {error.lineno}", fix="fix or remove the file"
        )
    return UserError(f"unreadable JSON: {_NO_VALUE}", where=where, fix="fix or remove the file")


def _repeated_key(text: str) -> json.JSONDecodeError:
    """The error for the first key that an object has twice: of its values, each parser would take another."""
    objects: list[set[str]] = []
    for match in _TOKEN.finditer(text):
        if match[0] == "{":
            objects.append(set())
        elif match[0] == "}":
            objects.pop()
        elif match[1]:
            key = json.loads(match[0].removesuffix(match[1]))
            if key in objects[-1]:
                break
            objects[-1].add(key)
    return json.JSONDecodeError(f"the key {key!r} is there twice", text, match.start())


def plain(value: Any) -> Any:
    """JSON-able form of anything: what is no JSON value becomes its `repr`."""
    if isinstance(value, dict):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
