"""What reports say about a task: title, items, metrics, reference scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.document.schema import TaskInfo
from tasks import catalog
from tasks.benchmarks import BENCHMARKS
from tasks.data import DataSource
from tasks.data.selection import describe_selection
from tasks.references import guessing, label, references
from tasks.suites import purpose_of
from tasks.task_settings import new_token_limit


def task_info(name: str, task: Any, indices: Sequence[int], source: DataSource | None, *, file: str = "") -> TaskInfo:
    """What reports say about a task; metrics of other people's tasks are filled in from their results.

    Args:
        name: The task's name.
        task: lm-eval's own object.
        indices: The items to score, by their place in the task's documents.
        source: Where the items of one of our tasks come from; None for other people's.
        file: Name of the user's own file that defines it; empty for tasks by name.
    """
    total = len(task.eval_docs)
    info = TaskInfo(
        name=name,
        title=catalog.TITLES.get(name, name),
        label=BENCHMARKS[name].title if name in BENCHMARKS else "",
        version=str(task.VERSION),
        metrics=[metric.model_copy() for metric in catalog.metrics_of(name)],
        setting=f"{file + ', ' if file else ''}{len(indices)} of {total} items",
        by_likelihood=catalog.TASKS[name].by_likelihood if name in catalog.TASKS else "",
        purpose=purpose_of(name),
        reasoned=catalog.is_reasoned(name),
        own_token_limit=_own_token_limit(name, task),
    )
    if source is not None:
        selection = describe_selection(source)
        info.synthetic = source.is_sample
        if name in catalog.PUBMEDQA_LABELS:
            rows = [
                {key: row[key] for key in ("id", "gold", "label")}
                for row in (task.eval_docs[index] for index in indices)
            ]
            info.label = label(name, rows, source)
            info.references = references(name, rows)
        elif name in catalog.QUESTION_LABELS:
            info.label = f"{catalog.QUESTION_LABELS[name]}, {len(indices)} items of {source.public_name}"
            info.references = [guessing(len(row["options"]) for row in (task.eval_docs[index] for index in indices))]
        info.setting = f"{source.public_name}, {selection}; {len(indices)} of {total} items" + (
            " drawn by seed" if len(indices) < total else ""
        )
    return info


def _own_token_limit(name: str, task: Any) -> int | None:
    """The limit of new tokens that a task sets itself; None where the recipe's holds or nothing is generated."""
    if name in catalog.TASKS or task.OUTPUT_TYPE != "generate_until":
        return None
    return new_token_limit(task.config.generation_kwargs)


def examples_setting(name: str, shots: int, *, is_text: bool) -> str:
    """How many examples come before each item, as the end of a task's setting; empty without any."""
    if not shots:
        return ""
    if is_text:
        return ", plain texts without examples"
    if name in catalog.TASKS and not catalog.TASKS[name].takes_examples:
        return ", without examples, which the task does not take"
    return f", {shots} example{'s' if shots > 1 else ''} before each"
