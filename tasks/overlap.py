"""Finds test items that share text with training rows: equal or nearly equal questions, long runs of equal words."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from tasks.words import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint64]

# Runs of 13 words tell copies from chance, 8 is the least that a run may have, and a run that stands in more than ten
# texts is a stock phrase (Brown et al. 2020, GPT-3, appendix C); below a fifth of its words a text counts as clean
# (Touvron et al. 2023, Llama 2, appendix A.6).
RUN = 13
_SHORTEST_RUN = 8
_STOCK = 10
_SHARE = 0.2
NEAR = 0.8  # share of equal words in order; two questions of clean data reach 0.72 at most in what was looked at
_SHORTEST_NEAR = 6  # words; shorter questions share their wording by chance
_TRIGRAM = 3
_CANDIDATE = 0.2  # share of a question's trigrams that another must hold to be compared with it word by word
_TABLE_BITS = 24
_BLOCK = 500  # questions held against all rows at once, so that memory stays bounded
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

METHOD = (
    f"exact: the question is equal after normalisation; near: at least {NEAR:.0%} of its words are the same in order;"
    f" n-gram: runs of {RUN} equal words (all words of a text of {_SHORTEST_RUN} to {RUN - 1}) make up at least"
    f" {_SHARE:.0%} of a question, context or answer, stock phrases left out"
)
Kind = Literal["exact", "near", "n-gram"]
_STRENGTH: dict[Kind, int] = {"exact": 2, "near": 1, "n-gram": 0}


@dataclass(frozen=True)
class Passage:
    """One text of a training row or a test item.

    Attributes:
        owner: The row's or item's id.
        part: What it is of it: `question`, or another name such as `context`; only questions are compared as wholes.
        text: The text itself.
    """

    owner: str
    part: str
    text: str


@dataclass(frozen=True)
class Overlap:
    """One test item that shares text with training rows.

    Attributes:
        item: The item's id.
        row: Id of the training row that shares most.
        kind: How, the strongest kind where there are several.
        part: The item's part that is shared.
        share: Share of that part's words that the row holds.
        rows: How many training rows share text with the item.
    """

    item: str
    row: str
    kind: Kind
    part: str
    share: float
    rows: int


class TrainingIndex:
    """Training rows as one stream of words, searched for runs of words by hash; millions of words take seconds.

    Args:
        rows: All texts of all rows.
    """

    def __init__(self, rows: Sequence[Passage]) -> None:
        self._owners = [passage.owner for passage in rows]
        self._vocabulary: dict[str, int] = {}
        texts = [self._encode(passage.text) for passage in rows]
        self._questions = {number: texts[number] for number, passage in enumerate(rows) if passage.part == "question"}
        self._equal: dict[bytes, list[int]] = defaultdict(list)
        for number, text in self._questions.items():
            self._equal[text.tobytes()].append(number)
        gap = np.zeros(1, np.uint64)  # no word has the number 0, so that no run goes from one text into the next
        self._stream = np.concatenate([gap, *(part for text in texts for part in (text, gap))])
        self._ends = np.cumsum([len(text) + 1 for text in texts])

    def find(self, items: Iterable[Passage]) -> list[Overlap]:
        """Every item that shares text with a row, once, with the row that shares most; in the order of the items."""
        passages = list(items)
        texts = [self._encode(passage.text) for passage in passages]
        found: dict[str, dict[str, Overlap]] = {passage.owner: {} for passage in passages}
        for passage, text in zip(passages, texts, strict=True):
            for number in self._equal.get(text.tobytes(), ()) if passage.part == "question" and len(text) else ():
                _note(found, passage, self._owners[number], "exact", 1.0)
        for number, row, share in self._near(
            {n: texts[n] for n, each in enumerate(passages) if each.part == "question"}
        ):
            _note(found, passages[number], row, "near", share)
        for size in range(_SHORTEST_RUN, RUN + 1):
            chosen = {n: text for n, text in enumerate(texts) if min(len(text), RUN) == size}
            for number, row, share in self._shared_runs(chosen, size):
                _note(found, passages[number], row, "n-gram", share)
        strongest = (max(rows.values(), key=_rank) for rows in found.values() if rows)
        return [replace(each, rows=len(found[each.item])) for each in strongest]

    def _encode(self, text: str) -> Numbers:
        """Numbers of a text's words, from 1; a word never seen before gets the next one."""
        known = self._vocabulary
        return np.fromiter((known.setdefault(word, len(known) + 1) for word in words(text)), dtype=np.uint64)

    def _shared_runs(self, texts: dict[int, Numbers], size: int) -> Iterable[tuple[int, str, float]]:
        """(number of a text, row, share of the text's words that lie in runs of `size` words which the row holds)."""
        if not texts:
            return
        runs = {number: _run_hashes(text, size) for number, text in texts.items()}
        wanted, counts = np.unique(np.concatenate([np.unique(each) for each in runs.values()]), return_counts=True)
        holders = self._holders(wanted, size)
        holders.update((run, []) for run in wanted[counts > _STOCK].tolist())
        known = np.asarray(list(holders), np.uint64)
        for number, hashes in runs.items():
            stock: set[int] = set()
            covered: dict[int, set[int]] = defaultdict(set)
            for start in np.flatnonzero(np.isin(hashes, known)).tolist():
                places = range(start, start + size)
                for text in holders[int(hashes[start])]:
                    covered[text].update(places)
                if not holders[int(hashes[start])]:
                    stock.update(places)
            for text, shared in covered.items():
                if (share := len(shared - stock) / len(texts[number])) >= _SHARE:
                    yield number, self._owners[text], share

    def _holders(self, wanted: Numbers, size: int) -> dict[int, list[int]]:
        """Which training texts hold each wanted run, by its hash; an empty list for stock phrases."""
        hashes = _run_hashes(self._stream, size)
        # A table of some bits of the hashes sorts out nearly all runs at a fraction of the cost of a search.
        table = np.zeros(1 << _TABLE_BITS, bool)
        shift = np.uint64(64 - _TABLE_BITS)
        table[wanted >> shift] = True
        places = np.flatnonzero(table[hashes >> shift])
        places = places[np.isin(hashes[places], wanted)]
        texts = np.searchsorted(self._ends, places, "right")
        found: dict[int, list[int]] = defaultdict(list)
        for run, text in sorted(set(zip(hashes[places].tolist(), texts.tolist(), strict=True))):
            found[run].append(text)
        return {run: [] if len(holders) > _STOCK else holders for run, holders in found.items()}

    def _near(self, texts: dict[int, Numbers]) -> Iterable[tuple[int, str, float]]:
        """(number of a question, row, share of equal words) where a row's question differs in a few words only."""
        asked = [number for number, text in texts.items() if len(text) >= _SHORTEST_NEAR]
        trained = [number for number, text in self._questions.items() if len(text) >= _SHORTEST_NEAR]
        rows = [self._questions[number] for number in trained]
        for start in range(0, len(asked) if trained else 0, _BLOCK):
            block = asked[start : start + _BLOCK]
            for place, candidate in _shared_trigrams([texts[number] for number in block], rows):
                one, other = texts[block[place]].tolist(), rows[candidate].tolist()
                share = difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
                if share >= NEAR:
                    yield block[place], self._owners[trained[candidate]], share


def _note(found: dict[str, dict[str, Overlap]], passage: Passage, row: str, kind: Kind, share: float) -> None:
    """Remember an overlap of an item with a row unless a stronger one of theirs is known."""
    new = Overlap(passage.owner, row, kind, passage.part, round(share, 4), rows=1)
    known = found[passage.owner].get(row)
    if known is None or _rank(new) > _rank(known):
        found[passage.owner][row] = new


def _rank(overlap: Overlap) -> tuple[int, float]:
    return _STRENGTH[overlap.kind], overlap.share


def _run_hashes(text: Numbers, size: int) -> Numbers:
    """A 64-bit hash for each run of `size` words; shape [words - size + 1]."""
    count = len(text) - size + 1
    if count < 1:
        return np.empty(0, np.uint64)
    hashes = np.zeros(count, np.uint64)
    mixed = (text * _MULTIPLIER) ^ ((text * _MULTIPLIER) >> np.uint64(29))
    for place in range(size):
        hashes = (hashes ^ mixed[place : place + count]) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(32)
    return hashes


def _shared_trigrams(items: Sequence[Numbers], rows: Sequence[Numbers]) -> Iterable[tuple[int, int]]:
    """Pairs (item, row) of questions that share enough trigrams to be worth comparing word by word."""
    from scipy import sparse

    hashes = [np.unique(_run_hashes(text, _TRIGRAM)) for text in (*items, *rows)]
    sizes = np.asarray([len(each) for each in hashes])
    known, columns = np.unique(np.concatenate(hashes), return_inverse=True)
    shape = (len(hashes), len(known))
    table = sparse.csr_matrix((np.ones(len(columns), np.float32), columns, [0, *np.cumsum(sizes)]), shape=shape)
    pairs = (table[: len(items)] @ table[len(items) :].T).tocoo()
    enough = pairs.data >= _CANDIDATE * np.maximum(sizes[pairs.row], sizes[len(items) + pairs.col])
    return zip(pairs.row[enough].tolist(), pairs.col[enough].tolist(), strict=True)
