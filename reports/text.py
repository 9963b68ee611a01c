"""Make a model's text safe to show: escape what would control a terminal or break a page, and shorten it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from markupsafe import Markup

Place = tuple[str | int, ...]  # keys and indices that lead to a part of a JSON value
SHOWN_CHARACTERS = 6000
_SYMBOLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}  # such as U+241B for escape
_CONTROL = _SYMBOLS | {0x0D: 0x240D, 0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
TURNS = "\u202a-\u202e\u2066-\u2069"  # in a pattern: characters that turn the direction of what follows in a line
LONE_SURROGATES = re.compile("[\ud800-\udfff]")  # which UTF-8 cannot encode
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
_TURNS = re.compile(f"[{TURNS}]")
_TICKS = re.compile(r"`+")
# Markdown markup; numbers and names such as `[1, 2]`, `< 0.01` and `adamw_torch` are left alone.
_MARKUP = re.compile(
    r"\\(?=[^\w\s]|$)|[|`*~$]|<(?=[A-Za-z/!?]|$)|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)"
    r"|(?:^|(?<=^ ))(?:[>\[]|(?:\+|#{1,6}|=+|-+)(?=\s|$))"  # what begins a quote, link target, list, heading or rule
)
_ENTITIES = {"<": "&lt;", "&": "&amp;"}  # which renderers that know no backslash escapes understand too
_NUMBERED = re.compile(r"^( ?\d{1,9})([.)])(?=\s|$)")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_COMMAND = re.compile(r"##(?=\[)|^\s*:(?=:)")


class Markdown(str):
    """Text that is Markdown already: templates do not escape it again."""

    __slots__ = ()

    def __html__(self) -> str:
        """The text, since Markdown templates need no other form of it."""
        return str(self)


def visible(value: Any) -> Any:
    """Replace a text's control characters by visible symbols, and what UTF-8 or XML lack; return other values as is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _NOT_XML.sub("\ufffd", value.replace("\r\n", "\n").translate(_CONTROL))


def replace_surrogates(value: Any) -> Any:
    """Replace a text's lone surrogates, which UTF-8 cannot encode; return other values unchanged."""
    return LONE_SURROGATES.sub("\ufffd", value) if isinstance(value, str) else value


def cut(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """Shorten a text for display; the samples file has all of it."""
    return text if len(text) <= most else f"{text[:most]} [... {len(text):,} characters in all]"


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Copy a JSON value with every text in it changed, keys included."""
    if isinstance(value, dict):
        return {change(key): map_texts(member, change) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [map_texts(member, change) for member in value]
    return change(value) if isinstance(value, str) else value


def walk_texts(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Yield all texts of a JSON value with their places; a key has the place of its mapping."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict | list | tuple):
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str):
                yield place, key
            yield from walk_texts(member, (*place, key))


def fenced(text: str) -> Markdown:
    """Format text as a Markdown code block that nothing inside can close."""
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown(f"{fence}text\n{visible(text)}\n{fence}")


def one_direction(text: str) -> str:
    """Remove the characters that turn the direction of what follows, such as of a verdict after a model's name."""
    return _TURNS.sub("", text)


def break_up(line: str) -> str:
    """Break up what GitHub acts on: mentions of users, and the commands that its runner finds in what a step prints."""
    for pattern in (_MENTION, _COMMAND):
        line = pattern.sub("\\g<0>\N{ZERO WIDTH SPACE}", line)
    return line


def plain_markdown(text: str) -> Markdown:
    """Escape text for a line of GitHub-flavoured Markdown, also at the line's start, and break up mentions of users."""
    line = re.sub(r"^\s+", " ", one_direction(str(visible(text))).replace("\n", " "))
    line = _MARKUP.sub(lambda mark: _ENTITIES.get(mark[0], f"\\{mark[0]}"), line)
    line = _NUMBERED.sub(r"\1\\\2", line)
    return Markdown(break_up(line))


def code_span(text: str) -> Markdown:
    """Format text as inline code of Markdown, which nothing inside can close."""
    line = one_direction(str(visible(text))).replace("\n", " ")
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(line)), default=0))
    pad = " " if "`" in line or not line.strip() else ""
    return Markdown(f"{ticks}{pad}{line}{pad}{ticks}")
