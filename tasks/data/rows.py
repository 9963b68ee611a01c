"""The two kinds of rows that medbench trains and scores on, parsed from raw records and checked."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.errors import UserError
from tasks.data.cells import Cells
from tasks.data.readers import Place, Record, read_records
from tasks.data.selection import Row, check_labels, select
from tasks.data.source import DataSource
from tasks.data.splits import sample_indices

LABELS = ("yes", "no", "maybe")
_REASONING_COLUMNS = {
    "id": ("id",),
    "question": ("question", "Question"),
    "reasoning": ("complex_cot", "Complex_CoT", "reasoning"),
    "response": ("response", "Response"),
}
_PUBMEDQA_COLUMNS = {
    "id": ("id", "pubid", "PMID"),
    "question": ("question", "QUESTION"),
    "context": ("context", "CONTEXTS"),
    "answer": ("final_decision", "answer"),
    "conclusion": ("LONG_ANSWER", "long_answer"),
}


@dataclass(frozen=True)
class ReasoningRow:
    """A medical question with step-by-step reasoning and a final response.

    Attributes:
        fields: Short values of other columns, such as the speciality, by column.
        place: Position in the source, or None for a row made in code.
    """

    id: str
    question: str
    reasoning: str
    response: str
    fields: dict[str, str] = field(default_factory=dict, compare=False)
    place: Place | None = field(default=None, compare=False)


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
    """Rows of question, reasoning and response.

    PubMedQA rows, if the source is of that kind, have no reasoning; their response is the label and the conclusion.

    Raises:
        UserError: The source is missing or broken, or a column or cell is invalid; names the file and row.
    """
    if source.kind in ("pubmedqa", "pubmedqa-abstract"):
        return [
            ReasoningRow(
                item.id,
                item.question if source.kind == "pubmedqa" else item.with_abstract,
                "",
                f"{item.answer.capitalize()}. {item.conclusion}".strip(),
                place=item.place,
            )
            for item in load_pubmedqa(source, seed=seed)
        ]
    cells = Cells(source, _REASONING_COLUMNS, optional={"id"})

    def make(record: Record) -> ReasoningRow:
        question, reasoning, response = (cells.text(record, name) for name in ("question", "reasoning", "response"))
        digest = hashlib.sha256(f"{question}\0{reasoning}\0{response}".encode()).hexdigest()[:12]
        identifier = cells.identifier(record) or digest
        return ReasoningRow(identifier, question, reasoning, response, cells.others(record), record.place)

    return _drawn(_selected(source, cells, make), source, seed)


def load_pubmedqa(source: DataSource, *, seed: int) -> list[PubMedQAItem]:
    """PubMedQA items in the official form (`ori_pqal.json`) or the hub's (`qiaojin/PubMedQA`, `pqa_labeled`).

    Raises:
        UserError: The source is missing or broken, a column, cell or label is invalid, or the list of ids has
            different gold labels; names the file and row.
    """
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

    items = _selected(source, cells, make)
    check_labels({item.id: item.answer for item in items}, source)
    return _drawn(items, source, seed)


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


def _selected(source: DataSource, cells: Cells, make: Callable[[Record], Row]) -> list[Row]:
    """The rows of a source selected by its positions and ids; other rows and copies do not stay in memory."""
    rows = map(make, itertools.islice(read_records(source, cells.columns), source.start, source.stop))
    first = next(rows, None)
    if first is None:
        raise UserError(f"there are no rows from position {source.start} on", where=source.label, fix="lower start")
    return select(itertools.chain([first], rows), source)


def _drawn(rows: list[Row], source: DataSource, seed: int) -> list[Row]:
    return [rows[index] for index in sample_indices(len(rows), source.rows, seed)]
