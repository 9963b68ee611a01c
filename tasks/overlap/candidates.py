"""Finds, for each test question, the training questions that share enough of its rarer words to be compared with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.overlap.tokens import UNSPACED, folded
from tasks.overlap.word_lists import FUNCTION_WORDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.overlap.encoding import Numbers, Vocabulary

    Places = NDArray[np.int64]

_COMPARED = 30  # training questions that each test question is compared with at most: those that share most
_SHARED = 0.4  # share of its features, by weight, that one must have
_COMMON = 0.1  # share of all training questions; features of more of them are left out where there are rarer ones
_LONGER = 3  # times the features of the test question that a training question may have


class _Features:
    """What texts are looked up by: words without inflection, and pairs of neighbours where characters are words."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._stems = np.zeros(len(vocabulary) + 1, np.uint64)  # 0 where a word is no feature of its own
        self._is_character = np.zeros(len(vocabulary) + 1, bool)
        numbers: dict[str, int] = {}
        for word, number in vocabulary.items():
            if UNSPACED.match(word):
                self._is_character[number] = True
            else:
                stem = folded.__wrapped__(word)
                if word not in FUNCTION_WORDS and stem not in FUNCTION_WORDS:
                    self._stems[number] = numbers.setdefault(stem, len(numbers) + 1)

    def of(self, texts: Sequence[Numbers]) -> tuple[NDArray[np.uint64], Places]:
        """(features, number of the text that has each of them) of all texts, as often as they stand there."""
        gap = np.zeros(1, np.uint32)
        stream = np.concatenate([part for text in texts for part in (text, gap)])
        owners = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
        stems = self._stems[stream]
        is_pair = self._is_character[stream[:-1]] & self._is_character[stream[1:]]
        pairs = (stream[:-1].astype(np.uint64) << np.uint64(32)) | stream[1:]
        is_word = stems > 0
        return np.r_[stems[is_word], pairs[is_pair]], np.r_[owners[is_word], owners[:-1][is_pair]]


def find_candidates(
    items: Sequence[Numbers], rows: Sequence[Numbers], vocabulary: Vocabulary
) -> Iterator[tuple[int, int]]:
    """Pairs (test question, training question) worth comparing, by number in the order of the arguments.

    Args:
        items: Word numbers of the test questions.
        rows: Word numbers of the training questions.
        vocabulary: Numbers of all their words.
    """
    if not items or not rows:
        return
    features = _Features(vocabulary)
    values, owners = features.of(rows)
    known, columns = np.unique(values, return_inverse=True)
    pairs = np.unique(columns.astype(np.int64) * len(rows) + owners)
    columns, owners = pairs // len(rows), pairs % len(rows)
    bounds = np.searchsorted(columns, np.arange(len(known) + 1))
    sizes = np.bincount(owners, minlength=len(rows))
    holders = np.diff(bounds)
    weights = np.log1p(len(rows) / np.maximum(1, holders))
    item_values, item_owners = features.of(items)
    order = np.argsort(item_owners, kind="stable")
    item_bounds = np.searchsorted(item_owners[order], np.arange(len(items) + 1))
    for number in range(len(items)):
        own = np.unique(item_values[order[item_bounds[number] : item_bounds[number + 1]]])
        places = np.minimum(np.searchsorted(known, own), max(0, len(known) - 1))
        held = places[known[places] == own] if len(known) else places[:0]
        rare = held[holders[held] <= max(_COMMON * len(rows), _COMPARED)]
        used = rare if len(rare) > 1 else held
        if not len(used):
            continue
        texts = np.concatenate([owners[bounds[column] : bounds[column + 1]] for column in used])
        scores = np.bincount(texts, np.repeat(weights[used], holders[used]), minlength=len(rows))
        enough = np.flatnonzero((scores >= _SHARED * weights[used].sum()) & (sizes <= _LONGER * len(own) + _COMPARED))
        best = enough[np.lexsort((sizes[enough], -scores[enough]))][:_COMPARED]
        yield from ((number, int(row)) for row in best)
