"""Word lists for comparing questions, read from word_lists.txt next to this file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path


def parse_lists(text: str) -> dict[str, list[str]]:
    """The words of each list by its name, from lines of words below a line `[name]`; `#` starts a comment line."""
    lists: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            lists[name] += line.split()
    return lists


_LISTS = parse_lists(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8"))
FUNCTION_WORDS = frozenset(_LISTS["function"])
FRAME_WORDS = frozenset(_LISTS["frame"])
COORDINATION = frozenset(_LISTS["coordination"])
OPENING_WORDS = frozenset(_LISTS["opening"])
NUMBER_WORDS = frozenset(_LISTS["number"])
DECISIVE_WORDS = frozenset([*_LISTS["decisive"], *_LISTS["number"]])
CONFUSABLE = frozenset(frozenset(pair.split("/")) for pair in _LISTS["confusable"])
UNSPACED_FRAME = tuple(sorted(set(_LISTS["unspaced frame"]), key=lambda word: (-len(word), word)))  # longest first
DECISIVE_CHARACTERS = frozenset("".join(_LISTS["unspaced decisive"]))
