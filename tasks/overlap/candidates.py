"""Finds candidate pairs of test and training questions: those that share enough of their rarer words."""

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

_MOST_CANDIDATES = 30  # training questions per test question: those with the highest scores
_SHARED = 0.4  # least share of the test question's features, by weight
_COMMON = 0.1  # share of all training questions; features of more of them are ignored if there are rarer ones
_LONGER = 3  # a candidate has at most this many times the features of the test question, and 30 more


class _Features:
    """Features of texts: words without inflection, and bigrams of characters in unspaced scripts."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._stems = np.zeros(len(vocabulary) + 1, np.uint64)  # 0 for a word that is not a feature
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
        """(features, number of the text of each feature) of all texts, with repetitions; shapes [features]."""
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
    """Candidate pairs (test question, training question), as positions in the arguments.

    Args:
        items: Word numbers of the test questions.
        rows: Word numbers of the training questions.
        vocabulary: The numbers of all their words.
    """
    if not items or not rows:
        return
    features = _Features(vocabulary)
    values, owners = features.of(rows)
    row_features, columns = np.unique(values, return_inverse=True)
    pairs = np.unique(columns.astype(np.int64) * len(rows) + owners)
    columns, owners = np.divmod(pairs, len(rows))
    bounds = np.searchsorted(columns, np.arange(len(row_features) + 1))
    sizes = np.bincount(owners, minlength=len(rows))
    holders = np.diff(bounds)
    weights = np.log1p(len(rows) / holders)
    item_values, item_owners = features.of(items)
    order = np.argsort(item_owners)
    item_bounds = np.searchsorted(item_owners[order], np.arange(len(items) + 1))
    for number in range(len(items)):
        own = np.unique(item_values[order[item_bounds[number] : item_bounds[number + 1]]])
        places = np.searchsorted(row_features, own)
        inside = places < len(row_features)
        shared = places[inside][row_features[places[inside]] == own[inside]]
        rare = shared[holders[shared] <= max(_COMMON * len(rows), _MOST_CANDIDATES)]
        used = rare if len(rare) > 1 else shared
        if not len(used):
            continue
        texts = np.concatenate([owners[bounds[column] : bounds[column + 1]] for column in used])
        scores = np.bincount(texts, np.repeat(weights[used], holders[used]), minlength=len(rows))
        enough = np.flatnonzero(
            (scores >= _SHARED * weights[used].sum()) & (sizes <= _LONGER * len(own) + _MOST_CANDIDATES)
        )
        best = enough[np.lexsort((sizes[enough], -scores[enough]))][:_MOST_CANDIDATES]
        yield from ((number, int(row)) for row in best)
