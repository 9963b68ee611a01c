"""The reports of a gate: `gate.json`, `gate.xml` (JUnit) and `gate.md`, GitHub's step summary, and the terminal."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from harness.console import Styled, Terminal
from reports.errors import UserError
from reports.files import check_regular, remove_parts_of, write_json, write_text
from reports.gate.outcome import GateReport, Verdict

_SHOWN = 5
_JSON, _JUNIT, _MARKDOWN = "gate.json", "gate.xml", "gate.md"
_STYLES: dict[Verdict, str] = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}


def remove_reports(folder: Path) -> None:
    """Remove what an earlier gate wrote, so that nobody takes it for the verdict of one that ended with an error."""
    paths = [folder / name for name in (_JSON, _JUNIT, _MARKDOWN)]
    remove_parts_of(paths)
    for path in paths:
        path.unlink(missing_ok=True)


def write_reports(report: GateReport, out: Path, terminal: Terminal) -> None:
    """Write the reports to a folder, and the summary of a step on GitHub."""
    from reports.gate.comment import comment
    from reports.gate.junit import junit_xml

    summary = comment(report, _report_link(out))
    write_json(out / _JSON, report.model_dump(mode="json"))
    write_text(out / _JUNIT, junit_xml(report))
    write_text(out / _MARKDOWN, summary)
    step_summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if step_summary:
        try:
            check_regular(Path(step_summary))  # writing to a named pipe waits for its reader
            with Path(step_summary).open("a", encoding="utf-8") as stream:
                stream.write(summary)
        except (OSError, UserError) as error:
            reason = error.what if isinstance(error, UserError) else error.strerror
            terminal.say(f"note: the step summary could not be written ({reason})", style="yellow")


def _report_link(out: Path) -> str:
    """URL of the report: the artifacts of the run on GitHub, the page itself on GitLab; empty elsewhere."""
    environment = os.environ
    if environment.get("GITHUB_ACTIONS") == "true":
        names = [environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
        return "{}/{}/actions/runs/{}#artifacts".format(*names) if all(names) else ""
    job = environment.get("CI_JOB_URL", "")
    project = environment.get("CI_PROJECT_DIR", "")
    if not job or not project or not out.resolve().is_relative_to(Path(project).resolve()):
        return ""
    place = out.resolve().relative_to(Path(project).resolve()).as_posix()
    return f"{job}/artifacts/file/{quote(place)}/report.html"


def show_report(report: GateReport, out: Path, terminal: Terminal) -> None:
    """Print rules, reasons, verdict and where the reports are."""
    from reports.gate.render import (
        HEADINGS,
        baselines_text,
        blocking_first,
        github_annotations,
        moved_text,
        requirement,
        rules_table,
    )

    rules = blocking_first(report.rules)
    table = rules_table(rules)
    rows = [
        (row[0], Styled(row[1], _STYLES[rule.verdict]), *row[2:]) for rule, row in zip(rules, table.rows, strict=True)
    ]
    terminal.say(f"candidate: {report.candidate.label}; baseline: {baselines_text(report)}\n")
    terminal.table(table.columns, rows, left=(1,))
    met = [rule for rule in rules if rule.verdict == "pass" and rule.reason]
    for rule in (rule for rule in rules if rule.verdict != "pass"):
        terminal.say(f"\n{requirement(rule)}", style="bold")
        terminal.say(f"  {rule.reason}")
        for sample in rule.moved[:_SHOWN]:
            terminal.say(f"    {' '.join(moved_text(sample, rule.info).split())}")
    if met:
        terminal.say("\npassed")
    for rule in met:
        terminal.say(f"  {requirement(rule)}: {rule.reason}", style="dim")
    for sentence in report.advice:
        terminal.say(f"\nto decide: {sentence}", style="yellow")
    terminal.say(f"\n{HEADINGS[report.verdict]}. {report.reason}", style=_STYLES[report.verdict])
    terminal.say(f"report: {out / _JSON}\n        {out / _MARKDOWN}\n        {out / _JUNIT} (JUnit)")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in github_annotations(report):
            terminal.command(line)
