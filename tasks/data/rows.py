"""The two kinds of rows that medbench trains and scores on, parsed from raw records and checked."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from reports.document.row_account import RowAccount
from reports.errors import UserError
from tasks.data.cells import Cells
from tasks.data.readers import Place, Record, read_records
from tasks.data.selection import Row, check_labels, select
from tasks.data.shapes import USUAL_COLUMNS, ReasoningRow, shape_of
from tasks.data.source import DataSource
from tasks.data.splits import sample_indices
from tasks.data.usable import NoReasoningError, compliant, lacks, no_reasoning, some, usable
from tasks.formats import AnswerFormat

LABELS = ("yes", "no", "maybe")
_HEAD = 1000  # rows whose columns tell the shape of all
_PUBMEDQA_COLUMNS = {
    "id": ("id", "pubid", "PMID"),
    "question": ("question", "QUESTION"),
    "context": ("context", "CONTEXTS"),
    "answer": ("final_decision", "answer"),
    "conclusion": ("LONG_ANSWER", "long_answer"),
}


@dataclass(frozen=True)
class LoadedRows(Generic[Row]):
    """Rows of a source, and what became of its other rows."""

    rows: list[Row]
    account: RowAccount


@dataclass(frozen=True)
class PubMedQAItem:
    """A research question with its abstract (without the conclusion) and the label yes, no or maybe.

    Attributes:
        conclusion: The conclusion of the abstract; empty if the source has none.
        fields: As in `ReasoningRow`.
        place: As in `ReasoningRow`.
    """

    id: str
    question: str
    contexts: tuple[str, ...]
    answer: str
    conclusion: str
    fields: dict[str, str] = field(default_factory=dict, compare=False)
    place: Place | None = field(default=None, compare=False)

    @property
    def with_abstract(self) -> str:
        """Abstract and question, in the wording of training and scoring."""
        return f"Abstract: {chr(10).join(self.contexts)}\nQuestion: {self.question}"


def load_reasoning(source: DataSource, *, seed: int) -> list[ReasoningRow]:
    """The rows that `load_rows` reads for no particular format."""
    return load_rows(source, seed=seed).rows


def load_rows(
    source: DataSource, *, seed: int, answer_format: AnswerFormat | None = None, keep_duplicates: bool = False
) -> LoadedRows[ReasoningRow]:
    """Rows of questions and answers, conversations or plain texts, in any shape of `tasks.data.shapes`.

    PubMedQA rows, if the source is of that kind, have no reasoning; their response is the label and the conclusion.

    Args:
        source: The source.
        seed: Seed of the draw.
        answer_format: The format of the answers; rows without the reasoning that it asks for are unusable.
        keep_duplicates: Whether rows that repeat earlier ones are kept.

    Raises:
        UserError: The source is missing or broken, its columns fit no shape, or rows are unusable and not to be left
            out; names the file and the rows.
    """
    if source.kind in ("pubmedqa", "pubmedqa-abstract"):
        return _pubmedqa_rows(source, seed, answer_format, keep_duplicates=keep_duplicates)
    records = records_within(source, USUAL_COLUMNS | {*source.columns.values()})
    head = list(itertools.islice(records, _HEAD))
    shape = shape_of(source, head)
    account = RowAccount(kind=shape.kind, columns=shape.columns, unread=shape.unread, keeps_duplicates=keep_duplicates)

    def make(record: Record) -> ReasoningRow:
        row = shape.row(record)
        account.split_reasoning += bool(row.reasoning) and "reasoning" not in shape.columns
        if answer_format is not None and answer_format.has_reasoning and not row.has_reasoning:
            raise NoReasoningError(lacks(answer_format, "an earlier turn without" if row.reasoning else "no"))
        return row

    rows = _kept(usable(itertools.chain(head, records), make, source, account), source, answer_format, account)
    selected, account.duplicates = select(rows, source, keep_duplicates=keep_duplicates)
    return LoadedRows(_drawn(selected, source, seed), account)


def _kept(
    rows: Iterable[ReasoningRow], source: DataSource, answer_format: AnswerFormat | None, account: RowAccount
) -> Iterable[ReasoningRow]:
    """The rows without those that violate their format, if the source leaves these out."""
    if answer_format is None or source.format_violations != "drop":
        return rows
    account.drops_violating = True
    return some(compliant(rows, answer_format, account), source, account)


def count_violations(loaded: LoadedRows[ReasoningRow], answer_format: AnswerFormat) -> RowAccount:
    """The account of rows once it is decided which are used, with the format violations of their gold answers.

    Args:
        loaded: The used rows, and the account of their source.
        answer_format: The format of the answers.
    """
    account = loaded.account.model_copy(update={"used": len(loaded.rows)})
    if not answer_format.has_reasoning:
        account.unused_reasoning = sum(bool(row.reasoning) for row in loaded.rows)
    if not account.drops_violating:
        account.violations, account.violating, account.marked_responses = {}, 0, 0
        for _ in compliant(loaded.rows, answer_format, account):
            pass
    return account


def load_pubmedqa(source: DataSource, *, seed: int) -> list[PubMedQAItem]:
    """PubMedQA items in the official form (`ori_pqal.json`) or the hub's (`qiaojin/PubMedQA`, `pqa_labeled`).

    Raises:
        UserError: The source is missing or broken, a column, cell or label is invalid, or the list of ids has
            different gold labels; names the file and row.
    """
    return load_items(source, seed=seed).rows


def load_items(source: DataSource, *, seed: int, keep_duplicates: bool = False) -> LoadedRows[PubMedQAItem]:
    """PubMedQA items as `load_pubmedqa` reads them, and what became of the other rows."""
    cells = Cells(source, _PUBMEDQA_COLUMNS, optional={"id", "conclusion"})

    def make(record: Record) -> PubMedQAItem:
        question, answer = cells.text(record, "question"), cells.text(record, "answer").lower()
        if answer not in LABELS:
            raise UserError(f"the label is {answer!r}", where=record.where, fix=f"use one of {', '.join(LABELS)}")
        contexts = _contexts(cells.value(record, "context"), record.where)
        digest = hashlib.sha256("\0".join((question, *contexts)).encode()).hexdigest()[:12]
        conclusion = str(cells.value(record, "conclusion") or "").strip()
        identifier = cells.identifier(record) or digest
        fields = cells.others(record)
        return PubMedQAItem(identifier, question, contexts, answer, conclusion, fields, record.place)

    account = RowAccount(kind="pubmedqa", keeps_duplicates=keep_duplicates)
    rows = usable(records_within(source, cells.columns), make, source, account)
    items, account.duplicates = select(rows, source, keep_duplicates=keep_duplicates)
    check_labels({item.id: item.answer for item in items}, source)
    drawn = _drawn(items, source, seed)
    return LoadedRows(drawn, account.model_copy(update={"used": len(drawn)}))


def _pubmedqa_rows(
    source: DataSource, seed: int, answer_format: AnswerFormat | None, *, keep_duplicates: bool
) -> LoadedRows[ReasoningRow]:
    """PubMedQA items as rows without reasoning."""
    loaded = load_items(source.model_copy(update={"rows": None}), seed=seed, keep_duplicates=keep_duplicates)
    if answer_format is not None and answer_format.has_reasoning:
        raise no_reasoning(lacks(answer_format), source, loaded.account)
    rows = (
        ReasoningRow(
            item.id,
            item.question if source.kind == "pubmedqa" else item.with_abstract,
            "",
            f"{item.answer.capitalize()}. {item.conclusion}".strip(),
            place=item.place,
        )
        for item in loaded.rows
    )
    kept = list(_kept(rows, source, answer_format, loaded.account))
    return LoadedRows(_drawn(kept, source, seed), loaded.account)


def _contexts(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, dict):
        value = value.get("contexts", value.get("CONTEXTS"))
    texts = [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, Sequence)
        or not texts
        or not all(isinstance(text, str) and text.strip() for text in texts)
    ):
        raise UserError("the abstract is not a text or a list of texts", where=where, fix="fix or remove the row")
    return tuple(texts)


def records_within(source: DataSource, needed: Collection[str]) -> Iterator[Record]:
    """The records of a source within its positions, read one by one."""
    records = itertools.islice(read_records(source, needed), source.start, source.stop)
    first = next(records, None)
    if first is None:
        raise UserError(f"there are no rows from position {source.start} on", where=source.label, fix="lower start")
    return itertools.chain([first], records)


def _drawn(rows: list[Row], source: DataSource, seed: int) -> list[Row]:
    return [rows[index] for index in sample_indices(len(rows), source.rows, seed)]
