"""Examples for few-shot prompts of our own tasks: drawn once by seed, so that all questions and models share them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from reports.errors import UserError
from tasks.data.splits import sample_indices


class _HasQuestion(Protocol):
    @property
    def question(self) -> str: ...


Row = TypeVar("Row", bound=_HasQuestion)


def draw_examples(pool: Sequence[Row], shots: int, seed: int) -> list[Row]:
    """One example more than wanted, for questions that are among them.

    Raises:
        UserError: There are too few rows.
    """
    if len(pool) <= shots:
        raise UserError(
            f"{shots} examples and a question need {shots + 1} rows, and there are {len(pool)}",
            where="scoring.num_fewshot",
            fix="lower it, or give more rows",
        )
    return [pool[index] for index in sample_indices(len(pool), shots + 1, seed)]


def examples_for(question: str, drawn: Sequence[Row], shots: int) -> list[Row]:
    """The examples before one question: the first that do not ask the same."""
    return [row for row in drawn if row.question.strip() != question.strip()][:shots]
