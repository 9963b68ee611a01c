"""Makes text of a model safe to show: what would steer a terminal or break a page becomes visible, and long is cut."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

SHOWN_CHARACTERS = 6000
_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}  # such as U+241B for escape
_UNSEEN = _PICTURES | {0x0D: 0x240D, 0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
LONE_SURROGATES = re.compile("[\ud800-\udfff]")  # of characters, which no UTF-8 text can hold
_TICKS = re.compile(r"`+")
# What Markdown would read as markup; figures such as `[1, 2]`, `< 0.01` and `adamw_torch` stay as they are.
_MARKUP = re.compile(r"\\(?=[^\w\s])|[|`*]|<(?=[A-Za-z/!?])|\](?=[(\[:])|~~|(?<!\w)_|_(?!\w)|&(?=#?\w+;)")


def visible(value: Any) -> Any:
    """Text with its control characters as pictures and halves of characters replaced; all else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return replace_surrogates(value.replace("\r\n", "\n").translate(_UNSEEN))


def replace_surrogates(value: Any) -> Any:
    """Text with halves of characters replaced, so that it can be written; all else as it is."""
    return LONE_SURROGATES.sub("\ufffd", value) if isinstance(value, str) else value


def cut(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """A text short enough to show; the whole stays in the samples file."""
    return text if len(text) <= most else f"{text[:most]} [... {len(text):,} characters in all]"


def fenced(text: str) -> str:
    """Text as a Markdown code block that nothing within can end."""
    longest = max((len(found) for found in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"


def plain_markdown(text: str) -> str:
    """Text whose characters mean only themselves in a line of GitHub-flavoured Markdown."""
    return _MARKUP.sub(r"\\\g<0>", str(visible(text)).replace("\n", " "))
