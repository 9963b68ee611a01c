"""`medbench list`: the names that recipes and flags may use."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.commands.options import Base, FromBundle, Recipe, Settings
from harness.console import Terminal
from reports.errors import UserError

LISTS = ("recipes", "tasks", "formats", "suites")


def list_names(
    what: Annotated[str, typer.Argument(help="recipes, tasks, formats or suites")],
    base: Base = None,
    recipe: Recipe = None,
    settings: Settings = None,
    from_bundle: FromBundle = None,
) -> None:
    """List recipes, tasks, formats or suites. With --base, suites show the estimated time with that base."""
    from harness.planning.task_names import own_task_names
    from tasks import catalog
    from tasks.formats import FORMATS
    from training.recipes.recipe_file import load_recipe, recipe_names

    if what not in LISTS:
        raise UserError(f"there is no list of {what!r}", where="medbench list", fix=f"write one of {', '.join(LISTS)}")
    if what != "suites" and (base or recipe or settings or from_bundle):
        raise UserError(
            "only the list of suites depends on a base", where=f"medbench list {what}", fix="leave --base out"
        )
    if what == "suites":
        from reports.bundles.active import using_bundle

        with using_bundle(from_bundle):
            _list_suites(base, recipe, settings or [])
        return
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


def _list_suites(base: str | None, recipe: str | None, settings: list[str]) -> None:
    """Print the suites with items, licence and kind of each task, and its time if there is a base."""
    from tasks.suites import SUITES

    times = {}
    if base or recipe or settings:
        from harness.engines.suite_times import suite_times

        times = suite_times(base, recipe, settings)
    columns = ("suite", "task", "items", "licence", "kind", *(["time"] if times else []))
    rows: list[tuple[str, ...]] = []
    for suite in SUITES.values():
        for member in (*suite.members, *suite.extras):
            name = suite.name if member in suite.members else "by its own name"
            items = "not stated" if member.items is None else f"{member.items:,}"
            row = (name, member.task, items, member.licence, member.kind)
            rows.append((*row, times.get(member.task, "")) if times else row)
        if times:
            rows.append((suite.name, "all together", "", "", "", times[suite.name]))
    Terminal().table(columns, rows, left=True)
    Terminal().say("sources, and what each task measures: docs/benchmarks.md")
    if not times:
        Terminal().say("with --base MODEL or --recipe RECIPE: the estimated time of one model on this machine")
