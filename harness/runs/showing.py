"""The last stage of a run: its reports written, and table, verdict and files shown on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.console import Terminal
    from harness.folder import RunFolder
    from reports.document.schema import Outcome, Results

_WIDE = 100  # columns of a terminal that shows intervals too
OUTCOME_STYLES: dict[Outcome, str] = {
    "better": "green",
    "worse": "red",
    "different": "magenta",
    "inconclusive": "yellow",
}


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


def show_candidate(results: Results, candidate: str, terminal: Terminal) -> None:
    """Print one model beside the baseline, main metrics first, with the outcome in words, a mark and a colour."""
    from harness.console import Styled
    from reports.candidate_table import candidate_table

    is_wide = terminal.width is None or terminal.width >= _WIDE
    table, outcomes = candidate_table(results, candidate, intervals=is_wide)
    rows = [
        (*row[:-1], Styled(row[-1], OUTCOME_STYLES.get(outcome, "")) if outcome else row[-1])
        for row, outcome in zip(table.rows, outcomes, strict=True)
    ]
    terminal.table(table.columns, rows, left=(5,))


def _show(folder: RunFolder, results: Results, reports: tuple[Path, Path], terminal: Terminal) -> None:
    from reports.comparison.verdict import label_collapses, truncations
    from reports.tables import NOT_MEDICAL_ADVICE

    markdown, html = reports
    terminal.heading("Result")
    candidates = [name for name in results.shown_models() if name != results.baseline]
    for candidate in candidates or [results.baseline]:
        if len(candidates) > 1:
            terminal.say(f"\n{candidate} compared with {results.baseline}", style="bold")
        show_candidate(results, candidate, terminal)
    terminal.say()
    warnings = {*truncations(results), *label_collapses(results)}
    for sentence in results.verdict:
        terminal.say(sentence, style="yellow" if sentence in warnings else "")
    terminal.say(NOT_MEDICAL_ADVICE)
    terminal.say(f"\nreport: {html}\n        {markdown}\nnumbers: {folder.results}, to commit for README blocks")
