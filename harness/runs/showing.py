"""The last stage of a run: its reports written, and table, verdict and files shown on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.console import Terminal
    from harness.folder import RunFolder
    from reports.document.schema import Results


def report_stage(folder: RunFolder, results: Results, terminal: Terminal) -> None:
    """Write the reports, show the table and the verdict, and name the files."""
    from reports.page.render import render

    _show(folder, results, render(folder.path), terminal)


def kept_stage(folder: RunFolder, terminal: Terminal) -> Results:
    """Show a finished run that would only be repeated; returns its results."""
    from reports.document.reading import read_results

    results = read_results(folder.path)
    terminal.heading("Kept")
    terminal.say(f"  nothing has changed since this run of {results.created}: recipe, data, models, versions, answers")
    for cost in results.costs:
        terminal.say(f"  {cost.model}, {cost.task}: answered already, kept")
    _show(folder, results, (folder.path / "report.md", folder.path / "report.html"), terminal)
    return results


def _show(folder: RunFolder, results: Results, reports: tuple[Path, Path], terminal: Terminal) -> None:
    from reports.tables import NOT_MEDICAL_ADVICE, scores_table

    markdown, html = reports
    terminal.heading("Result")
    table = scores_table(results, brief=True)
    terminal.table(table.columns, table.rows)
    terminal.say()
    for sentence in results.verdict:
        terminal.say(sentence)
    terminal.say(NOT_MEDICAL_ADVICE)
    terminal.say(f"\nreport: {html}\n        {markdown}\nfigures: {folder.results}")
