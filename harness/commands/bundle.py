"""`medbench bundle`: what a run needs, in one folder for a machine without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import Base, Models, Recipe, Settings, Tasks, split_names
from training.models.model import DEFAULT_MODELS

DEFAULT_FOLDER = Path("bundle")


def bundle(
    recipe: Recipe = None,
    models: Models = DEFAULT_MODELS,
    tasks: Tasks = None,
    settings: Settings = None,
    base: Base = None,
    out: Annotated[
        Path, typer.Option("--out", help="The folder of the bundle; what it holds is not fetched again.")
    ] = DEFAULT_FOLDER,
    dry_run: Annotated[  # noqa: FBT002
        bool, typer.Option("--dry-run", help="Only show what would be fetched, with sizes and licences.")
    ] = False,
) -> None:
    """Fetch the data sets and models of a run into a folder that --from-bundle reads without a network."""
    import harness

    harness.bundle(
        recipe,
        out=out,
        models=models,
        tasks=split_names(tasks),
        settings=settings or (),
        base=base,
        dry_run=dry_run,
    )
