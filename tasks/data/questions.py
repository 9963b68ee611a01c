"""Reads the user's own multiple-choice questions, and names the rows that cannot be scored."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reports.document.row_account import RowAccount, shortened
from reports.errors import UserError, did_you_mean
from tasks.data.cells import Cells, valid_unicode
from tasks.data.gold_options import AnswerColumn, ReadAnswer, normalised, read_answer
from tasks.data.options import (
    SEPARATOR,
    USUAL_OPTION_COLUMNS,
    OptionColumns,
    find_option_columns,
    speak_of_others,
    spellings,
)
from tasks.data.readers import Place, Record
from tasks.data.rows import LoadedRows, records_within
from tasks.data.selection import select
from tasks.data.source import QuestionSource
from tasks.data.splits import sample_indices
from tasks.data.turns import UnusableRowError
from tasks.data.usable import usable

_USUAL = {
    "id": ("id", "question_id", "qid"),
    "question": ("question", "stem", "question_stem", "question_text", "prompt", "query", "input", "problem"),
    "answer": (
        "answer_idx",
        "answer_index",
        "answer_key",
        "correct_option",
        "correct_answer",
        "correct_choice",
        "correct",
        "cop",
        "answer",
        "gold",
        "label",
        "target",
        "solution",
    ),
    "subject": ("subject", "subject_name", "topic", "category", "speciality", "specialty"),
}
_OPTIONAL = {"id", "subject", "options"}
_REASONS = 12  # in a message: all that there are
_NEEDED = USUAL_OPTION_COLUMNS.union(*(spellings(name) for names in _USUAL.values() for name in names))


@dataclass(frozen=True)
class Question:
    """A multiple-choice question.

    Attributes:
        options: The options in the order of the source.
        gold: Position of the right one.
        subject: Its subject, or empty.
        fields: As in `ReasoningRow`.
        place: As in `ReasoningRow`.
    """

    id: str
    question: str
    options: tuple[str, ...]
    gold: int
    subject: str = ""
    fields: dict[str, str] = field(default_factory=dict, compare=False)
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class _Draft:
    """A row whose answer is not read yet, since all rows together decide how."""

    question: str
    options: tuple[str, ...]
    answer: ReadAnswer

    @property
    def content(self) -> tuple[str, ...]:
        """Question and options, in whatever order these are."""
        return (" ".join(self.question.split()), *sorted(self.options))


def load_questions(source: QuestionSource, *, seed: int) -> LoadedRows[Question]:
    """Multiple-choice questions of any usual shape, and what became of the other rows.

    Rows with the same question and options count once, in whatever order the options are.

    Args:
        source: The source.
        seed: Seed of the draw, if the source draws rows.

    Raises:
        UserError: The source is missing or broken, lacks a column, says nowhere how its answers are to be read, or has
            rows that cannot be used; names the file and the rows.
    """
    records = list(records_within(source, _NEEDED | _mapped(source)))
    reader = _RowReader(source, records)
    drafts = list(reader.drafts(records))
    column = AnswerColumn([draft.answer for draft in drafts], source)
    account = RowAccount(kind="multiple-choice", columns=reader.columns, unread=reader.unread)
    golds: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for draft in drafts:
        with contextlib.suppress(UnusableRowError):
            golds[draft.content].add(draft.options[column.gold(draft.answer)])

    def make(record: Record) -> tuple[tuple[str, ...], Question]:
        draft = reader.draft(record)
        gold = column.gold(draft.answer)
        reader.check_other_answers(record, draft.options, gold)
        if len(golds[draft.content]) > 1:
            raise UnusableRowError("the same question and options have another answer in another row")
        return draft.content, reader.question(record, draft, gold)

    unique: dict[tuple[str, ...], Question] = {}
    repeated = 0
    for content, question in usable(records, make, source, account, shown=_REASONS):
        repeated += content in unique
        unique.setdefault(content, question)
    chosen, account.duplicates = select(unique.values(), source)
    account.duplicates += repeated
    account.decisions = [column.described, *_kept_orders(chosen)]
    drawn = [chosen[index] for index in sample_indices(len(chosen), source.rows, seed)]
    account.used = len(drawn)
    return LoadedRows(drawn, account)


def _kept_orders(questions: Sequence[Question]) -> list[str]:
    kept = sum(speak_of_others(question.options) for question in questions)
    return [f"options kept in order where one speaks of others, as in all of the above: {kept:,}"] if kept else []


def _mapped(source: QuestionSource) -> set[str]:
    return {name for column in source.columns.values() for name in column.split(SEPARATOR)} | {*source.columns.values()}


class _RowReader:
    """Reads rows with the columns that a source has.

    Attributes:
        columns: Columns that are read, by what they are read as.
        unread: Other columns.
    """

    def __init__(self, source: QuestionSource, records: Sequence[Record]) -> None:
        _check_mapping(source)
        present = list(dict.fromkeys(str(name) for record in records for name in record.values))
        self._options = _option_columns(source, present)
        usual = {
            name: column
            for name, names in _USUAL.items()
            if (column := _usual(names, present, self._options)) is not None
        }
        self.columns = {**usual, **source.columns}
        missing = [name for name in ("question", "answer") if name not in self.columns]
        missing += [] if self._options else ["options"]
        absent = [name for name, column in self.columns.items() if name != "options" and column not in present]
        if missing or absent:
            raise _no_columns(source, missing, absent, records[0], present)
        assert self._options is not None
        self.columns["options"] = self._options.described
        names: dict[str, tuple[str, ...]] = {
            name: (self.columns.get(name, name),) for name in ("id", "question", "options", "answer", "subject")
        }
        self._cells = Cells(source.model_copy(update={"columns": {}}), names, optional=_OPTIONAL)
        read = {*self.columns.values(), *self._options.names}
        self.unread = [name for name in present if name not in read]
        usual_answers = {spelling for name in _USUAL["answer"] for spelling in spellings(name)}
        self._other_answers = [name for name in self.unread if name in usual_answers]

    def draft(self, record: Record) -> _Draft:
        """A row before its answer is read.

        Raises:
            UnusableRowError: It lacks a question, options or an answer, or its answer names no option.
            UserError: A cell is invalid.
        """
        value = self._cells.value(record, "question")
        question = str(value).strip() if isinstance(value, str | int | float) and value == value else ""  # noqa: PLR0124
        if not question:
            raise UnusableRowError("the question is empty")
        assert self._options is not None
        options = valid_unicode(self._options.read(record.values), "an option", record.where)
        return _Draft(question, options, read_answer(self._cells.value(record, "answer"), options, record.where))

    def drafts(self, records: Sequence[Record]) -> Iterator[_Draft]:
        """The rows that can be read."""
        for record in records:
            with contextlib.suppress(UnusableRowError, UserError):
                yield self.draft(record)

    def check_other_answers(self, record: Record, options: Sequence[str], gold: int) -> None:
        """See that no other column with an answer holds the text of another option.

        Raises:
            UnusableRowError: One does.
        """
        texts = [normalised(option) for option in options]
        for name in self._other_answers:
            cell = record.values.get(name)
            if isinstance(cell, str) and len(cell.strip()) > 1 and normalised(cell) in texts:
                place = texts.index(normalised(cell))
                if place != gold:
                    raise UnusableRowError(f"columns {self.columns['answer']} and {name} name different options")

    def question(self, record: Record, draft: _Draft, gold: int) -> Question:
        """The question of a row whose answer is read."""
        identifier = self._cells.identifier(record)
        digest = hashlib.sha256("\0".join(draft.content).encode()).hexdigest()[:12]
        subject = str(self._cells.value(record, "subject") or "").strip()
        assert self._options is not None
        others = {name: text for name, text in self._cells.others(record).items() if name not in self._options.names}
        fields = others | ({"subject": subject} if subject else {})
        return Question(identifier or digest, draft.question, draft.options, gold, subject, fields, record.place)


def _check_mapping(source: QuestionSource) -> None:
    odd = sorted(source.columns.keys() - {*_USUAL, "options"})
    if odd:
        raise UserError(
            f"the column mapping names {', '.join(odd)}",
            where=f"columns of {source.label}",
            fix=f"map only {', '.join((*_USUAL, 'options'))}",
        )


def _option_columns(source: QuestionSource, present: Sequence[str]) -> OptionColumns | None:
    """The columns with the options, as the source maps them or by their usual names.

    Raises:
        UserError: The source maps columns that are not there.
    """
    mapped = source.columns.get("options")
    if mapped is None:
        return find_option_columns([name for name in present if name not in source.columns.values()])
    names = (mapped,) if mapped in present else tuple(name.strip() for name in mapped.split(SEPARATOR))
    missing = [name for name in names if name not in present]
    if missing:
        raise UserError(
            f"there is no column {missing[0]}; the columns are {shortened(present)}",
            where=source.label,
            fix=f"correct the columns, such as --columns 'options=A|B|C|D' {did_you_mean(missing[0], present)}",
        )
    return OptionColumns(names)


def _usual(names: Sequence[str], present: Sequence[str], options: OptionColumns | None) -> str | None:
    taken = set(options.names) if options else set()
    return next((column for name in names for column in present if column in spellings(name) - taken), None)


def _no_columns(
    source: QuestionSource, missing: Sequence[str], absent: Sequence[str], first: Record, present: Sequence[str]
) -> UserError:
    """Which columns are missing, with the mapping that would help."""
    what = f"column {source.columns[absent[0]]}" if absent else f"column for {' and '.join(missing)}"
    near = did_you_mean(source.columns[absent[0]] if absent else missing[0], present)
    mapping = ",".join(f"{name}={'A|B|C|D' if name == 'options' else 'NAME'}" for name in (absent or missing))
    return UserError(
        f"there is no {what}; the columns are {shortened(present) or 'none'}",
        where=first.where,
        fix=f"map the columns of the questions: --columns '{mapping}'{f' ({near})' if near else ''}",
    )
