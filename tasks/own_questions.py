"""The user's own multiple-choice questions for lm-eval, by log-likelihood of the letter or reasoned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from tasks.data.questions import Question, load_questions
from tasks.data.source import ALL_IDS, QuestionSource
from tasks.few_shot import draw_examples, examples_for
from tasks.multiple_choice import ChoiceItem, likelihood_documents, reasoned_documents
from tasks.task_settings import TaskSettings

if TYPE_CHECKING:
    from datasets import Dataset


def questions_dataset(**settings: Any) -> dict[str, Dataset]:
    """The questions as lm-eval documents whose answer is the most likely letter; options shuffled by the seed."""
    task = TaskSettings(**settings)
    source = _source(task)
    loaded = load_questions(source, seed=task.seed)
    examples = {}
    if task.shots:
        drawn = _drawn_examples(task, source, loaded.rows)
        examples = {
            row.id: [_item(one) for one in examples_for(row.question, drawn, task.shots)] for row in loaded.rows
        }
    return likelihood_documents(
        [_item(row) for row in loaded.rows],
        loaded.account,
        shuffled_by=task.seed,
        fields={row.id: row.fields for row in loaded.rows},
        examples=examples,
    )


def reasoned_questions_dataset(**settings: Any) -> dict[str, Dataset]:
    """The questions as lm-eval documents that ask for reasoning before the letter; options shuffled by the seed."""
    task = TaskSettings(**settings)
    loaded = load_questions(_source(task), seed=task.seed)
    return reasoned_documents(
        [_item(row) for row in loaded.rows],
        task,
        loaded.account,
        shuffled_by=task.seed,
        fields={row.id: row.fields for row in loaded.rows},
    )


def _source(task: TaskSettings) -> QuestionSource:
    if task.questions is None:
        raise UserError(
            "no questions are given", where="data.questions", fix="add --questions FILE, or leave the task out"
        )
    return task.questions


def _drawn_examples(task: TaskSettings, source: QuestionSource, scored: Sequence[Question]) -> list[Question]:
    """Examples from the questions of the source that are not scored, or from the scored ones if too few are left."""
    ids = {row.id for row in scored}
    every = load_questions(source.model_copy(update={"ids": ALL_IDS, "rows": None}), seed=task.seed).rows
    others = [row for row in every if row.id not in ids]
    return draw_examples(others if len(others) > task.shots else scored, task.shots, task.seed)


def _item(row: Question) -> ChoiceItem:
    options = [" ".join(option.split()) for option in row.options]
    item = ChoiceItem(id=row.id, question=row.question, options=options, gold=row.gold)
    return item | ChoiceItem(subject=row.subject) if row.subject else item  # type: ignore[typeddict-item]
