"""`medbench doctor` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.console import Terminal

_MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


def doctor(
    run: Annotated[Path, typer.Argument(help="The run folder to look at; it need not be there yet.")] = Path("runs"),
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE.zip", help="Write what a bug report needs: no texts, paths or secrets."),
    ] = None,
) -> None:
    """Check what medbench needs of this machine, and say what to do. Exits 1 if something does not work."""
    from harness.doctor.checks import examine

    terminal = Terminal()
    findings = examine(run)
    rows = [
        (finding.name, _MARKS[finding.state], ": ".join(filter(None, (finding.place, finding.found))))
        for finding in findings
    ]
    terminal.table(("what", "state", "found"), rows, left=True)
    for finding in findings:
        if finding.fix:
            terminal.say(f"{finding.name}: {finding.fix}", style="yellow" if finding.state == "problem" else "")
    if bundle is not None:
        from harness.doctor.bug_report import write_bundle
        from training.models.device import pick_device

        names = write_bundle(bundle, findings, run, pick_device())
        terminal.say(f"\n{bundle}: {', '.join(names)}; look into it before you send it")
    problems = [finding.name for finding in findings if finding.state == "problem"]
    terminal.say(f"\n{'Not ready: ' + ', '.join(problems) if problems else 'Ready.'}", style="bold")
    if problems:
        raise typer.Exit(1)
