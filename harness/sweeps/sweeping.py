"""`medbench sweep`: every combination of settings trained and scored once, the base once for all, compared."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.console import Terminal
from harness.planning.model_names import OWN_ADAPTER
from harness.sweeps.cells import Cell, fetch, is_finished, run_cell, run_stored
from reports.errors import UserError
from training.models.model import BASE

if TYPE_CHECKING:
    from reports.document.schema import Results
    from training.recipes.recipe import Recipe

_VARIED = ("lora.", "trainer.", "data.train.", "data.validation")
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 64


@dataclass(frozen=True)
class Needs:
    """What a cell takes of a machine in a cluster; `memory` in bytes, None to leave it open."""

    cpus: float = 1
    gpus: float = 0
    memory: int | None = None


def make_cells(load: Any, grid: Sequence[str]) -> list[Cell]:
    """The base's cell and one for each combination of the grid.

    Args:
        load: From `key.path=value` overrides to the resolved recipe.
        grid: `key.path=value,value,...`, each one axis.

    Raises:
        UserError: An axis is no such thing, varies what the base's scores rest on, or a value does not fit.
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


def run_sweep(
    cells: Sequence[Cell],
    out: Path,
    *,
    executor: str,
    store: str | None,
    needs: Needs,
    by: str | None,
    terminal: Terminal,
) -> Results:
    """Run all cells that are not finished, compare them with the base, and write one report into `out`.

    Raises:
        UserError: A cell fails for a reason that the user can mend; what is finished is kept.
    """
    place = store or str((out / "cells").absolute())
    folders = {cell.name: out / "cells" / cell.name for cell in cells}
    waiting = [cell for cell in cells if not is_finished(cell, place)]
    terminal.say(f"{len(cells)} cells, {len(cells) - len(waiting)} finished already")
    done = len(cells) - len(waiting)
    if executor == "ray":
        finished: Iterable[str] = _on_ray(waiting, place, needs)
    elif store is not None:
        finished = (run_stored(cell, store) for cell in waiting)
    else:
        finished = _here(waiting, folders)
    for name in finished:
        done += 1
        terminal.say(f"  {done} of {len(cells)}: {name}")
    for cell in cells:
        fetch(cell, place, folders[cell.name])
    return write_comparison(list(folders.values()), out, by, terminal)


def write_comparison(runs: Sequence[Path], out: Path, by: str | None, terminal: Terminal) -> Results:
    """Compare runs, write one report into `out`, and show the verdict."""
    from reports.comparison.compare_runs import compare_runs
    from reports.page.render import render

    results = compare_runs(runs, out, OWN_ADAPTER, name=out.name, by=by)
    markdown, html = render(out)
    for sentence in [*results.verdict, *results.notes]:
        terminal.say(sentence)
    terminal.say(f"\nreport: {html}\n        {markdown}")
    return results


def _here(cells: Iterable[Cell], folders: dict[str, Path]) -> Iterator[str]:
    """One after another in this process."""
    for cell in cells:
        run_cell(cell, folders[cell.name])
        yield cell.name


def _on_ray(cells: Sequence[Cell], store: str, needs: Needs) -> Iterator[str]:
    """As Ray tasks, on the cluster at RAY_ADDRESS or a local one; Ray does the cells of a lost node again."""
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed", where="--executor ray", fix="pip install 'medbench[ray]'") from error
    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False, log_to_driver=False)
    task = ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory, max_retries=-1)(run_stored)
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
