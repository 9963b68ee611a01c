"""Texts as arrays of word numbers, with duplicate texts stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.overlap.tokens import comparison_signs
from tasks.words import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint32]


class Vocabulary(dict[str, int]):
    """Numbers of words, from 1; a new word gets the next number."""

    def __missing__(self, word: str) -> int:
        """Assign the next number to a new word."""
        number = len(self) + 1
        self[word] = number
        return number

    def encode(self, text: str) -> Numbers:
        """Numbers of a text's words; shape [words]."""
        return np.fromiter(map(self.__getitem__, words(text)), dtype=np.uint32)


class UniqueTexts:
    """Many texts as one stream of word numbers; texts with equal words and comparison signs are stored once.

    Args:
        texts: All texts.
        vocabulary: The numbers of the words; new words are added.

    Attributes:
        stream: Word numbers of all unique texts, with a 0 before each and after the last.
        ends: End of each text in the stream; shape [unique texts].
        number_of: Number of the unique text of each given text; shape [texts].
        first: Position of the first given text of each unique text; shape [unique texts].
        keys: Number of each unique text by a hash of its words and comparison signs.
    """

    def __init__(self, texts: Iterable[str], vocabulary: Vocabulary) -> None:
        numbers: dict[bytes, int] = {}
        parts: list[Numbers] = [np.zeros(1, np.uint32)]
        number_of: list[int] = []
        first: list[int] = []
        gap = np.zeros(1, np.uint32)
        for place, text in enumerate(texts):
            encoded = vocabulary.encode(text)
            signs = " ".join(comparison_signs(text)).encode()
            key = hashlib.blake2b(encoded.tobytes() + signs, digest_size=16).digest()
            number = numbers.setdefault(key, len(numbers))
            number_of.append(number)
            if number == len(first):
                first.append(place)
                parts += (encoded, gap)
        self.stream: Numbers = np.concatenate(parts)
        self.ends: NDArray[np.int64] = np.flatnonzero(self.stream == 0)[1:]
        self.number_of = np.asarray(number_of)
        self.first: Sequence[int] = first
        self.keys = numbers

    def __len__(self) -> int:
        """Number of unique texts."""
        return len(self.first)

    def words_of(self, number: int) -> Numbers:
        """Word numbers of a unique text; shape [words]."""
        start = self.ends[number - 1] + 1 if number else 1
        return self.stream[start : self.ends[number]]
