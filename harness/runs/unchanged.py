"""Recognises a run that would only repeat a finished one by the files that it reads, before heavy imports."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.environment import package_versions
from harness.planning.model_names import parse_models
from harness.task_files.own_tasks import own_task_inputs
from reports.bundles.active import active_bundle
from reports.bundles.manifest import MANIFEST
from reports.errors import UserError
from reports.files import read_json, sha256_file, sha256_value, write_json
from reports.home import medbench_home
from tasks.catalog import TASKS
from tasks.suites import expand
from training.models.adapters import CONFIG, WEIGHTS
from training.models.base_model import small_files
from training.models.device import VISIBLE_DEVICES
from training.recipes.recipe import QUICKSTART_MODEL

if TYPE_CHECKING:
    from harness.folder import RunFolder
    from tasks.data import DataSource
    from training.recipes.recipe import Recipe

_ROOT = Path(__file__).resolve().parents[2]
_FILE = "finished.json"
INPUTS = "inputs.json"  # the input hashes of a sweep's finished cell
_NOT_RESULTS = {_FILE, INPUTS, "run.log", ".lock", "recipe.yaml"}
_VARIABLES = (VISIBLE_DEVICES, "OMP_NUM_THREADS", "WORLD_SIZE")


def signature(recipe: Recipe, folder: RunFolder, models: str, tasks: Sequence[str] | None) -> str | None:
    """A hash over recipe, models, versions, and size and time of every file that a run reads or has written.

    Results, samples and adapter are hashed themselves, so that bit rot and forged times are noticed.

    None if that is not enough: data on the hub may have changed, and other tasks than ours bring their own data.
    """
    wanted = recipe.needed_tasks(tasks)
    try:
        base = recipe.model.base
        folders = [medbench_home() / "models" if base == QUICKSTART_MODEL else _local(base)]
        folders += [_local(model.source) for model in parse_models(models) if model.source]
        inputs = [*(path for source in _given(recipe) for path in _source(source)), *folders]
        bundle = active_bundle()
        inputs += [] if bundle is None else [bundle.path / MANIFEST]
    except (UserError, LookupError):
        return None
    if not set(expand(wanted)) <= TASKS.keys() or not folder.results.is_file():
        return None
    packages = [_ROOT / name for name in ("harness", "tasks", "reports", "training")]
    parts = [recipe.model_dump(mode="json"), models, wanted, package_versions()]
    machine = [os.cpu_count(), Path("/dev/nvidiactl").exists(), *(os.environ.get(name) for name in _VARIABLES)]
    return sha256_value([parts, machine, [_files(path) for path in (*packages, *inputs)], _results(folder)])


def is_unchanged(folder: RunFolder, now: str | None) -> bool:
    """Whether the folder holds the finished run of this signature."""
    path = folder.path / _FILE
    if now is None or not path.is_file():
        return False
    try:
        return bool(read_json(path) == {"signature": now})
    except UserError:
        return False


def remember(folder: RunFolder, now: str | None) -> None:
    """Note the signature of a run that has just finished."""
    if now is not None:
        write_json(folder.path / _FILE, {"signature": now})


def input_hashes(recipe: Recipe) -> dict[str, str | None]:
    """SHA-256 by path of the files on this machine that are a recipe's data, task files and base; None if missing.

    Unlike a signature it holds on other machines too. What is on the hub, or not on this machine, is left out.
    """
    hashes: dict[str, str | None] = {}
    for source in _given(recipe):
        with contextlib.suppress(UserError, LookupError, OSError):
            hashes |= {str(path): _hash(path) for path in _source(source)}
    with contextlib.suppress(UserError, OSError):
        inputs = own_task_inputs(recipe.scoring.tasks, recipe.scoring.task_paths)
        hashes |= {str(path): _hash(path) for path in inputs}
    base = Path(recipe.model.base).expanduser()
    if base.is_dir():
        weights = [[path.name, _hash(path)] for path in sorted(base.glob("*.safetensors"))]
        hashes[str(base)] = sha256_value([small_files(base), weights])
    return hashes


def _hash(path: Path) -> str | None:
    if not path.is_file():
        return None
    about = path.stat()
    return _hash_of(path, about.st_size, about.st_mtime_ns)


@functools.cache
def _hash_of(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - what tells that a file is still the same
    return sha256_file(path)


def _given(recipe: Recipe) -> list[DataSource]:
    data = recipe.data
    given = (data.train, data.validation, data.reasoning, data.pubmedqa, data.questions, *recipe.trained_on.values())
    return [source for source in given if source is not None]


def _source(source: DataSource) -> Iterator[Path]:
    """The data files, with those beside them that can change what they mean."""
    files = source.files()
    if not files:
        raise LookupError(source.label)
    yield from files
    yield files[0].parent / "test_ground_truth.json"
    yield from (Path(ids).expanduser() for ids in (source.ids, source.exclude_ids) if isinstance(ids, str))


def _local(source: str) -> Path:
    path = Path(source).expanduser()
    if not path.exists():
        raise LookupError(source)
    return path


def _results(folder: RunFolder) -> list[object]:
    """Files of a run folder but for those written without a run, with hashes of results, samples and adapters."""
    own = {str(folder.path / name) for name in _NOT_RESULTS}
    folders = (folder.adapter, *folder.checkpoints.glob("*"))
    adapter = (path / name for path in folders for name in (WEIGHTS, CONFIG))
    hashed = (folder.results, *(folder.path / "samples").rglob("*.json*"), *adapter)
    contents = [[str(path), sha256_file(path)] for path in sorted(hashed) if path.is_file()]
    return [*(entry for entry in _files(folder.path) if entry[0] not in own), contents]


def _files(path: Path) -> list[tuple[str, int, int]]:
    """(path, size, time of the last change) of a file, or of all files below a folder."""
    entries = []
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            about = file.stat()
            entries.append((str(file), about.st_size, about.st_mtime_ns))
    return entries
