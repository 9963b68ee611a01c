"""Reads which option of a question is the gold one: a letter, a number or a text, decided over all rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

from reports.errors import UserError
from tasks.data.selection import id_text, is_no_value
from tasks.data.source import AnswerKind, QuestionSource
from tasks.data.turns import UnusableRowError

_KINDS: dict[AnswerKind, str] = {
    "letters": "letters",
    "texts": "texts of the options",
    "from-0": "numbers from 0",
    "from-1": "numbers from 1",
}
_NAMED = r"(?:(?:option|answer|choice)[ :]{1,3})?"
_LETTER = re.compile(rf"{_NAMED}[(\[\"'*]{{0,3}}([a-z])[)\]\"'*.:]{{0,3}}", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(rf"{_NAMED}[(\[]?([a-z])[)\].:-]{{1,2}}\s+(\S.*)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"\d{1,2}")
_BETWEEN = r"(?:\s*(?:[,;/&+]|\band\b)\s*)"
_SEVERAL = re.compile(rf"\(?([a-z]|\d{{1,2}})\)?(?:{_BETWEEN}\(?([a-z]|\d{{1,2}})\)?)+", re.IGNORECASE)
_SEVERAL_LETTERS = re.compile(r"[A-Z]{2,26}")

Readings = Mapping[AnswerKind, int]  # position of the gold option by the way of reading the answer


class ReadAnswer(NamedTuple):
    """The answer of one row.

    Attributes:
        where: Position of the row, for messages.
        text: The answer as it stands there.
        readings: What it says in the ways in which it can be read.
    """

    where: str
    text: str
    readings: Readings


def normalised(text: str) -> str:
    """A text without regard to case and white space."""
    return " ".join(text.split()).casefold()


def read_answer(cell: Any, options: Sequence[str], where: str) -> ReadAnswer:
    """The ways in which an answer can be read, without choosing between them.

    Raises:
        UnusableRowError: There is no answer, there are several, or it names no option.
    """
    cell = _single(cell)
    text = "" if cell is None or cell != cell else str(cell).strip()  # noqa: PLR0124 - NaN, as pandas holds a missing one
    if is_no_value(text):
        raise UnusableRowError("there is no answer")
    plain, texts = normalised(text), [normalised(option) for option in options]
    readings: dict[AnswerKind, int] = {}
    if letter := _LETTER.fullmatch(text):
        readings["letters"] = ascii_uppercase.index(letter[1].upper())
    elif (both := _LETTER_AND_TEXT.fullmatch(text)) and normalised(both[2]) in texts:
        place = ascii_uppercase.index(both[1].upper())
        if place >= len(texts) or texts[place] != normalised(both[2]):
            raise UnusableRowError("the letter and the text of the answer are of two options")
        readings["letters"] = place
    if plain in texts:
        readings["texts"] = texts.index(plain)
    if number := _NUMBER.fullmatch(id_text(cell)):
        readings |= {"from-0": int(number[0]), "from-1": int(number[0]) - 1}
    readings = {kind: place for kind, place in readings.items() if 0 <= place < len(options)}
    if not readings:
        several = _several(text, len(options))
        raise UnusableRowError("there are two correct answers" if several else "the answer is not among the options")
    return ReadAnswer(where, text, readings)


def _single(cell: Any) -> Any:
    """The answer in a list of one, which may be stored as JSON text; the cell itself if it is no list."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except ValueError:
            return cell
    if isinstance(cell, list | tuple):
        if len(cell) > 1:
            raise UnusableRowError("there are two correct answers")
        return cell[0] if cell else None
    return cell


def _several(text: str, options: int) -> bool:
    """Whether a text names several options by letter or number, such as `A, C` or `AC`."""
    if _SEVERAL.fullmatch(text):
        names = re.findall(r"[a-z](?![a-z])|\d+", text, re.IGNORECASE)
        numbers = [int(name) for name in names if name.isdigit()]
        letters = [ascii_uppercase.index(name.upper()) for name in names if name.isalpha()]
        return all(number <= options for number in numbers) and all(letter < options for letter in letters)
    places = [ascii_uppercase.index(letter) for letter in text] if _SEVERAL_LETTERS.fullmatch(text) else []
    return len(places) > 1 and places == sorted(set(places)) and places[-1] < options


class AnswerColumn:
    """How the answers of a source are read, decided over all its rows and never for one row alone.

    A way of reading that fits every row decides rows that can be read in several ways. Whether numbers count from 0 or
    from 1 therefore shows in any row that says 0 or the number of its options.

    Args:
        answers: The answers of all readable rows.
        source: Their source, which may say how they are read.

    Raises:
        UserError: The rows can be read in several ways with different results.
    """

    def __init__(self, answers: Sequence[ReadAnswer], source: QuestionSource) -> None:
        self._declared = source.answers
        self._fitting = [kind for kind in _KINDS if all(kind in answer.readings for answer in answers)]
        if self._declared is None:
            self._check_numbers(answers, source)
            unclear = [answer for answer in answers if self._gold(answer.readings) is None]
            if unclear:
                raise _unclear(unclear, source)
        self._counts = Counter(
            self._kind(answer.readings) for answer in answers if self._gold(answer.readings) is not None
        )

    def gold(self, answer: ReadAnswer) -> int:
        """Position of the gold option.

        Raises:
            UnusableRowError: The answer cannot be read in the way that the source declares.
        """
        place = self._gold(answer.readings)
        if place is None:
            raise UnusableRowError(f"the answer is none of the {_KINDS[self._declared or 'letters']} of the options")
        return place

    @property
    def described(self) -> str:
        """How the answers are read, in words."""
        if len(self._counts) == 1:
            return f"answers: {_KINDS[next(iter(self._counts))]}"
        return "answers: " + ", ".join(f"{_KINDS[kind]} ({count:,})" for kind, count in self._counts.most_common())

    def _gold(self, readings: Readings) -> int | None:
        if self._declared is not None:
            return readings.get(self._declared)
        places = set(readings.values())
        if len(places) > 1:
            places = {readings[kind] for kind in self._fitting}
        return places.pop() if len(places) == 1 else None

    def _kind(self, readings: Readings) -> AnswerKind:
        if self._declared is not None:
            return self._declared
        place = self._gold(readings)
        return next(kind for kind in (*self._fitting, *_KINDS) if readings.get(kind) == place)

    def _check_numbers(self, answers: Sequence[ReadAnswer], source: QuestionSource) -> None:
        """See that not one row says 0 and another the number of its options."""
        from_0, from_1 = (
            next((answer for answer in answers if [*answer.readings] == [kind]), None) for kind in ("from-0", "from-1")
        )
        if from_0 and from_1:
            raise UserError(
                f"the answers are numbers that start neither at 0 nor at 1: {from_0.text} ({from_0.where}) and"
                f" {from_1.text}, as many as there are options ({from_1.where})",
                where=source.label,
                fix=_how("from-0", "from-1"),
            )


def _unclear(answers: Sequence[ReadAnswer], source: QuestionSource) -> UserError:
    """Rows that can be read in several ways, by the first of them."""
    first = answers[0]
    ways = " or ".join(_KINDS[kind] for kind in first.readings)
    more = f", like {len(answers) - 1:,} more" if len(answers) > 1 else ""
    return UserError(
        f"the answers can be read as {ways}, which gives different options: {first.text} ({first.where}){more}",
        where=source.label,
        fix=_how(*first.readings),
    )


def _how(*kinds: AnswerKind) -> str:
    """How to state the way of reading."""
    ways = " or ".join(f"--set data.questions.answers={kind}" for kind in kinds)
    return f"say how they are read: {ways}"
