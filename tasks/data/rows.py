"""The two kinds of rows that medbench trains and scores on, made from raw records and checked."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from reports.errors import UserError
from reports.files import read_json
from tasks.data.readers import Record, read_ids, read_records
from tasks.data.source import OFFICIAL_TEST, PUBMEDQA_HUB_ID, DataSource
from tasks.data.splits import sample_indices

LABELS = ("yes", "no", "maybe")
_MAX_FIELD = 60  # characters of a word that items are grouped by
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
        fields: What else the source says of it in a word, such as its speciality, by column.
    """

    id: str
    question: str
    reasoning: str
    response: str
    fields: dict[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class PubMedQAItem:
    """A research question with its abstract (without the conclusion) and the label yes, no or maybe.

    Attributes:
        conclusion: The abstract's own conclusion; empty where the source has none.
        fields: As of a reasoning row.
    """

    id: str
    question: str
    contexts: tuple[str, ...]
    answer: str
    conclusion: str
    fields: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def with_abstract(self) -> str:
        """Abstract and question, as both training and scoring show them."""
        return f"Abstract: {chr(10).join(self.contexts)}\nQuestion: {self.question}"


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=_HasId)


def load_reasoning(source: DataSource, *, seed: int) -> list[ReasoningRow]:
    """Rows of question, reasoning and response.

    PubMedQA rows, where the source says that it holds them, have no reasoning; their response is the label and the
    conclusion.

    Raises:
        UserError: The source is missing or broken, or a column or cell is not as needed; names the file and row.
    """
    if source.kind in ("pubmedqa", "pubmedqa-abstract"):
        return [
            ReasoningRow(
                item.id,
                item.question if source.kind == "pubmedqa" else item.with_abstract,
                "",
                f"{item.answer.capitalize()}. {item.conclusion}".strip(),
            )
            for item in load_pubmedqa(source, seed=seed)
        ]
    cells = _Cells(source, _REASONING_COLUMNS, optional={"id"})

    def make(record: Record) -> ReasoningRow:
        question, reasoning, response = (cells.text(record, name) for name in ("question", "reasoning", "response"))
        digest = hashlib.sha256(f"{question}\0{reasoning}\0{response}".encode()).hexdigest()[:12]
        return ReasoningRow(cells.identifier(record) or digest, question, reasoning, response, cells.others(record))

    return _load(source, make, seed=seed)


def load_pubmedqa(source: DataSource, *, seed: int) -> list[PubMedQAItem]:
    """PubMedQA items in the official form (`ori_pqal.json`) or the hub's (`qiaojin/PubMedQA`, `pqa_labeled`).

    Raises:
        UserError: The source is missing or broken, or a column, cell or label is not as needed; names the file and row.
    """
    cells = _Cells(source, _PUBMEDQA_COLUMNS, optional={"id", "conclusion"})

    def make(record: Record) -> PubMedQAItem:
        question, answer = cells.text(record, "question"), cells.text(record, "answer").lower()
        if answer not in LABELS:
            raise UserError(f"the label is {answer!r}", where=record.where, fix=f"use one of {', '.join(LABELS)}")
        contexts = _contexts(cells.value(record, "context"), record.where)
        digest = hashlib.sha256("\0".join((question, *contexts)).encode()).hexdigest()[:12]
        conclusion = str(cells.value(record, "conclusion") or "").strip()
        identifier = cells.identifier(record) or digest
        return PubMedQAItem(identifier, question, contexts, answer, conclusion, cells.others(record))

    return _load(source, make, seed=seed)


def official_test_ids(source: DataSource) -> DataSource:
    """The source with the official test ids where none are given and it is PubMedQA's.

    That is the data set on the hub, a file with the official `test_ground_truth.json` beside it, or a JSON object by id
    that holds all official test ids.
    """
    if source.ids is None and source.source == PUBMEDQA_HUB_ID:
        return source.model_copy(update={"ids": OFFICIAL_TEST})
    path = source.file()
    beside = None if path is None else path.parent / "test_ground_truth.json"
    if source.ids is None and beside is not None and beside.is_file() and beside != path:
        return source.model_copy(update={"ids": str(beside)})
    if source.ids is None and path is not None and path.suffix == ".json":
        value = read_json(path)
        if isinstance(value, dict) and (read_ids(OFFICIAL_TEST) or set()) <= set(value):
            return source.model_copy(update={"ids": OFFICIAL_TEST})
    return source


def short_fields(values: dict[str, Any]) -> dict[str, str]:
    """Those of some values by name that are a word or a number: what items are grouped by, no text of theirs."""
    return {
        str(key): str(value)
        for key, value in values.items()
        if isinstance(value, str | int | float | bool) and len(str(value)) <= _MAX_FIELD
    }


def _contexts(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, dict):
        value = value.get("contexts", value.get("CONTEXTS"))
    texts = [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, Sequence)
        or not texts
        or not all(isinstance(text, str) and text.strip() for text in texts)
    ):
        raise UserError("the abstract is not a text or a list of texts", where=where, fix="mend or remove the row")
    return tuple(texts)


class _Cells:
    """Finds a row's cells under the names that sources use for them."""

    def __init__(self, source: DataSource, names: dict[str, tuple[str, ...]], *, optional: set[str]) -> None:
        unknown = set(source.columns) - set(names)
        if unknown:
            raise UserError(
                f"the column mapping names {', '.join(sorted(unknown))}",
                where=f"columns of {source.source}",
                fix=f"map only {', '.join(names)}",
            )
        self._names = {name: (source.columns[name],) if name in source.columns else names[name] for name in names}
        self._optional = optional

    def value(self, record: Record, name: str) -> Any:
        """The cell of that name; None where an optional one is missing."""
        for column in self._names[name]:
            if column in record.values:
                return record.values[column]
        if name in self._optional:
            return None
        wanted = " or ".join(self._names[name])
        near = difflib.get_close_matches(self._names[name][0], map(str, record.values), n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(
            f"there is no column {wanted}; found {', '.join(map(str, record.values)) or 'none'}",
            where=record.where,
            fix=f"add the column or map it in the recipe: columns: {{{name}: NAME}}{hint}",
        )

    def text(self, record: Record, name: str) -> str:
        """The cell as a text with something in it."""
        value = self.value(record, name)
        if not isinstance(value, str) or not value.strip():
            found = (
                "nothing" if value is None or value == "" else "blanks" if isinstance(value, str) else repr(value)[:40]
            )
            raise UserError(
                f"column {name} should hold a text, found {found}", where=record.where, fix="mend or remove the row"
            )
        return value.strip()

    def others(self, record: Record) -> dict[str, str]:
        """The cells of further columns that hold a word or a number, by which items can be grouped."""
        known = {column for columns in self._names.values() for column in columns}
        return short_fields({key: value for key, value in record.values.items() if key not in known})

    def identifier(self, record: Record) -> str:
        """The row's own id, from its key or its id column; empty where it has none."""
        value = record.key if record.key is not None else self.value(record, "id")
        return "" if value is None else str(value)


def _load(source: DataSource, make: Callable[[Record], Row], *, seed: int) -> list[Row]:
    records = read_records(source)[source.start : source.stop]
    if not records:
        raise UserError(f"there are no rows from position {source.start} on", where=source.source, fix="lower start")
    rows = _select([make(record) for record in records], source)
    return [rows[index] for index in sample_indices(len(rows), source.rows, seed)]


def _select(rows: Iterable[Row], source: DataSource) -> list[Row]:
    """Apply `ids` and `exclude_ids`; the same row given twice is kept once, two rows under one id are an error."""
    by_id: dict[str, Row] = {}
    for row in rows:
        if by_id.setdefault(row.id, row) != row:
            raise UserError(f"two different rows have the id {row.id}", where=source.source, fix="make the ids unique")
    wanted, unwanted = read_ids(source.ids), read_ids(source.exclude_ids)
    missing = sorted((wanted or set()) - set(by_id))
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(wanted or ())} wanted ids are not in it, such as {missing[0]}",
            where=source.source,
            fix=f"check {source.ids if isinstance(source.ids, str) else 'ids'} against the data",
        )
    kept = [row for row in by_id.values() if (wanted is None or row.id in wanted) and row.id not in (unwanted or ())]
    if not kept:
        raise UserError("no row is left after ids and exclude_ids", where=source.source, fix="check the two lists")
    return kept


def describe_selection(source: DataSource) -> str:
    """Which rows of a source are used, in words for tables, such as `ids of test_ground_truth.json`."""
    if isinstance(source.ids, str):
        official = source.ids == OFFICIAL_TEST or Path(source.ids).name == "test_ground_truth.json"
        words = "official test ids" if official else f"ids of {Path(source.ids).name}"
    elif source.ids is not None:
        words = f"{len(source.ids)} listed ids"
    else:
        words = f"split {source.split}" if source.split else "all rows"
    if source.start or source.stop:
        words += f", positions {source.start} to {'the end' if source.stop is None else source.stop - 1}"
    return words + (", some left out" if source.exclude_ids else "") + (f", {source.rows} drawn" if source.rows else "")
