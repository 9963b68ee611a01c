"""Make a model's text safe to show: escape what would control a terminal or break a page, and shorten it."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

SHOWN_CHARACTERS = 6000
_SYMBOLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}  # such as U+241B for escape
_CONTROL = _SYMBOLS | {0x0D: 0x240D, 0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
LONE_SURROGATES = re.compile("[\ud800-\udfff]")  # which UTF-8 cannot encode
_TICKS = re.compile(r"`+")
# Markdown markup; numbers and names such as `[1, 2]`, `< 0.01` and `adamw_torch` are left alone.
_MARKUP = re.compile(r"\\(?=[^\w\s])|[|`*]|<(?=[A-Za-z/!?])|\](?=[(\[:])|~~|(?<!\w)_|_(?!\w)|&(?=#?\w+;)")


def visible(value: Any) -> Any:
    """Replace a text's control characters by visible symbols, and lone surrogates; return other values unchanged."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return replace_surrogates(value.replace("\r\n", "\n").translate(_CONTROL))


def replace_surrogates(value: Any) -> Any:
    """Replace a text's lone surrogates, which UTF-8 cannot encode; return other values unchanged."""
    return LONE_SURROGATES.sub("\ufffd", value) if isinstance(value, str) else value


def cut(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """Shorten a text for display; the samples file has all of it."""
    return text if len(text) <= most else f"{text[:most]} [... {len(text):,} characters in all]"


def fenced(text: str) -> str:
    """Format text as a Markdown code block that nothing inside can close."""
    longest = max((len(ticks) for ticks in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"


def plain_markdown(text: str) -> str:
    """Escape text for a line of GitHub-flavoured Markdown."""
    return _MARKUP.sub(r"\\\g<0>", str(visible(text)).replace("\n", " "))
