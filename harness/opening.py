"""Resolves the recipe and the folder of a run from what a command was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.folder import RunFolder
from reports.errors import UserError
from training.recipes.recipe_file import QUICKSTART, check_recipe, load_recipe

if TYPE_CHECKING:
    from training.recipes.recipe import Recipe

RUNS = Path("runs")


def open_run(  # noqa: PLR0913 - one for each flag of the commands
    recipe: str | None = None,
    *,
    out: str | Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    data: str | Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    base: str | None = None,
    questions: str | Sequence[str] = (),
    tasks: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Recipe, RunFolder]:
    """The resolved recipe and the folder of a run.

    Args:
        recipe: Name or file; without it the recipe that `out` already holds, else the quickstart.
        out: The run folder; `runs/NAME-OF-THE-RECIPE` where it is not given.
        limit: Items for each task.
        seed: Instead of the recipe's.
        settings: `key.path=value` overrides.
        data: Rows to use instead of the recipe's: files, folders, globs or a hub data set; split by seed.
        columns: Columns of `data`, or without it of `questions`, by the names that medbench uses.
        base: The base model instead of the recipe's.
        questions: Your own multiple-choice questions, in the same forms as `data`, which are scored too.
        tasks: The tasks to score instead of the recipe's, if that is known.
        say: Is told how `data` is split and used, and how `questions` are read.
    """
    from training.recipes.own_questions import check_questions, note_unused, question_changes, title_change

    _check_columns(columns, data, questions)
    own_questions = [questions] if isinstance(questions, str) else questions
    if seed is not None:
        settings = [*settings, f"seed={seed}"]
    if data:
        from training.recipes.own_data import own_data_recipe

        files = [data] if isinstance(data, str) else data
        loaded = own_data_recipe(recipe or QUICKSTART, files, columns or {}, base, settings, say, own_questions)
    else:
        if recipe is None and out is not None and RunFolder(Path(out)).recipe.is_file():
            recipe = str(RunFolder(Path(out)).recipe)
        changes = {} if base is None else {("model.base", "--base"): base}
        if own_questions:
            original = load_recipe(recipe or QUICKSTART)
            changes |= question_changes(own_questions, columns or {}, original.scoring.tasks)
            changes |= title_change(original.report.title, tasks)
        loaded = load_recipe(recipe or QUICKSTART, settings, changes)
    if own_questions:
        check_questions(loaded, tasks, say)
    elif loaded.data.questions is not None:
        note_unused(loaded, tasks, say)
    value = loaded.model_dump(mode="json")
    if limit is not None:
        value["scoring"]["limit"] = limit
    resolved = check_recipe(value, "--limit")
    return resolved, RunFolder(Path(out) if out is not None else RUNS / resolved.name)


def _check_columns(
    columns: Mapping[str, str] | None, data: str | Sequence[str], questions: str | Sequence[str]
) -> None:
    if columns and not (data or questions):
        fix = "add --data FILE or --questions FILE"
        raise UserError("there are no rows to read columns of", where="--columns", fix=fix)
    if columns and data and questions:
        raise UserError(
            "they could be those of --data or of --questions",
            where="--columns",
            fix="leave --columns out and name those of both: --set 'data.train.columns={question: NAME}' --set"
            " 'data.questions.columns={question: NAME}'",
        )
