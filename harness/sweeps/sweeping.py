"""`medbench compare` and `medbench sweep`: several runs, or every combination of settings, in one report."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.console import Styled, Terminal
from harness.folder import RunFolder
from harness.opening import RUNS, open_run
from harness.sweeps.cells import Cell, fetch, is_finished, run_cell, run_stored, score_text_of
from reports.errors import UserError
from reports.numbers import GIB
from training.models.model import BASE, OWN_ADAPTER

if TYPE_CHECKING:
    from reports.document.schema import Results
    from training.recipes.recipe import Recipe

_VARIED = ("lora.", "trainer.", "data.train.", "data.validation")
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 64


def compare(runs: Sequence[str | Path], *, out: str | Path, by: str | None = None, quiet: bool = False) -> Results:
    """Compare the models of several runs on the items that they share, and write one report.

    Args:
        runs: Run folders; the baseline is the first base among their models.
        out: The folder to write; it is like a run folder.
        by: Key of the metric that ranks the models; the first comparable one if not given.
        quiet: Print nothing.

    Raises:
        UserError: A run cannot be read, or two models would have one name.
    """
    from reports.comparison.compare_runs import compare_runs
    from reports.page.render import render

    terminal, folder = Terminal(quiet=quiet), Path(out)
    results = compare_runs([Path(run) for run in runs], folder, OWN_ADAPTER, name=folder.name, by=by)
    markdown, html = render(folder)
    for sentence in [*results.verdict, *results.notes]:
        terminal.say(sentence)
    _show_configurations(results, terminal)
    terminal.say(f"\nreport: {html}\n        {markdown}")
    return results


def _show_configurations(results: Results, terminal: Terminal) -> None:
    """Print the table of configurations, the best one in green."""
    from reports.page.configuration_views import configurations_table

    table = configurations_table(results)
    if table is None or results.compared is None:
        return
    terminal.say()
    best = f"{results.compared.best} ("  # marks follow the name
    rows = [[Styled(cell, "bold green") for cell in row] if row[0].startswith(best) else row for row in table.rows]
    texts = [n for n, column in enumerate(table.columns) if column.startswith("Against ")]
    terminal.table(table.columns, rows, left=texts)


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
        by: Key of the metric that ranks the models.
        executor: `local` (one after another in this process) or `ray` (tasks on the cluster at RAY_ADDRESS, else here).
        store: fsspec URL that all machines can write to, for the cells' run folders.
        cpus: CPUs that a cell takes on Ray.
        gpus: GPUs that a cell takes on Ray.
        memory_gib: Memory that a cell takes on Ray, in GiB.
        quiet: Print nothing.

    Raises:
        UserError: The grid is at fault, or a cell fails for a reason that the user can fix; finished cells are saved.
    """

    def load(more: Sequence[str]) -> Recipe:
        return open_run(recipe, limit=limit, seed=seed, settings=[*settings, *more])[0]

    cells = make_cells(load, grid)
    folder = RunFolder(Path(out) if out is not None else RUNS / f"{load(()).name}-sweep")
    folder.make()
    memory = None if memory_gib is None else round(memory_gib * GIB)
    resources = {"num_cpus": cpus, "num_gpus": gpus, "memory": memory} if executor == "ray" else None
    with folder.lock():
        runs = _run_cells(cells, folder.path / "cells", store, resources, by, Terminal(quiet=quiet))
        return compare(runs, out=folder.path, by=by, quiet=quiet)


def make_cells(load: Any, grid: Sequence[str]) -> list[Cell]:
    """The base's cell and one for each combination of the grid.

    Args:
        load: From `key.path=value` overrides to the resolved recipe.
        grid: `key.path=value,value,...`, each one axis.

    Raises:
        UserError: An axis is malformed, varies what the base's scores depend on, or a value does not fit.
    """
    axes = [_axis(axis) for axis in grid]
    if not axes:
        raise UserError("there is nothing to vary", where="--grid", fix="write --grid lora.r=8,16,32")
    keys = [axis[0].partition("=")[0] for axis in axes]
    if len(set(keys)) < len(keys):
        raise UserError("a setting is varied twice", where="--grid", fix="give all its values in one --grid")
    base: Recipe = load(())
    cells = [
        Cell(BASE, BASE, base.model_dump(mode="json")),
        *(
            Cell(_name(settings), OWN_ADAPTER, load(settings).model_dump(mode="json"))
            for settings in itertools.product(*axes)
        ),
    ]
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        raise UserError("two cells would have the same name", where="--grid", fix="give each value once, and shorter")
    return cells


def _run_cells(
    cells: Sequence[Cell],
    folder: Path,
    store: str | None,
    resources: Mapping[str, Any] | None,
    by: str | None,
    terminal: Terminal,
) -> list[Path]:
    """Run all cells that are not finished, as Ray tasks with these resources if given; returns all run folders.

    Args:
        cells: The cells, whose run folders lie in `folder`.
        folder: Where to put them.
        store: fsspec URL where they are run; `folder` if None.
        resources: Arguments of `ray.remote`; None to run one after another in this process.
        by: Key of the metric that is shown of each finished cell.
        terminal: Shows progress.
    """
    place = store or str(folder.absolute())
    waiting = [cell for cell in cells if not is_finished(cell, place)]
    terminal.say(f"{len(cells)} cells, {len(cells) - len(waiting)} finished already")
    by_name = {cell.name: cell for cell in waiting}
    if resources is not None:
        finished: Iterable[str] = _on_ray(waiting, place, resources)
    elif store is not None:
        finished = (run_stored(cell, store) for cell in waiting)
    else:
        finished = (run_cell(cell, folder / cell.name) for cell in waiting)
    if waiting:
        # The base is not trained, so its time says nothing of the others': it counts as no unit of the work.
        with terminal.progress("cells", len(waiting) - (BASE in by_name), log=True) as advance:
            for name in finished:
                advance(int(name != BASE), f"{name}: {score_text_of(by_name[name], place, by)}")
    for cell in cells:
        fetch(cell, place, folder / cell.name)
    return [folder / cell.name for cell in cells]


def _on_ray(cells: Sequence[Cell], store: str, resources: Mapping[str, Any]) -> Iterator[str]:
    """Run cells as Ray tasks, on the cluster at RAY_ADDRESS or a local one; Ray repeats the cells of a lost node."""
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed", where="--executor ray", fix="pip install 'medbench[ray]'") from error
    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False, log_to_driver=False)
    task = ray.remote(**resources, max_retries=-1)(run_stored)
    try:
        left = [task.remote(cell, store) for cell in cells]
        while left:
            ready, left = ray.wait(left)
            yield ray.get(ready[0])
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from error
        raise
    finally:
        if started:
            ray.shutdown()


def _name(settings: Sequence[str]) -> str:
    """A folder's name for overrides: the last word of each key with its value."""
    pairs = (setting.partition("=") for setting in settings)
    return _PLAIN.sub("-", "_".join(f"{key.rpartition('.')[2]}-{value}" for key, _, value in pairs))[:_NAME_LENGTH]


def _axis(text: str) -> list[str]:
    """`key=a,b` as [`key=a`, `key=b`]."""
    key, equals, values = (part.strip() for part in text.partition("="))
    parts = [part.strip() for part in values.split(",")]
    if not equals or not key or not all(parts):
        raise UserError("not an axis of a grid", where=f"--grid {text}", fix="write --grid lora.r=8,16,32")
    if not key.startswith(_VARIED):
        raise UserError(
            f"{key} cannot be varied: the base is scored once for all cells, so only training may differ",
            where=f"--grid {text}",
            fix=f"vary a key that starts with {', '.join(_VARIED)}, or use medbench run and medbench compare",
        )
    return [f"{key}={part}" for part in parts]
