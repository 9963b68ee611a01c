"""Index of training rows: finds test items with the same or reworded questions, or long runs of equal words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tasks.overlap.candidates import find_candidates
from tasks.overlap.encoding import UniqueTexts, Vocabulary
from tasks.overlap.passages import QUESTION, Kind, Overlap, Passage, excerpt
from tasks.overlap.runs import LONGEST_PHRASE, RUN, SHARE, SHORTEST_RUN, STOCK, find_shared_runs
from tasks.overlap.same_question import compare_questions, shared_words
from tasks.overlap.tokens import sentences, word_length
from tasks.words import words

METHOD = (
    "exact: the question has the same words; near: it is the same question but for function words, inflection, the"
    " order of phrases and answer options, a patient's age, one misspelt word or one word more, whereas another content"
    f" word, number or negation makes another question; n-gram: runs of {RUN} equal words (all words of a text of"
    f" {SHORTEST_RUN} to {RUN - 1}; proportionally more characters in scripts without spaces) make up at least"
    f" {SHARE:.0%} of a question, context or answer, phrases of more than {STOCK} otherwise different texts left out"
)
_STRENGTH: dict[Kind, int] = {"exact": 2, "near": 1, "n-gram": 0}


class _Match(NamedTuple):
    """A test text that shares words with a training text, both as numbers of unique texts."""

    text: int
    row_text: int
    kind: Kind
    share: float
    start: int = 0
    size: int = RUN


class TrainingIndex:
    """Training rows that are searched for the texts of test items; 15 million words take half a minute.

    Args:
        rows: All texts of all rows.
    """

    def __init__(self, rows: Sequence[Passage]) -> None:
        self._rows = rows
        self._vocabulary = Vocabulary()
        self._texts = UniqueTexts((passage.text for passage in rows), self._vocabulary)
        by_text = np.argsort(self._texts.number_of, kind="stable")
        self._by_text = np.split(by_text, np.flatnonzero(np.diff(self._texts.number_of[by_text])) + 1)
        is_question = np.zeros(len(self._texts), bool)
        is_question[[self._texts.number_of[n] for n, passage in enumerate(rows) if passage.part == QUESTION]] = True
        self._questions = np.flatnonzero(is_question)

    def find(self, items: Iterable[Passage]) -> list[Overlap]:
        """One overlap for each item that shares text with a row, with the row that shares most, in item order."""
        passages = list(items)
        texts = UniqueTexts((passage.text for passage in passages), self._vocabulary)
        questions = sorted({int(texts.number_of[n]) for n, passage in enumerate(passages) if passage.part == QUESTION})
        matches: dict[tuple[int, bool], list[_Match]] = defaultdict(list)
        for match in self._same_questions(passages, texts, questions):
            matches[match.text, True].append(match)
        lengths = {number: _word_length(passages[place].text) for number, place in enumerate(texts.first)}
        for shared in find_shared_runs(texts, self._texts, lengths):
            match = _Match(shared.text, shared.row_text, "n-gram", shared.share, shared.start, shared.size)
            matches[match.text, False].append(match)
        owners: dict[str, list[tuple[Passage, _Match]]] = {passage.owner: [] for passage in passages}
        for place, passage in enumerate(passages):
            number = int(texts.number_of[place])
            same = matches.get((number, True), []) if passage.part == QUESTION else []
            runs = matches.get((number, False), [])
            if passage.part == QUESTION:
                runs = [match for match in runs if not self._is_other_question(passage.text, match)]
            owners[passage.owner] += [(passage, match) for match in (*same, *runs)]
        return [self._overlap(owner, pairs) for owner, pairs in owners.items() if pairs]

    def _same_questions(
        self, passages: Sequence[Passage], texts: UniqueTexts, questions: Sequence[int]
    ) -> Iterator[_Match]:
        """Test questions that equal a training question or reword it."""
        items = [number for number in questions if len(texts.words_of(number))]
        candidates = find_candidates(
            [texts.words_of(number) for number in items],
            [self._texts.words_of(number) for number in self._questions.tolist()],
            self._vocabulary,
        )
        by_key = {number: key for key, number in texts.keys.items()}
        rows = set(self._questions.tolist())
        for number in items:
            same = self._texts.keys.get(by_key[number])
            if same in rows:
                yield _Match(number, same, "exact", 1.0)
        for place, candidate in candidates:
            number, row = items[place], int(self._questions[candidate])
            if self._texts.keys.get(by_key[number]) == row:
                continue
            text = passages[texts.first[number]].text
            if compare_questions(text, self._row_text(row)) == "same":
                yield _Match(number, row, "near", shared_words(text, self._row_text(row)))

    def _row_text(self, number: int) -> str:
        return self._rows[self._texts.first[number]].text

    def _is_other_question(self, text: str, match: _Match) -> bool:
        """Whether a question shares words with that of a row only because both are from one template."""
        other = self._row_text(match.row_text)
        if self._parts(match.row_text) != {QUESTION} or _is_long(text) or _is_long(other):
            return False
        return compare_questions(text, other) == "decisive"

    def _parts(self, number: int) -> set[str]:
        return {self._rows[place].part for place in self._by_text[number]}

    def _overlap(self, owner: str, pairs: Sequence[tuple[Passage, _Match]]) -> Overlap:
        """The reported overlap of an item: its strongest match, with both texts."""
        rows = {self._rows[place].owner for _, match in pairs for place in self._by_text[match.row_text]}
        passage, best = max(pairs, key=lambda pair: (_STRENGTH[pair[1].kind], pair[1].share))
        places = self._by_text[best.row_text].tolist()
        if best.kind != "n-gram":
            places = [place for place in places if self._rows[place].part == QUESTION]
        row = self._rows[places[0]]
        start = self._place_in_row(passage.text, best) if best.kind == "n-gram" else 0
        return Overlap(
            item=owner,
            row=row.owner,
            kind=best.kind,
            part=passage.part,
            row_part=row.part,
            share=round(best.share, 4),
            rows=len(rows),
            item_text=excerpt(passage.text, best.start, best.size),
            row_text=excerpt(row.text, start, best.size),
        )

    def _place_in_row(self, text: str, match: _Match) -> int:
        """Position of the shared run in the training text, in words."""
        run = self._vocabulary.encode(text)[match.start : match.start + match.size]
        words = self._texts.words_of(match.row_text)
        for start in np.flatnonzero(words[: len(words) - len(run) + 1] == run[0]).tolist():
            if np.array_equal(words[start : start + len(run)], run):
                return int(start)
        return 0


def _word_length(text: str) -> float:
    return 1.0 if text.isascii() else word_length(words(text))


def _is_long(text: str) -> bool:
    """Whether a question is too long for a template: several sentences, or a long one."""
    return len(sentences(text)) > 1 or len(words(text)) > LONGEST_PHRASE * _word_length(text)
