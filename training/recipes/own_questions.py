"""Adds the user's own multiple-choice questions to a recipe: `medbench run --questions FILE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reports.errors import UserError
from tasks.catalog import QUESTION_LABELS, QUESTIONS
from tasks.data.questions import load_questions
from training.recipes.recipe import Recipe
from training.recipes.recipe_file import Change

FLAG = "--questions"


def question_changes(
    questions: Sequence[str], columns: Mapping[str, str], tasks: Sequence[str]
) -> dict[tuple[str, str], Change]:
    """The changes that score questions in addition to a recipe's tasks; see `load_recipe`.

    Args:
        questions: Files, folders, globs or a hub data set; without any there are no changes.
        columns: Names of their columns by the names that medbench uses.
        tasks: The tasks that are scored without the questions.
    """
    if not questions:
        return {}
    return source_change(questions, columns) | {("scoring.tasks", FLAG): [*dict.fromkeys([*tasks, QUESTIONS])]}


def source_change(questions: Sequence[str], columns: Mapping[str, str]) -> dict[tuple[str, str], Change]:
    """The change that gives a recipe its questions, so that settings can go into their details; see above."""
    if not questions:
        return {}
    source = questions[0] if len(questions) == 1 else [*questions]
    return {("data.questions", FLAG): {"source": source, "columns": dict(columns)}}


def title_change(title: str, tasks: Sequence[str] | None) -> dict[tuple[str, str], Change]:
    """The change that names the questions in the heading of the report, which is otherwise that of the recipe.

    Args:
        title: The recipe's.
        tasks: The tasks to score instead of the recipe's, if there are any.
    """
    own = "Own questions" if tasks and all(task in QUESTION_LABELS for task in tasks) else f"{title}, own questions"
    return {} if title.lower().endswith("own questions") else {("report.title", FLAG): own}


def check_questions(recipe: Recipe, tasks: Sequence[str] | None, say: Callable[[str], None]) -> None:
    """Read the questions of `--questions` and say how, before anything is spent.

    Args:
        recipe: The recipe with them.
        tasks: The tasks to score instead of the recipe's, if there are any.
        say: Receives a sentence on each thing that was decided.

    Raises:
        UserError: No task scores them, or they cannot be used.
    """
    scored = _scored(recipe, tasks)
    if not scored or recipe.data.questions is None:
        fix = f"add one of {', '.join(QUESTION_LABELS)} to the tasks"
        raise UserError("no task scores the questions", where=FLAG, fix=fix)
    loaded = load_questions(recipe.data.questions, seed=recipe.seed)
    say(f"questions: {recipe.data.questions.public_name}, {loaded.account.summary()}")
    say(f"scored by {', '.join(scored)}, options shuffled by seed {recipe.seed}")


def note_unused(recipe: Recipe, tasks: Sequence[str] | None, say: Callable[[str], None]) -> None:
    """Say that the recipe has questions which no task scores; see `check_questions`."""
    if recipe.data.questions is not None and not _scored(recipe, tasks):
        more = ", ".join([*(tasks or recipe.scoring.tasks), QUESTIONS])
        say(f"note: data.questions is set, but no task scores it; to score it: --tasks {more.replace(' ', '')}")


def _scored(recipe: Recipe, tasks: Sequence[str] | None) -> list[str]:
    """The tasks of a run that score questions of the user's own."""
    return [task for task in tasks or recipe.scoring.tasks if task in QUESTION_LABELS]
