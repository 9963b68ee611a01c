"""Checks every item of a task of a user's own file: its prompt, choices and gold answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from harness.task_files.faults import raise_faults
from harness.task_files.load_errors import columns_of, load_error
from harness.task_files.own_tasks import OwnTask
from reports.errors import UserError, did_you_mean
from reports.files import sha256_value
from reports.json_text import plain

_SHOWN = 3  # items in a message


def check_items(task: Any, indices: Sequence[int], own: OwnTask) -> str:
    """Hash over the prompts, choices and gold answers of the items that are asked.

    Args:
        task: lm-eval's object.
        indices: The items.
        own: The task's file.

    Raises:
        UserError: A prompt, choice or gold answer cannot be made, or a gold answer is none of the choices, which
            lm-eval would count as wrong whatever a model answers; all such items together.
    """
    from lm_eval.api.task import ConfigurableTask

    if not isinstance(task, ConfigurableTask):  # a class of its own may do anything
        return ""
    raise_faults(_check_constants(task, own))
    digest, faults = hashlib.sha256(), {}
    documents = task.eval_docs
    for index in indices:
        document = documents[index]
        try:
            parts = _parts(task, document)
        except Exception as error:
            raise load_error(error, own.name, {own.name: own}) from error
        problem = _problem(task, *parts)
        if problem is not None:
            faults[index] = problem
        digest.update(sha256_value(plain(parts)).encode())
    if faults:
        shown = "; ".join(f"item {index}: {problem}" for index, problem in list(faults.items())[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UserError(
            f"{len(faults)} of {len(indices)} items cannot be scored: {shown}{more}",
            where=own.where("doc_to_target"),
            fix="correct these rows of the data (items are counted from 0), or doc_to_text, doc_to_choice and"
            " doc_to_target",
        )
    return digest.hexdigest()


def examples_hash(task: Any) -> str:
    """Hash over the rows that few-shot examples are drawn from."""
    return sha256_value([plain(dict(row)) for row in task.fewshot_docs() or ()])


def _check_constants(task: Any, own: OwnTask) -> list[UserError]:
    """Faults of a text that is a word without braces and no column: lm-eval takes it as the prompt of every item."""
    columns, faults = columns_of(task), []
    for key in ("doc_to_text", "doc_to_target"):
        text = getattr(task.config, key)
        choices = task.config.doc_to_choice
        is_choice = key == "doc_to_target" and isinstance(choices, list) and text in choices
        if isinstance(text, str) and text.isidentifier() and text not in columns and not is_choice:
            fix = f"{did_you_mean(text, columns)} the columns are {', '.join(columns)}"
            faults.append(UserError(f"{key} names no column: {text!r}", where=own.where(key), fix=fix))
    return faults


def _parts(task: Any, document: Any) -> tuple[Any, Any, Any]:
    """(prompt, gold answer, choices or None) of an item."""
    choices = task.doc_to_choice(document) if task.config.doc_to_choice is not None else None
    return task.doc_to_text(document), task.doc_to_target(document), choices


def _problem(task: Any, text: Any, target: Any, choices: Any) -> str | None:
    """Why an item cannot be scored, or None."""
    has_choices = task.config.doc_to_choice is not None
    if has_choices and not (
        isinstance(choices, list) and choices and all(isinstance(choice, str) and choice for choice in choices)
    ):
        return f"its choices are not texts ({choices!r:.60})"
    is_index = isinstance(text, int) and has_choices  # choices are whole texts then, as in Winogrande
    if not isinstance(text, str) and not (is_index and text in range(len(choices))):
        return f"its prompt is not a text ({text!r:.60})"
    if target is None or target == []:
        return "it has no gold answer"
    if task.OUTPUT_TYPE in ("multiple_choice", "generate_until") and has_choices and not is_index:
        golds = target if isinstance(target, list) else [target]
        wrong = next((gold for gold in golds if not _is_choice(gold, choices)), None)
        if wrong is not None:
            return f"its gold answer {wrong!r:.60} is none of its {len(choices)} choices"
    return None


def _is_choice(gold: Any, choices: list[str]) -> bool:
    if isinstance(gold, str):
        return gold in choices
    return isinstance(gold, int | float) and gold in range(len(choices))
