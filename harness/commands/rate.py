"""`medbench rate export` and `medbench rate import` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import Run, split_names
from harness.console import Terminal

rate = typer.Typer(
    name="rate",
    help="Export a sheet on which people rate answers blindly, and import it when it is filled in.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@rate.command("export")
def export(
    run: Run,
    items: Annotated[int, typer.Option("--items", min=1, help="Questions to rate, drawn by seed.")] = 20,
    models: Annotated[str | None, typer.Option("--models", help="Whose answers, separated by commas; all.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="The task; medbench_generation.")] = None,
    for_judge: Annotated[  # noqa: FBT002
        bool, typer.Option("--for-judge", help="Draw from all that a judge rated, so that the marks calibrate it.")
    ] = False,
    more: Annotated[  # noqa: FBT002
        bool, typer.Option("--more", help="Further items, drawn like the earlier ones; marks on those stay.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Make a new sheet; marks on the old one are lost.")] = False,  # noqa: FBT002
) -> None:
    """Write ratings/sheet.csv and sheet.html for raters; ratings/key.json says whose answers they are: keep it."""
    from harness.runs import rating

    folder = rating.export(run, items, split_names(models), task, for_judge=for_judge, more=more, again=again)
    Terminal().say(f"for raters: {folder / 'sheet.html'} or {folder / 'sheet.csv'}")
    Terminal().say(f"not for raters: {folder / 'key.json'}")


@rate.command("import")
def import_sheets(
    run: Annotated[Path, typer.Argument(help="The run folder that the sheet is of.")],
    sheets: Annotated[list[Path], typer.Argument(help="Filled sheets, one a rater, each named by its rater: ada.csv.")],
) -> None:
    """Unblind filled sheets and add their figures, with intervals and agreement, to results and report."""
    from harness.runs import rating

    rating.import_sheets(run, sheets, Terminal())
