"""Texts that are searched for overlap, and the reported overlaps."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import regex

from tasks.words import words

QUESTION = "question"  # the part that is also compared as a whole
_LONGEST_WORD = 40  # letters; longer words are text without word boundaries
# Unspaced scripts that `words` does not split.
_NOT_SPLIT = regex.compile(r"[\p{Javanese}\p{Balinese}\p{Tai_Tham}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Viet}]")
_EXCERPT = 240  # characters

Kind = Literal["exact", "near", "n-gram"]


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of a training row or a test item.

    Attributes:
        owner: Id of the row or item.
        part: `question`, or another name such as `context`; only questions are compared as a whole.
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
        kind: Kind of the match; the strongest one if there are several.
        part: The matching part of the item.
        row_part: The matching part of the row.
        share: Share of the words of the item's part that the row contains.
        rows: Number of training rows that share text with the item.
        item_text: The shared text in its context in the item, at most 240 characters.
        row_text: The shared text in its context in the row.
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
    """Whether a text can be searched: it has words, and at least half of their letters are in real words.

    Strings of over 40 letters are not real words, nor are clauses in unspaced scripts that `words` does not split.
    """
    sizes = {word: len(word) for word in words(text)}
    unsplit = sum(size for word, size in sizes.items() if size > _LONGEST_WORD or _NOT_SPLIT.match(word))
    return bool(sizes) and 2 * unsplit <= sum(sizes.values())


def excerpt(text: str, first: int, count: int, most: int = _EXCERPT) -> str:
    """At most `most` characters of a text, starting a little before its word number `first` (from 0).

    Args:
        text: The text.
        first: Number of the first word to show.
        count: Number of words to show; the fewer they are, the more of the preceding text is included.
        most: Length of the excerpt in characters, without the ellipses.
    """
    flat = " ".join(text.split())
    start, end = _offset(flat, first), _offset(flat, first + count)
    begin = max(0, min(start - max(0, most - (end - start)) // 2, len(flat) - most))
    word_start = flat.rfind(" ", 0, begin + 1) + 1
    if begin - word_start < most // 4:  # else the word is long, as in unspaced scripts, and is cut
        begin = word_start
    return ("... " if begin else "") + flat[begin : begin + most] + (" ..." if begin + most < len(flat) else "")


def _offset(text: str, number: int) -> int:
    """Approximate position of word number `number`: proportional within a space-separated piece."""
    n_words = offset = 0
    for piece in text.split():
        count = _count(piece)
        if n_words + count > number:
            return offset + len(piece) * (number - n_words) // count
        n_words += count
        offset += len(piece) + 1
    return len(text)


@functools.lru_cache(maxsize=4096)
def _count(piece: str) -> int:
    return len(words(piece))
