"""The commands that put runs side by side or into other layouts: `medbench compare`, `sweep` and `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.commands.options import Limit, RecipeArgument, Run, Seed
from harness.console import Terminal

By = Annotated[str | None, typer.Option("--by", metavar="METRIC", help="Key of the metric that ranks the models.")]
Executor = Literal["local", "ray"]
Layout = Literal["csv", "parquet", "lm_eval"]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, every model is compared with the first run's base.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")] = Path("runs/comparison"),
    by: By = None,
) -> None:
    """Compare the models of several runs on the items that they share, in one report."""
    import harness

    harness.compare(runs, out=out, by=by)


def sweep(  # noqa: PLR0913, PLR0917 - one for each flag
    grid: Annotated[list[str], typer.Option("--grid", metavar="KEY=VALUE,VALUE", help="One setting to vary.")],
    recipe: RecipeArgument = None,
    limit: Limit = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe in all cells.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder; runs/RECIPE-sweep if not given.")] = None,
    seed: Seed = None,
    by: By = None,
    executor: Annotated[
        Executor, typer.Option("--executor", help="One after another here, or as Ray tasks.")
    ] = "local",
    store: Annotated[
        str | None, typer.Option("--store", help="fsspec URL for the cells' run folders, such as s3://bucket/sweep.")
    ] = None,
    cpus: Annotated[float, typer.Option("--cell-cpus", min=0, help="CPUs that a cell takes on Ray.")] = 1,
    gpus: Annotated[float, typer.Option("--cell-gpus", min=0, help="GPUs that a cell takes on Ray.")] = 0,
    memory: Annotated[
        float | None, typer.Option("--cell-memory", min=0, help="GiB of memory that a cell takes on Ray.")
    ] = None,
) -> None:
    """Train and score every combination of some settings once, and compare all with the base in one report."""
    import harness

    harness.sweep(
        recipe,
        grid,
        limit=limit,
        settings=settings or (),
        out=out,
        seed=seed,
        by=by,
        executor=executor,
        store=store,
        cpus=cpus,
        gpus=gpus,
        memory_gib=memory,
    )


def convert(
    run: Run,
    to: Annotated[Layout, typer.Option("--to", help="The layout.")],
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; RUN/LAYOUT if not given.")] = None,
) -> None:
    """Write a run's scores and samples for other tools: CSV, Parquet, or lm-eval's own layout."""
    from reports.convert import convert as convert_run

    for path in convert_run(run, to, out or run / to):
        Terminal().say(str(path))
