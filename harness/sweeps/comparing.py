"""The Python API of `medbench compare` and `medbench sweep`: several runs or configurations in one report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.api import RUNS, open_run
from harness.console import Terminal
from harness.folder import RunFolder
from harness.sweeps.sweeping import Needs, make_cells, run_sweep, write_comparison
from reports.numbers import GIB

if TYPE_CHECKING:
    from reports.document.schema import Results
    from training.recipes.recipe import Recipe


def compare(runs: Sequence[str | Path], *, out: str | Path, by: str | None = None, quiet: bool = False) -> Results:
    """Compare the models of several runs on the items that they share, and write one report.

    Args:
        runs: Run folders; the baseline is the first base among their models.
        out: The folder to write; it is like a run folder.
        by: Key of the metric that tells the best; the first comparable one if not given.
        quiet: Print nothing.

    Raises:
        UserError: A run cannot be read, or two models would have one name.
    """
    return write_comparison([Path(run) for run in runs], Path(out), by, Terminal(quiet=quiet))


def sweep(  # noqa: PLR0913 - one for each flag of the command
    recipe: str | None,
    grid: Sequence[str],
    *,
    out: str | Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    by: str | None = None,
    executor: Literal["local", "ray"] = "local",
    store: str | None = None,
    cpus: float = 1,
    gpus: float = 0,
    memory_gib: float | None = None,
    quiet: bool = False,
) -> Results:
    """Train and score every combination of some settings and the base, and compare them in one report.

    Called again, it skips the cells that are finished.

    Args:
        recipe: As in `open_run`, like limit, seed and settings.
        grid: Axes, `key.path=value,value,...`.
        out: The folder; `runs/RECIPE-sweep` by default. The cells' run folders lie in its `cells`.
        limit: Items for each task.
        seed: Replaces the recipe's.
        settings: `key.path=value` overrides for all cells.
        by: Key of the metric that tells the best.
        executor: `local` (one after another in this process) or `ray` (tasks on the cluster at RAY_ADDRESS, else here).
        store: fsspec URL that all machines can write to, for the cells' run folders.
        cpus: CPUs that a cell takes on Ray.
        gpus: GPUs that a cell takes on Ray.
        memory_gib: Memory that a cell takes on Ray, in GiB.
        quiet: Print nothing.

    Raises:
        UserError: The grid is at fault, or a cell fails for a reason that the user can fix.
    """

    def load(more: Sequence[str]) -> Recipe:
        return open_run(recipe, limit=limit, seed=seed, settings=[*settings, *more])[0]

    cells = make_cells(load, grid)
    folder = RunFolder(Path(out) if out is not None else RUNS / f"{load(()).name}-sweep")
    folder.make()
    needs = Needs(cpus, gpus, None if memory_gib is None else round(memory_gib * GIB))
    with folder.lock():
        return run_sweep(
            cells, folder.path, executor=executor, store=store, needs=needs, by=by, terminal=Terminal(quiet=quiet)
        )
