"""Finds runs of equal words that test texts share with training texts, by hash, without stock phrases."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.overlap.encoding import Numbers, UniqueTexts

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]

# Runs of 13 words distinguish copies from chance, 8 is the minimum, and a run in more than ten texts is a stock phrase
# (Brown et al. 2020, GPT-3, appendix C); with less than a fifth of its words shared, a text is clean (Touvron et al.
# 2023, Llama 2, appendix A.6).
RUN = 13
SHORTEST_RUN = 8
STOCK = 10
SHARE = 0.2
# A text with this share of another contains that text, not a phrase of it. More than a sentence or two that make up
# half of the other text are not a phrase either.
WHOLE = 0.9
LONGEST_PHRASE = 40
EVERYWHERE = 1000  # unique texts; a run in more of them is a phrase, whatever surrounds it
_TABLE_BITS = 24
_CHUNK = 1 << 20  # words hashed at once
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


class SharedRuns(NamedTuple):
    """Words of a test text in runs that a training text contains.

    Attributes:
        text: Number of the test text.
        row_text: Number of the training text.
        share: Share of the test text's words.
        start: Position of the first shared run in the test text.
        size: Length of a run in words.
    """

    text: int
    row_text: int
    share: float
    start: int
    size: int


class _Holders(NamedTuple):
    """Texts that contain each run: those of run n are `texts[bounds[n] : bounds[n + 1]]`."""

    texts: Places
    bounds: Places


def run_size(length: int, word_length: float) -> int:
    """Length in tokens of the runs of a text that are searched for; 0 for a text that is too short.

    Args:
        length: Tokens of the text.
        word_length: Tokens per word, over 1 if each character is a token.
    """
    per_word = round(4 * word_length) / 4  # few sizes: each takes one pass over all training rows
    size = min(length, round(RUN * per_word))
    return size if size >= round(SHORTEST_RUN * per_word) else 0


def find_shared_runs(items: UniqueTexts, rows: UniqueTexts, word_lengths: dict[int, float]) -> Iterator[SharedRuns]:
    """Find all pairs of a test text and a training text that share at least a fifth of the test text.

    Stock phrases do not count: runs that more than ten otherwise different texts contain. Texts with the same words
    count once, and a text that contains (nearly) all of the test text is a copy of it, however many copies there are.

    Args:
        items: Texts of the test items.
        rows: Texts of the training rows.
        word_lengths: Tokens per word, by number of the test text.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for number, word_length in word_lengths.items():
        groups[run_size(len(items.words_of(number)), word_length)].append(number)
    groups.pop(0, None)
    for size, numbers in sorted(groups.items()):
        hashes = {number: _run_hashes(items.words_of(number), size) for number in numbers}
        wanted = np.unique(np.concatenate(list(hashes.values())))
        holders = _holders(wanted, rows, items, size)
        for number in numbers:
            runs = np.searchsorted(wanted, hashes[number])
            phrase = LONGEST_PHRASE * word_lengths[number]
            yield from _shared(number, runs, holders, len(rows), size, phrase)


def _shared(
    number: int, runs: Places, holders: _Holders, row_texts: int, size: int, phrase: float
) -> Iterator[SharedRuns]:
    """Training texts that share runs with one test text; `runs` holds the number of the run at each position."""
    length = len(runs) + size - 1
    counts = np.diff(holders.bounds)[runs]
    places = np.flatnonzero((counts > 1) & (counts <= EVERYWHERE))
    starts = np.repeat(places, counts[places])
    offsets = np.arange(len(starts)) - np.repeat(np.cumsum(counts[places]) - counts[places], counts[places])
    texts = holders.texts[np.repeat(holders.bounds[runs[places]], counts[places]) + offsets]
    others = texts != row_texts + number  # not the text itself
    order = np.lexsort((starts[others], texts[others]))
    texts, starts = texts[others][order], starts[others][order]
    if not len(texts):
        return
    first = np.flatnonzero(np.r_[True, texts[1:] != texts[:-1]])
    covered = _covered(starts, first, size, np.arange(length + 1))
    holds_phrase = (covered < WHOLE * length) & ((covered < phrase) | (covered < length / 2))
    in_phrase_holder = np.repeat(holds_phrase, np.diff(np.r_[first, len(texts)]))
    is_stock = (np.bincount(starts[in_phrase_holder], minlength=len(runs)) > STOCK) | (counts > EVERYWHERE)
    change = np.zeros(length + 1, np.int64)
    np.add.at(change, np.flatnonzero(is_stock), 1)
    np.add.at(change, np.flatnonzero(is_stock) + size, -1)
    kept_before = np.r_[0, np.cumsum(np.cumsum(change)[:-1] == 0)]
    shares = np.where(holds_phrase, _covered(starts, first, size, kept_before), covered) / length
    for place in np.flatnonzero((shares >= SHARE) & (texts[first] < row_texts)).tolist():
        own = starts[first[place] : first[place + 1] if place + 1 < len(first) else None]
        kept = own[~is_stock[own]]
        start = int((kept if len(kept) else own)[0])
        yield SharedRuns(number, int(texts[first[place]]), float(shares[place]), start, size)


def _covered(starts: Places, first: Places, size: int, before: Places) -> Places:
    """Words in the runs of each text; shape [texts]. `before[n]` is the number of words before position n."""
    follows = np.r_[starts[1:], 0]
    is_last = np.zeros(len(starts), bool)
    is_last[np.r_[first[1:], len(starts)] - 1] = True
    ends = np.where(is_last, starts + size, np.minimum(starts + size, follows))
    return np.add.reduceat(before[ends] - before[starts], first)


def _holders(wanted: Hashes, rows: UniqueTexts, items: UniqueTexts, size: int) -> _Holders:
    """Texts that contain each wanted run; test texts are numbered after the training texts."""
    runs, texts = _runs_in(rows, wanted, size)
    item_runs, item_texts = _runs_in(items, wanted, size)
    runs, texts = np.r_[runs, item_runs], np.r_[texts, item_texts + len(rows)]
    order = np.argsort(runs, kind="stable")
    return _Holders(texts[order], np.searchsorted(runs[order], np.arange(len(wanted) + 1)))


def _runs_in(texts: UniqueTexts, wanted: Hashes, size: int) -> tuple[Places, Places]:
    """Unique pairs (number of a wanted run, number of a text that contains it)."""
    table = np.zeros(1 << _TABLE_BITS, bool)  # rejects nearly all runs, much faster than a search
    shift = np.uint64(64 - _TABLE_BITS)
    table[wanted >> shift] = True
    pairs: list[Places] = [np.empty(0, np.int64)]
    for begin in range(0, len(texts.stream) - size + 1, _CHUNK):
        hashes = _run_hashes(texts.stream[begin : begin + _CHUNK + size - 1], size)
        places = np.flatnonzero(table[hashes >> shift])
        runs = np.minimum(np.searchsorted(wanted, hashes[places]), len(wanted) - 1)
        equal = wanted[runs] == hashes[places]
        numbers = np.searchsorted(texts.ends, begin + places[equal], "right")
        pairs.append(np.unique(runs[equal] * len(texts) + numbers))
    unique = np.unique(np.concatenate(pairs))
    return unique // max(1, len(texts)), unique % max(1, len(texts))


@functools.cache
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Powers of the base and of its inverse, modulo 2**64; shape [count]."""
    powers = np.full(count, _BASE, np.uint64)
    inverse = np.full(count, _INVERSE, np.uint64)
    powers[0] = inverse[0] = 1
    return np.cumprod(powers, dtype=np.uint64), np.cumprod(inverse, dtype=np.uint64)


def _run_hashes(text: Numbers, size: int) -> Hashes:
    """A 64-bit rolling hash of each run of `size` words (Karp and Rabin 1987); shape [words - size + 1]."""
    powers, inverse = _powers(1 << len(text).bit_length())
    mixed = text * np.uint64(_BASE)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    mixed *= powers[: len(text)]
    sums = np.zeros(len(text) + 1, np.uint64)
    np.cumsum(mixed, out=sums[1:])
    hashes = (sums[size:] - sums[:-size]) * inverse[: len(text) - size + 1]
    hashes *= np.uint64(_BASE)
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(0x94D049BB133111EB)  # the high bits index the table
    return hashes
