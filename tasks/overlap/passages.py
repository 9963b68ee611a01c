"""The texts that are searched for overlap, and what is reported of a text that was learned from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import regex

from tasks.words import words

QUESTION = "question"  # the part that is compared as a whole
_LONGEST_WORD = 40  # letters; longer ones are text that was not split
# Scripts written without spaces that `words` does not take apart.
_NOT_SPLIT = regex.compile(r"[\p{Javanese}\p{Balinese}\p{Tai_Tham}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Viet}]")
_EXCERPT = 240  # characters

Kind = Literal["exact", "near", "n-gram"]


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of a training row or a test item.

    Attributes:
        owner: Id of the row or item.
        part: What it is of it: `question`, or another name such as `context`; only questions are compared as wholes.
        text: The text itself.
    """

    owner: str
    part: str
    text: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """One test item that shares text with training rows.

    Attributes:
        item: Id of the item.
        row: Id of the training row that shares most.
        kind: How it is shared; the strongest kind where there are several.
        part: The item's part that is shared.
        row_part: The row's part that it is shared with.
        share: Share of the item's part that the row holds, as a share of its words.
        rows: How many training rows share text with the item.
        item_text: The shared text with its surroundings, as it stands in the item, at most 240 characters of it.
        row_text: The same as it stands in the row.
    """

    item: str
    row: str
    kind: Kind
    part: str
    row_part: str
    share: float
    rows: int
    item_text: str
    row_text: str


def is_split(text: str) -> bool:
    """Whether a text can be searched: it has words, and most of it stands in words that are such.

    No words are unbroken strings of over 40 letters, nor clauses in a script without spaces that is not taken apart.
    """
    sizes = {word: len(word) for word in words(text)}
    unsplit = sum(size for word, size in sizes.items() if size > _LONGEST_WORD or _NOT_SPLIT.match(word))
    return bool(sizes) and 2 * unsplit <= sum(sizes.values())


def excerpt(text: str, first: int, count: int, most: int = _EXCERPT) -> str:
    """At most `most` characters of a text, which start a little before its word number `first` (from 0).

    Args:
        text: The text.
        first: The first word of interest.
        count: How many words are of interest; short ones get more of what precedes them.
        most: Length of the excerpt in characters, marks of omission not counted.
    """
    flat = " ".join(text.split())
    if len(flat) <= most:
        return flat
    start, end = _offset(flat, first), _offset(flat, first + count)
    before = max(0, min(start - max(0, most - (end - start)) // 2, len(flat) - most))
    before = flat.rfind(" ", 0, before + 1) + 1 if before - flat.rfind(" ", 0, before + 1) < most // 4 else before
    return ("... " if before else "") + flat[before : before + most] + (" ..." if before + most < len(flat) else "")


def _offset(text: str, number: int) -> int:
    """Where word number `number` starts, to within what stands between two blanks."""
    passed = place = 0
    for piece in text.split(" "):
        count = _count(piece)
        if passed + count > number:
            return place + len(piece) * (number - passed) // count
        passed += count
        place += len(piece) + 1
    return len(text)


@functools.lru_cache(maxsize=4096)
def _count(piece: str) -> int:
    return len(words(piece))
