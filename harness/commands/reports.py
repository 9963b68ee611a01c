"""The commands that show the results of a run: `medbench report`, `readme` and `diff`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import Run
from harness.console import Terminal


def report(
    run: Run,
    templates: Annotated[
        Path | None, typer.Option("--templates", help="A folder of templates that stand in for ours.")
    ] = None,
    redact: Annotated[
        Path | None,
        typer.Option("--redact", metavar="FOLDER", help="Write a copy of the run without questions and answers."),
    ] = None,
) -> None:
    """Write report.md and report.html of a run folder again, from its results and samples."""
    import harness

    harness.report(run, templates=templates, redact=redact)


def readme(
    file: Annotated[Path, typer.Argument(help="A Markdown file with medbench markers.")] = Path("README.md"),
    check: Annotated[bool, typer.Option("--check", help="Change nothing; print a diff and exit 1 if stale.")] = False,  # noqa: FBT002
) -> None:
    """Write the result tables between the markers of a Markdown file from their runs."""
    from reports.readmes.readme import refresh_command, sources, update

    difference = update(file, check=check)
    terminal = Terminal()
    if check and difference:
        terminal.say(difference)
        terminal.say(f"{file} is stale; write it again and commit it: {refresh_command(file)}", style="yellow")
        raise typer.Exit(1)
    terminal.say(f"{file}: {'written' if difference else 'up to date'}")
    if difference:
        words = shlex.join(str(path) for path in (file, *sources(file)))
        terminal.say(f"for `--check` to pass in a fresh clone, commit it with its numbers: git add --force {words}")


def diff(
    first: Annotated[Path, typer.Argument(help="A run folder.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """Show what differs between two runs: settings, versions, scores and answers. Exits 1 if a score or answer does."""
    from harness.commands.difference import print_difference
    from reports.comparison.diff import diff as difference

    changes = difference(first, second)
    print_difference(changes, Terminal())
    if changes.changes_numbers:
        raise typer.Exit(1)
