"""Reads the lists of words by which two questions may differ, or must not; see word_lists.txt beside this file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path


def _lists() -> dict[str, list[str]]:
    """The words of each list by its name."""
    lists: dict[str, list[str]] = defaultdict(list)
    name = ""
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif not line.startswith("#"):
            lists[name] += line.split()
    return lists


_LISTS = _lists()
FUNCTION_WORDS = frozenset(_LISTS["function"])
FRAME_WORDS = frozenset(_LISTS["frame"])
COORDINATION = frozenset(_LISTS["coordination"])
OPENING_WORDS = frozenset(_LISTS["opening"])
NUMBER_WORDS = frozenset(_LISTS["number"])
DECISIVE_WORDS = frozenset([*_LISTS["decisive"], *_LISTS["number"]])
CONFUSABLE = frozenset(frozenset(pair.split("/")) for pair in _LISTS["confusable"])
UNSPACED_FRAME = tuple(sorted(set(_LISTS["unspaced frame"]), key=lambda word: (-len(word), word)))  # longest first
DECISIVE_CHARACTERS = frozenset("".join(_LISTS["unspaced decisive"]))
