"""One cell of a sweep: a recipe trained and scored once, in a folder of its own on a disk or at any fsspec URL."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.runs.unchanged import INPUTS, input_hashes
from reports.errors import UserError
from reports.files import write_json, write_text

if TYPE_CHECKING:
    from training.recipes.recipe import Recipe

_RESULTS = "results.json"


@dataclass(frozen=True)
class Cell:
    """What to train and score: the whole resolved recipe, so that a machine elsewhere needs no file of this one.

    Attributes:
        name: Its folder's name, made of what distinguishes it.
        models: `base` or `adapter`.
        recipe: The resolved recipe as JSON.
    """

    name: str
    models: str
    recipe: Mapping[str, Any]


def is_finished(cell: Cell, store: str) -> bool:
    """Whether `store` holds this very cell's results, with everything that its recipe says and of the same data.

    Data and base are the same where no file that was hashed then and is here now has changed.

    Raises:
        UserError: The store cannot be read.
    """
    results, before = (_read(f"{store}/{cell.name}", name) for name in (_RESULTS, INPUTS))
    if not isinstance(results, dict) or not isinstance(before, dict):
        return False
    same = {"recipe": dict(cell.recipe), "models": [cell.models]}
    if same != {"recipe": results.get("recipe"), "models": [model["name"] for model in results.get("models", [])]}:
        return False
    now = input_hashes(_recipe(cell))
    return all(before[path] == now[path] for path in before.keys() & now.keys())


def score_text_of(cell: Cell, store: str, by: str | None) -> str:
    """Title and score of the metric that ranks the models, in a finished cell of `store`.

    Args:
        cell: The cell.
        store: Folder or fsspec URL that its run folder lies in.
        by: Key of the metric; by default the first comparable one.

    Raises:
        UserError: The store cannot be read, or no task has the metric.
    """
    from reports.comparison.ranking import quality_metric
    from reports.document.schema import Results
    from reports.numbers import better_arrow, score_text

    results = Results.model_validate(_read(f"{store}/{cell.name}", _RESULTS))
    task, metric = quality_metric(results.tasks, by)
    score = results.scores_by_key().get((cell.models, task.name, metric.key))
    return f"{metric.title}{better_arrow(metric)} {score_text(score, metric)}"


def _read(folder: str, name: str) -> Any:
    """The JSON file of that name in a cell's folder, or None."""
    filesystem, path = _filesystem(f"{folder}/{name}")
    try:
        return json.loads(filesystem.cat_file(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read the {name} of the cell ({error})", where=folder, fix="remove the folder"
        ) from error


def _recipe(cell: Cell) -> Recipe:
    from training.recipes.recipe_file import check_recipe

    return check_recipe(dict(cell.recipe), cell.name)


def run_cell(cell: Cell, folder: Path) -> str:
    """Train and score a cell in a folder, resuming an interrupted one; returns its name.

    The hashes of its inputs are taken before it and written after it: they mark it as finished.
    """
    from harness.api import run
    from training.recipes.recipe_file import recipe_yaml

    recipe = _recipe(cell)
    inputs = input_hashes(recipe)
    (folder / INPUTS).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "recipe.yaml"
        write_text(file, recipe_yaml(recipe))
        run(str(file), models=cell.models, out=folder, quiet=True)
    write_json(folder / INPUTS, inputs)
    return cell.name


def run_stored(cell: Cell, store: str) -> str:
    """Run a cell on this machine's own disk and put its folder into the store, its inputs last; returns its name."""
    if is_finished(cell, store):
        return cell.name
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / cell.name
        run_cell(cell, folder)
        filesystem, path = _filesystem(f"{store}/{cell.name}")
        if filesystem.exists(f"{path}/{INPUTS}"):
            filesystem.rm_file(f"{path}/{INPUTS}")
        files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".lock"]
        for file in sorted(files, key=lambda file: (file.name == INPUTS, file.name == _RESULTS)):
            target = f"{path}/{file.relative_to(folder).as_posix()}"
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(file), target)
    return cell.name


def fetch(cell: Cell, store: str, folder: Path) -> None:
    """Copy a finished cell out of a store, unless it lies there already."""
    filesystem, path = _filesystem(f"{store}/{cell.name}")
    if Path(path) == folder.absolute():
        return
    for file in filesystem.find(path):
        target = folder / file.removeprefix(f"{path}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        filesystem.get_file(file, str(target))


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UserError(f"cannot open the store ({error})", where=f"--store {url}", fix="check the URL") from error
    return filesystem, str(path)
