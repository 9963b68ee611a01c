"""Infers the shape of rows from their columns, and reads a row of any shape."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reports.document.row_account import shortened
from reports.errors import UserError, did_you_mean
from tasks.data.cells import Cells
from tasks.data.readers import Place, Record
from tasks.data.selection import is_no_value
from tasks.data.source import DataSource
from tasks.data.turns import Turn, as_turns, check_alternation, is_list_text, read_pairs, read_turns
from tasks.formats import AnswerFormat, split_marked

_QUESTION = ("question", "prompt", "query", "input")
_REASONING = ("complex_cot", "reasoning", "rationale", "cot", "chain_of_thought", "thinking", "reasoning_content")
_RESPONSE = ("response", "answer", "completion", "output")
_SYSTEM = ("system_prompt", "system")
_BY_MAPPING: dict[str, tuple[str, ...]] = {"input": (), "system": (), "history": ()}
# What is read of rows of each kind, with the usual names of its column, of which a source's first is read; what has no
# usual name is read only from a column that the source maps. A source without a kind is of the first that fits.
KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "conversations": {
        "messages": ("messages", "conversations", "conversation", "dialogue", "dialog", "chat"),
        "system": _SYSTEM,
    },
    "alpaca": {
        "question": ("instruction",),
        "input": ("input", "context"),
        "reasoning": _REASONING,
        "response": _RESPONSE,
        "system": _SYSTEM,
        "history": ("history",),
    },
    "reasoning": {"question": _QUESTION, "reasoning": _REASONING, "response": _RESPONSE, **_BY_MAPPING},
    "question-answer": {"question": _QUESTION, "response": _RESPONSE, **_BY_MAPPING},
    "text": {"text": ("text",)},
}
_OPTIONAL = {("alpaca", "reasoning"), *((kind, name) for kind in KINDS for name in ("id", *_BY_MAPPING))}
_PREFERENCES = ("chosen", "rejected")


def _spellings(name: str) -> tuple[str, ...]:
    return name, name.capitalize(), name.upper(), name.title(), *(("Complex_CoT",) if name == "complex_cot" else ())


# All columns that may be read, before those of a source are known.
USUAL_COLUMNS = frozenset(
    spelling
    for names in KINDS.values()
    for name in (*itertools.chain.from_iterable(names.values()), *_PREFERENCES, "id")
    for spelling in _spellings(name)
)


@dataclass(frozen=True)
class ReasoningRow:
    """A question with its answer, perhaps with reasoning before it or a conversation; or a plain text.

    Attributes:
        question: The question of the last user turn; empty for a plain text.
        reasoning: The reasoning before the response, or empty.
        response: The last answer, or the plain text.
        fields: Short values of other columns, such as the speciality, by column.
        place: Position in the source, or None for a row made in code.
        history: The turns before the question.
    """

    id: str
    question: str
    reasoning: str
    response: str
    fields: dict[str, str] = field(default_factory=dict, compare=False)
    place: Place | None = field(default=None, compare=False)
    history: tuple[Turn, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the row is a plain text, without a question."""
        return not self.question

    @property
    def has_reasoning(self) -> bool:
        """Whether there is reasoning before every answer; a plain text needs none."""
        turns = [turn.reasoning for turn in self.history if turn.role == "assistant"]
        return self.is_text or all([*turns, self.reasoning])

    @property
    def transcript(self) -> str:
        """The question, after the user and assistant turns before it, for readers and for comparisons of questions."""
        earlier = [f"{turn.role.capitalize()}: {turn.text}" for turn in self.history if turn.role != "system"]
        return "\n\n".join([*earlier, f"User: {self.question}"]) if earlier else self.question

    @property
    def passages(self) -> list[tuple[str, str]]:
        """(part, text) of all texts but system prompts: `question`, `reasoning` and `answer`, of every turn."""
        parts = [("question", self.question), ("reasoning", self.reasoning), ("answer", self.response)]
        if self.transcript != self.question:
            parts.append(("question", self.transcript))
        for turn in self.history:
            if turn.role != "system":
                parts += [("question" if turn.role == "user" else "answer", turn.text), ("reasoning", turn.reasoning)]
        return [(name, text) for name, text in parts if text]

    @property
    def texts(self) -> list[str]:
        """All texts, each once."""
        earlier = [text for turn in self.history for text in (turn.text, turn.reasoning)]
        return [*earlier, self.question, self.reasoning, self.response]

    def answered(self, answer_format: AnswerFormat) -> list[tuple[str, str]]:
        """(question, gold answer) of each turn in the wording of a format, as the examples of a few-shot prompt."""
        turns = [*self.history, Turn("user", self.question), Turn("assistant", self.response, self.reasoning)]
        spoken = [turn for turn in turns if turn.role != "system"]
        return [
            (asked.text, answer_format.completion(answer.reasoning, answer.text))
            for asked, answer in zip(spoken[::2], spoken[1::2], strict=True)
        ]

    @property
    def contents(self) -> list[Any]:
        """All that the row teaches, for hashes; a row without earlier turns has no entry for them."""
        earlier = [[list(turn) for turn in self.history]] if self.history else []
        return [self.question, self.reasoning, self.response, *earlier]


@dataclass(frozen=True)
class Shape:
    """How the rows of a source are read.

    Attributes:
        kind: `reasoning`, `question-answer`, `alpaca`, `conversations` or `text`.
        columns: Columns that are read, by what they are read as.
        unread: Other columns.
        cells: Reads their cells.
    """

    kind: str
    columns: dict[str, str]
    unread: list[str]
    cells: Cells

    def row(self, record: Record) -> ReasoningRow:
        """One row.

        Raises:
            UserError: A cell is invalid.
            UnusableRowError: A text is empty or the turns are not in order.
        """
        history: Sequence[Turn] = ()
        question, reasoning = "", self._optional(record, "reasoning")
        if self.kind == "text":
            response = self.cells.text(record, "text")
        elif turns := self._conversation(record):
            *history, user, answer = turns
            question, response, reasoning = user.text, answer.text, answer.reasoning or reasoning
        else:
            history, question = self._earlier_turns(record), self._question(record)
            response = self.cells.text(record, "response")
            if not reasoning:
                reasoning, response = split_marked(response)
        row = ReasoningRow("", question, reasoning, response, self.cells.others(record), record.place, tuple(history))
        return replace(row, id=self.cells.identifier(record) or _digest(row))

    def _question(self, record: Record) -> str:
        """The question; of an Alpaca row its instruction, and below it the input if there is one."""
        more = self._optional(record, "input")
        question = self.cells.text(record, "question")
        return f"{question}\n\n{more}" if more else question

    def _conversation(self, record: Record) -> tuple[Turn, ...]:
        """The turns of a conversation, or of a prompt and its completion as TRL holds them; empty for other rows."""
        if self.kind == "conversations":
            turns = read_turns(self.cells.value(record, "messages"))
        elif as_turns(self.cells.value(record, "question")):
            answer = self.cells.value(record, "response")
            spoken = [{"role": "assistant", "content": answer}] if isinstance(answer, str) else answer
            turns = [*read_turns(self.cells.value(record, "question")), *read_turns(spoken)]
        else:
            return ()
        system = self._optional(record, "system")
        return check_alternation([Turn("system", system), *turns] if system and turns[0].role != "system" else turns)

    def _earlier_turns(self, record: Record) -> list[Turn]:
        system = self._optional(record, "system")
        earlier = self.cells.value(record, "history") if "history" in self.columns else None
        return ([Turn("system", system)] if system else []) + (read_pairs(earlier) if earlier else [])

    def _optional(self, record: Record, name: str) -> str:
        """A cell that may be missing or empty."""
        value = self.cells.value(record, name) if name in self.columns else None
        if value is None or value != value or (isinstance(value, str) and is_no_value(value)):  # noqa: PLR0124 - NaN
            return ""
        return self.cells.text(record, name)


def _digest(row: ReasoningRow) -> str:
    """An id made of the contents."""
    texts = [row.question, row.reasoning, row.response, *(text for turn in row.history for text in turn)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def shape_of(source: DataSource, head: Sequence[Record]) -> Shape:
    """The shape of a source's rows, from its first records; its `kind` and `columns` decide where they are set.

    Raises:
        UserError: The columns fit no shape, or not the one that the source asks for.
    """
    present = list(dict.fromkeys(str(name) for record in head for name in record.values))
    mapped = {"response" if name == "answer" else name: column for name, column in source.columns.items()}
    kinds = KINDS if source.kind is None else {source.kind: KINDS[source.kind]}
    for kind, names in kinds.items():
        columns = {name: column for name in names if (column := mapped.get(name) or _usual(names[name], present))}
        missing = [name for name in names if name not in columns and (kind, name) not in _OPTIONAL]
        is_fit = not missing and mapped.keys() <= {*names, "id"} and set(mapped.values()) <= set(present)
        is_set = source.kind is not None or not mapped.keys().isdisjoint(("messages", "text"))
        if is_fit and (is_set or _suits(kind, columns, head)):
            return _shape(kind, columns, mapped.get("id", "id"), present)
    raise _no_shape(source, mapped, head[0], present)


def _shape(kind: str, columns: dict[str, str], identifier: str, present: Sequence[str]) -> Shape:
    optional = {name for name in (*columns, "id") if name == "reasoning" or (kind, name) in _OPTIONAL}
    names: dict[str, tuple[str, ...]] = {name: (column,) for name, column in columns.items()}
    cells = Cells(DataSource(source="rows"), names | {"id": (identifier,)}, optional=optional)
    return Shape(kind, columns, [name for name in present if name not in {*columns.values(), identifier}], cells)


def _usual(names: Sequence[str], present: Collection[str]) -> str | None:
    spellings = itertools.chain.from_iterable(map(_spellings, names))
    return next((spelling for spelling in spellings if spelling in present), None)


def _suits(kind: str, columns: dict[str, str], head: Sequence[Record]) -> bool:
    """Whether rows with these columns are of a kind, where the names alone do not tell."""
    if kind == "conversations":
        cells = [record.values.get(columns["messages"]) for record in head]
        return any(as_turns(cell) or is_list_text(cell) for cell in cells)
    if kind == "alpaca":
        names = {str(name).lower() for record in head for name in record.values}
        return columns["question"].lower() == "instruction" and "question" not in names
    if kind == "text":  # a text beside questions or answers is no plain text
        return all(not _usual((*_QUESTION, *_RESPONSE), record.values.keys()) for record in head)
    return True


def _no_shape(source: DataSource, mapped: dict[str, str], first: Record, present: Sequence[str]) -> UserError:
    """Why the columns fit no shape, with the mapping that would help."""
    there = f"the columns are {shortened(present) or 'none'}"
    for name, column in mapped.items():
        if column not in present:
            near = did_you_mean(column, present)
            return UserError(
                f"there is no column {column}; {there}",
                where=first.where,
                fix=f"correct columns: {{{name}: NAME}} of the source{f' ({near})' if near else ''}",
            )
    if set(_PREFERENCES) <= set(present):
        to = "messages" if as_turns(first.values.get("chosen")) else "response"
        return UserError(
            "the rows are preference pairs (chosen and rejected), of which only one answer can be trained on",
            where=first.where,
            fix=f"map the chosen one: columns: {{{to}: chosen}}",
        )
    if any(str(name).lower() == "final_decision" for name in present):
        return UserError("the rows are PubMedQA items", where=first.where, fix="set kind: pubmedqa for this source")
    kind = source.kind or ("reasoning" if "reasoning" in mapped else "question-answer")
    mappable = {*KINDS[kind], "id"} if source.kind else {"id", *itertools.chain.from_iterable(KINDS.values())}
    odd = sorted(mapped.keys() - mappable)
    if odd:
        return UserError(
            f"the column mapping names {', '.join(odd)}",
            where=f"columns of {source.label}",
            fix=f"map only {', '.join(sorted(mappable))}",
        )
    missing = [
        name
        for name, usual in KINDS[kind].items()
        if (kind, name) not in _OPTIONAL and name not in mapped and not _usual(usual, present)
    ]
    others = [name for name in present if name not in mapped.values() and name not in USUAL_COLUMNS]
    names = [usual for name in missing for usual in KINDS[kind][name]]
    near = next(filter(None, (did_you_mean(name, others) for name in names)), "")
    mapping = ", ".join(f"{name}: NAME" for name in missing)
    return UserError(
        f"there is no column for {' and '.join(missing) or f'rows of the kind {kind}'}; {there}",
        where=first.where,
        fix=f"map the columns of the source: columns: {{{mapping}}}{f' ({near})' if near else ''}; rows may also be"
        " conversations (messages), instructions (instruction, input, output) or plain texts (kind: text)",
    )
