"""`medbench list`: the names that recipes and flags may use."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.console import Terminal
from reports.errors import UserError

LISTS = ("recipes", "tasks", "formats")


def list_names(what: Annotated[str, typer.Argument(help="recipes, tasks or formats")]) -> None:
    """List what can be named: recipes, tasks or formats."""
    from harness.planning.lm_tasks import own_task_names
    from tasks import catalog
    from tasks.formats import FORMATS
    from training.recipes.recipe_file import load_recipe, recipe_names

    if what not in LISTS:
        raise UserError(f"there is no list of {what!r}", where="medbench list", fix=f"write one of {', '.join(LISTS)}")
    if what == "recipes":
        rows = [(name, load_recipe(name).description) for name in recipe_names()]
    elif what == "formats":
        rows = [(answer_format.name, answer_format.title) for answer_format in FORMATS.values()]
    else:
        rows = [(name, catalog.TITLES.get(name, name)) for name in own_task_names()]
        rows += [
            ("any other", "every task and group that lm-eval 0.4.13 knows, such as medqa_4options or mmlu_anatomy"),
            ("path/my_task.yaml", "your own lm-eval task file, or a folder of them; names in scoring.task_paths too"),
        ]
    Terminal().table(("name", "what it is"), rows, left=True)
