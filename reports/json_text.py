"""Parsing JSON text from others: bounded in depth, and no key twice in an object."""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(r'[{}]|"(?:[^"\\]|\\.)*"(\s*:)?')  # a brace, a string, or a key with its colon
_MOST_LEVELS = 64  # of nested lists and objects; ours have fewer than ten


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
