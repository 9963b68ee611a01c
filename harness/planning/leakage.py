"""Looks for items of the scored tasks among the rows that are trained on, whatever source either is from."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.document.evidence import OverlapCheck, OverlapMatch
from reports.errors import UserError
from reports.files import sha256_value
from tasks import catalog
from tasks.overlap import METHOD, Passage, TrainingIndex
from training.division import TrainingRows, training_rows
from training.finetune import rows_hash
from training.log import read_log
from training.recipes.recipe_file import load_recipe

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask
    from tasks.data import ReasoningRow

_log = logging.getLogger("medbench")
_OUR_PARTS = {"question": "question", "context": "context", "gold": "answer"}
_SHOWN = 3


def trained_rows(folder: Path) -> TrainingRows | None:
    """The rows that an adapter was trained on, read again by the recipe that medbench keeps beside it.

    None where it has no such recipe, or the data cannot be had or has changed since.
    """
    try:
        log = read_log(folder)
        if log is None or not (folder / "recipe.yaml").is_file():
            return None
        rows = training_rows(load_recipe(str(folder / "recipe.yaml")))
    except UserError as error:
        _log.info("rows of %s: not known: %s", folder, error)
        return None
    return rows if rows_hash(rows.train) == log.data_sha256 else None


def check_overlap(trained_on: Mapping[str, TrainingRows], tasks: Sequence[LoadedTask]) -> OverlapCheck:
    """Hold every item of the tasks against every row that trains a model, or by which it is chosen.

    Args:
        trained_on: Rows by model; models with the same rows are looked at once.
        tasks: What is asked.
    """
    items = {loaded.name: len(loaded.indices) for loaded in tasks}
    check = OverlapCheck(method=METHOD, models=list(trained_on), rows=0, items=items)
    groups: dict[str, list[str]] = defaultdict(list)
    for model, rows in trained_on.items():
        groups[sha256_value([rows_hash(rows.train), rows_hash(_choosing(rows))])].append(model)
    for models in groups.values():
        rows = trained_on[models[0]]
        check.rows += len(rows.train) + len(_choosing(rows))
        check.matches.extend(_matches(rows, tasks, models if len(groups) > 1 else []))
    return check


def _choosing(rows: TrainingRows) -> list[ReasoningRow]:
    """The validation rows, where they decide which adapter is kept; else nothing is learned from them."""
    return rows.validation if rows.validation_chooses else []


def _matches(rows: TrainingRows, tasks: Sequence[LoadedTask], models: list[str]) -> Iterator[OverlapMatch]:
    """The items that share text with these rows; `models` only where others were trained on other rows."""
    roles = [("train", number, row) for number, row in enumerate(rows.train)]
    roles += [("validation", number, row) for number, row in enumerate(_choosing(rows))]
    texts = [
        Passage(f"{role} {number}", part, text)
        for role, number, row in roles
        for part, text in (("question", row.question), ("reasoning", row.reasoning), ("answer", row.response))
    ]
    index = TrainingIndex(texts)
    owners = {f"{role} {number}": (role, row.id) for role, number, row in roles}
    for loaded in tasks:
        for found in index.find(_passages(loaded)):
            role, row_id = owners[found.row]
            yield OverlapMatch(
                task=loaded.name,
                item=found.item,
                row=row_id,
                role="train" if role == "train" else "validation",
                kind=found.kind,
                part=found.part,
                share=found.share,
                rows=found.rows,
                models=models,
            )


def overlap_lines(check: OverlapCheck) -> list[str]:
    """What was found, a line for each task with such items, with the first of them."""
    lines = []
    for task, items in check.items.items():
        matches = [match for match in check.matches if match.task == task]
        if not matches:
            continue
        kinds = Counter(match.kind for match in matches)
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        lines.append(
            f"{check.affected(task)} of the {items} items of {task} share text with rows that are trained on"
            f" ({counted}): {_some(matches)}"
        )
    return lines


def _some(matches: Sequence[OverlapMatch]) -> str:
    shown = "; ".join(f"item {m.item} with {m.role} row {m.row} ({m.kind}, {m.share:.0%})" for m in matches[:_SHOWN])
    return shown + ("; ..." if len(matches) > _SHOWN else "")


def _passages(loaded: LoadedTask) -> Iterator[Passage]:
    """All texts of a task's items: of ours what is asked and its gold answer, of others every text in the document."""
    for index, document in zip(loaded.indices, loaded.documents(), strict=True):
        if loaded.name in catalog.METRICS:
            texts: Iterable[tuple[str, str]] = (
                (part, document[key]) for key, part in _OUR_PARTS.items() if isinstance(document.get(key), str)
            )
            owner = str(document["id"])
        else:
            texts, owner = _texts(document, "text"), str(index)
        for part, text in texts:
            yield Passage(owner, part, text)


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """(name, text) of every text in nested lists and mappings, by its nearest key in lower case."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, str(key).lower())
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each, name)
