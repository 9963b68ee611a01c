"""Looks for items of the scored tasks among the rows that are trained on, whatever source either is from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from harness.planning.item_hashes import source_hashes
from reports.document.evidence import OverlapCheck, OverlapMatch, match_text
from reports.errors import UserError
from reports.files import sha256_value
from tasks import catalog
from tasks.data import DataSource, PubMedQAItem, ReasoningRow, load_pubmedqa, load_reasoning
from tasks.data.questions import Question, load_questions
from tasks.data.readers import read_records
from tasks.data.source import QuestionSource
from tasks.overlap import METHOD, Passage, TrainingIndex, is_split
from training.exporting.provenance import combined, recorded_rows
from training.finetune import rows_hash
from training.models.model import Model
from training.splits import TrainingRows

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask

_OUR_PARTS = {"question": "question", "stem": "question without options", "context": "context", "gold": "answer"}
_SHOWN = 3  # matches in a message
_LISTED = 20  # rows that could not be searched, in results
_BETWEEN = "\0"  # task and item in the owner of a passage


def with_rows(model: Model, trained_on: Mapping[str, DataSource]) -> Model:
    """A model from elsewhere with its training data: what is recorded beside its weights and what is declared.

    Args:
        model: A base, or an adapter that this run does not train.
        trained_on: The recipe's declarations, by model.

    Raises:
        UserError: Declared data cannot be read.
    """
    reason, parts = "", []
    try:
        recorded = recorded_rows(model)
        parts = [] if recorded is None else [recorded]
    except UserError as error:
        reason = error.what + (f" ({error.where})" if error.where else "")
    is_recorded = bool(parts)
    if model.name in trained_on:
        parts.append(TrainingRows(_declared_rows(trained_on[model.name]), []))
    if not parts:
        return replace(model, unknown_rows=reason)
    return replace(model, rows=combined(parts), has_declared_rows=not is_recorded)


def _declared_rows(source: DataSource) -> list[ReasoningRow]:
    """Each text of each row as a question, since files from elsewhere have any columns, such as `messages`."""
    rows = []
    for number, record in enumerate(read_records(source, None), 1):
        texts = [text for _, text in _texts(record.values, "") if text.strip()]
        texts = [text for text in texts if is_split(text)] or [" ".join(texts)]
        rows += [ReasoningRow(str(number), text, "", "", place=record.place) for text in texts]
    return rows


def check_overlap(trained_on: Mapping[str, TrainingRows], tasks: Sequence[LoadedTask]) -> OverlapCheck:
    """Compare every item of the tasks with every row that trains a model, or by which it is chosen.

    Args:
        trained_on: Rows by model; models with the same rows are looked at once.
        tasks: What is asked.
    """
    items = {loaded.name: len(loaded.indices) for loaded in tasks}
    check = OverlapCheck(method=METHOD, models=list(trained_on), rows=0, items=items)
    passages = [passage for loaded in tasks for passage in _passages(loaded)]
    check.unsearched = _unsearched(passages)
    groups: dict[str, list[str]] = defaultdict(list)
    for model, rows in trained_on.items():
        groups[sha256_value([rows_hash(rows.train), rows_hash(_choosing(rows)), sorted(rows.choosing)])].append(model)
    unsearched: dict[str, None] = {}
    for models in groups.values():
        rows = trained_on[models[0]]
        check.rows += len(rows.train) + len(_choosing(rows))
        named = models if len(groups) > 1 else []
        check.matches += [*_matches(rows, passages, named), *_chosen_by(rows, tasks, named)]
        unsearched |= dict.fromkeys(
            _source(row) for _, row in _roles(rows) if not is_split(row.transcript or row.response)
        )
    check.unsearched_rows = list(unsearched)[:_LISTED]
    _add_item_sources(check.matches, tasks)
    return check


def _choosing(rows: TrainingRows) -> list[ReasoningRow]:
    """The validation rows, where they decide which adapter is kept; else nothing is learned from them."""
    return rows.validation if rows.validation_selects_checkpoint else []


def _roles(rows: TrainingRows) -> list[tuple[Literal["train", "validation"], ReasoningRow]]:
    """All rows that are learned from, each with what it is used for."""
    return [*(("train", row) for row in rows.train), *(("validation", row) for row in _choosing(rows))]


def _source(row: ReasoningRow) -> str:
    return str(row.place or f"row {row.id}")


def _matches(rows: TrainingRows, passages: Sequence[Passage], models: list[str]) -> Iterator[OverlapMatch]:
    """The items that share text with these rows; `models` only where others were trained on other rows."""
    learned = _roles(rows)
    index = TrainingIndex(
        [Passage(str(number), part, text) for number, (_, row) in enumerate(learned) for part, text in row.passages]
    )
    for overlap in index.find(passages):
        task, _, item = overlap.item.partition(_BETWEEN)
        role, row = learned[int(overlap.row)]
        yield OverlapMatch(
            task=task,
            item=item,
            row=row.id,
            role=role,
            kind=overlap.kind,
            part=overlap.part,
            share=overlap.share,
            rows=overlap.rows,
            models=models,
            row_part=overlap.row_part,
            row_source=_source(row),
            item_text=overlap.item_text,
            row_text=overlap.row_text,
        )


def _chosen_by(rows: TrainingRows, tasks: Sequence[LoadedTask], models: list[str]) -> Iterator[OverlapMatch]:
    """The items that a checkpoint was chosen by, or that have a text in common with one of those."""
    for loaded in tasks if rows.choosing else ():
        for index, document in zip(loaded.indices, loaded.documents(), strict=True):
            if source_hashes(document) & rows.choosing:
                yield OverlapMatch(
                    task=loaded.name,
                    item=str(document["id"]) if loaded.name in catalog.METRICS else str(index),
                    row="of trainer.choose_by",
                    role="validation",
                    kind="exact",
                    part="text",
                    share=1.0,
                    rows=1,
                    models=models,
                )


def _unsearched(passages: Iterable[Passage]) -> dict[str, list[str]]:
    """Items by task whose question, or all of whose text where none is called so, cannot be split into words."""
    questions: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, list[str]] = defaultdict(list)
    for passage in passages:
        (questions if passage.part == "question" else texts)[passage.owner].append(passage.text)
    unsearched: dict[str, list[str]] = defaultdict(list)
    for owner in dict.fromkeys([*questions, *texts]):
        if not any(map(is_split, questions.get(owner) or texts[owner])):
            task, _, item = owner.partition(_BETWEEN)
            unsearched[task].append(item)
    return dict(unsearched)


def _add_item_sources(matches: Sequence[OverlapMatch], tasks: Sequence[LoadedTask]) -> None:
    """Say of each item where it stands; reads the sources of the tasks with matches again, which keeps no places."""
    for loaded in tasks:
        own = [match for match in matches if match.task == loaded.name]
        places: dict[str, str] = {}
        if own and loaded.source is not None:
            places = _places(loaded.name, loaded.source.model_copy(update={"rows": None}))
        for match in own:
            match.item_source = places.get(match.item, f"{loaded.name}, item {match.item}")


def _places(task: str, source: DataSource) -> dict[str, str]:
    """Where the items of a task of ours stand, by id."""
    rows: Sequence[ReasoningRow | PubMedQAItem | Question]
    if isinstance(source, QuestionSource):
        rows = load_questions(source, seed=0).rows
    else:
        rows = (load_pubmedqa if task in catalog.PUBMEDQA_LABELS else load_reasoning)(source, seed=0)
    return {row.id: str(row.place) for row in rows}


def overlap_lines(check: OverlapCheck) -> list[str]:
    """What was found, a line for each task with such items, with both texts of the first of them."""
    lines = []
    for task, items in check.items.items():
        matches = [match for match in check.matches if match.task == task]
        if matches:
            kinds = Counter(match.kind for match in matches)
            counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
            lines.append(
                f"{check.affected(task)} of the {items} items of {task} share text with rows that are trained on"
                f" ({counted}):{_some(matches)}"
            )
    return lines


def unsearched_lines(check: OverlapCheck) -> list[str]:
    """What could not be compared since it cannot be split into words: items by task, and rows."""
    lines = [
        f"{len(items)} of the {check.items[task]} items of {task} have text that cannot be split into words, so it is"
        f" not known whether they are trained on: {', '.join(items[:_SHOWN])}"
        for task, items in check.unsearched.items()
    ]
    if check.unsearched_rows:
        lines.append(
            "rows whose question cannot be split into words, which no item could be compared with:"
            f" {'; '.join(check.unsearched_rows[:_SHOWN])}"
        )
    return lines


def _some(matches: Sequence[OverlapMatch]) -> str:
    shown = "".join(f"\n  {match_text(match)}" for match in matches[:_SHOWN])
    return shown + (f"\n  ... and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else "")


def _passages(loaded: LoadedTask) -> Iterator[Passage]:
    """All texts of a task's items: of ours what is asked and its gold answer, of others every text in the document."""
    for index, document in zip(loaded.indices, loaded.documents(), strict=True):
        if loaded.name in catalog.METRICS:
            texts: Iterable[tuple[str, str]] = (
                (part, document[key]) for key, part in _OUR_PARTS.items() if isinstance(document.get(key), str)
            )
            item = str(document["id"])
        else:
            texts, item = _texts(document, "text"), str(index)
        for part, text in texts:
            if text.strip():
                yield Passage(f"{loaded.name}{_BETWEEN}{item}", part, text)


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """(name, text) of every text in nested lists and mappings, by its nearest key in lower case."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _texts(member, str(key).lower())
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _texts(member, name)
