"""`medbench judge` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import Run, Settings


def judge(
    run: Run,
    judge: Annotated[
        str,
        typer.Option("--judge", metavar="NAME=SOURCE", help="http://HOST/v1#MODEL, the folder of a model, or `base`."),
    ],
    rubric: Annotated[
        str, typer.Option("--rubric", help="five-aspects, preference, weighted-criteria, safety, or a rubric file.")
    ] = "five-aspects",
    task: Annotated[str | None, typer.Option("--task", help="The task; medbench_generation.")] = None,
    criteria: Annotated[
        Path | None, typer.Option("--criteria", help="JSONL with the criteria of each item, for weighted-criteria.")
    ] = None,
    settings: Settings = None,
    cost: Annotated[bool, typer.Option("--cost", help="Only show requests and tokens that it would take.")] = False,  # noqa: FBT002
    again: Annotated[bool, typer.Option("--again", help="Ask everything again, also what is answered.")] = False,  # noqa: FBT002
) -> None:
    """Have a model judge the generated answers of a run, blinded, and report its scores, biases and faults."""
    import harness

    harness.judge(
        run,
        judge,
        rubric,
        task=task,
        criteria=criteria,
        settings=settings or (),
        only_cost=cost,
        again=again,
    )
