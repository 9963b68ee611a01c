"""The baseline store: a folder with the scores of released models and of their items, without any text.

`STORE/NAME/` holds `results.json` (of that one model), `scores/TASK.jsonl` (ids, hashes of items, of their gold labels
and fields, scores) and `baseline.json`, the hashes of these, so that a changed file is noticed. It may be committed, an
artifact, or shared.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock

from reports.document.reading import read_document, read_results
from reports.document.schema import Results, Sample
from reports.errors import UserError
from reports.files import sha256_file, sync_folder, write_json, write_jsonl
from reports.gate.comparable import unusable
from reports.gate.inputs import GateInput, ItemScore, check_values, read_items, slice_hashes
from reports.names import is_plain_name
from reports.strict import Strict
from tasks.catalog import METRICS

SCHEMA_VERSION = "1.0"
_MANIFEST = "baseline.json"
_RESULTS = "results.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Manifest(Strict):
    """What a baseline is (`baseline.json`).

    Attributes:
        name: Its name in the store.
        run: The name of the run that it was made of.
        model: The model in it.
        created: When that run was scored.
        sha256: Hash of every other file, by its path in the baseline's folder.
    """

    schema_version: str = SCHEMA_VERSION
    name: str
    run: str
    model: str
    created: str
    sha256: dict[str, str]


def set_baseline(source: GateInput, store: Path, name: str | None, *, force: bool = False) -> Path:
    """Store a model of a finished run as a baseline; one of the same name is replaced.

    Args:
        source: The model's scores.
        store: The folder of all baselines.
        name: Name of the baseline; that of the run if None.
        force: Whether a baseline may be replaced by one that lacks some of its items, which no gate requires any more.

    Raises:
        UserError: The name is not valid, the run is not complete, or the baseline would lose tasks or items.
    """
    chosen = name or source.results.name
    if not (_NAME.fullmatch(chosen) and is_plain_name(chosen)):
        raise UserError(
            f"{chosen[:60]!r} is no name for a baseline (letters, digits, '.', '_', '-')",
            where="--name",
            fix="give another",
        )
    for task in source.results.tasks:
        for metric in task.metrics:
            reason = "" if metric.secondary else unusable(source, task.name, metric)
            if reason:
                what = f"no baseline can be made of it: {reason}"
                raise UserError(what, where=source.run, fix="finish or repeat the run")
    store.mkdir(parents=True, exist_ok=True)
    folder = store / chosen
    with FileLock(store / ".lock"):
        fresh, aside = _beside(folder, "new"), _beside(folder, "old")
        if link := next((path for path in (folder, fresh, aside) if path.is_symlink()), None):
            raise UserError("it is a link", where=str(link), fix="remove it, or give another --name or --store")
        shutil.rmtree(fresh, ignore_errors=True)
        _write(source, chosen, fresh)
        if folder.is_dir() and not is_baseline(folder) and any(folder.iterdir()):
            shutil.rmtree(fresh)
            raise UserError("it is there and no baseline", where=str(folder), fix="give another --name or --store")
        # At any moment the old baseline or the new one is whole, here or where `baseline_folder` looks for it.
        if is_baseline(folder):
            if not force and (lost := _lost(folder, source)):
                shutil.rmtree(fresh)
                fix = "score these too, give another --name, or replace it all the same: --force"
                raise UserError(f"the new baseline would lose {lost}", where=str(folder), fix=fix)
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        elif folder.is_dir():
            folder.rmdir()
        fresh.rename(folder)
        sync_folder(store)
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _lost(folder: Path, source: GateInput) -> str:
    """What a stored baseline has and its successor has not: tasks, and items of tasks; empty if nothing."""
    try:
        stored = read_baseline(folder).items
    except UserError:  # broken: there is nothing to lose
        return ""
    counts = {task: len(items.keys() - source.items.get(task, {}).keys()) for task, items in stored.items()}
    return ", ".join(f"{count} of {len(stored[task])} items of {task}" for task, count in counts.items() if count)


def _write(source: GateInput, name: str, folder: Path) -> None:
    """Write a model's scores and their manifest."""
    results = _reduced(source.results, source.model)
    write_json(folder / _RESULTS, results.model_dump(mode="json"))
    keep = set(ItemScore.model_fields)
    for task, items in source.items.items():
        rows = (item.model_dump(mode="json", include=keep) | {"slices": slice_hashes(item)} for item in items.values())
        write_jsonl(_scores(folder, task), rows)
    manifest = Manifest(
        name=name,
        run=source.run,
        model=source.model,
        created=source.results.created,
        sha256={path: sha256_file(folder / path) for path in _paths(results)},
    )
    write_json(folder / _MANIFEST, manifest.model_dump(mode="json"))


def _beside(folder: Path, what: str) -> Path:
    return folder.parent / f".{folder.name}.{what}"  # also of `.`, which has no name


def baseline_folder(folder: Path) -> Path | None:
    """Where the baseline of a folder is: in it, or aside if replacing it was interrupted; None if there is none."""
    return next((place for place in (folder, _beside(folder, "old")) if is_baseline(place)), None)


def is_baseline(folder: Path) -> bool:
    """Whether a folder holds a baseline."""
    return (folder / _MANIFEST).is_file()


def read_baseline(folder: Path, model: str | None = None) -> GateInput:
    """Read a stored baseline as an input of the gate.

    Raises:
        UserError: It is broken, a file is missing or was changed, or it has no such model.
    """
    manifest = _read_manifest(folder)
    results = with_own_metrics(read_results(folder / _RESULTS))
    expected = set(_paths(results))
    if set(manifest.sha256) != expected:
        raise UserError("its files are not those that its baseline.json lists", where=str(folder), fix="set it again")
    for path, sha256 in manifest.sha256.items():
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            raise UserError("the file is missing", where=str(file), fix="set the baseline again")
        if sha256_file(file) != sha256:
            raise UserError("the file was changed since the baseline was set", where=str(file), fix="set it again")
    names = [info.name for info in results.models]
    chosen = model or manifest.model
    if chosen not in names:
        raise UserError(f"it has no model {chosen[:60]}", where=str(folder), fix=f"it has {', '.join(names)[:200]}")
    items: dict[str, Mapping[str, ItemScore | Sample]] = {}
    for task in results.tasks:
        items[task.name] = read_items(_scores(folder, task.name), ItemScore)
        check_values(_scores(folder, task.name), task.metrics, items[task.name])
    return GateInput(run=manifest.name, results=results, model=chosen, items=items)


def with_own_metrics(results: Results) -> Results:
    """Results whose metrics of medbench's own tasks are described by the catalogue, not by the document."""
    tasks = [
        task.model_copy(update={"metrics": METRICS[task.name]}) if task.name in METRICS else task
        for task in results.tasks
    ]
    return results.model_copy(update={"tasks": tasks})


def list_baselines(store: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """(name, model, run, when it was scored, its state) of every baseline of a store."""
    hidden = re.compile(r"\.(.+)\.old")
    entries = [path.name for path in store.iterdir()] if store.is_dir() else []
    for name in sorted({match[1] if (match := hidden.fullmatch(entry)) else entry for entry in entries}):
        folder = None if name.startswith(".") else baseline_folder(store / name)
        if folder is None:
            continue
        try:
            manifest = _read_manifest(folder)
            items = sum(map(len, read_baseline(folder).items.values()))
            yield name, manifest.model, manifest.run, manifest.created, f"whole, {items} items"
        except UserError as error:
            yield name, "", "", "", f"broken: {error.what} ({error.where})"


def _read_manifest(folder: Path) -> Manifest:
    fix = "set the baseline again"
    return read_document(folder / _MANIFEST, Manifest, SCHEMA_VERSION, what="a baseline", later=fix, broken=fix)


def _reduced(results: Results, model: str) -> Results:
    """The results of one model, without those of others."""
    mine = {
        key: [row for row in getattr(results, key) if row.model == model]
        for key in ("scores", "costs", "classes", "problems")
    }
    models = [info for info in results.models if info.name == model]
    return results.model_copy(
        update={**mine, "models": models, "baseline": model, "comparisons": [], "verdict": [], "notes": []}
    )


def _paths(results: Results) -> list[str]:
    """All files of a baseline but its manifest."""
    return [_RESULTS, *(_scores(Path(), task.name).as_posix() for task in results.tasks)]


def _scores(folder: Path, task: str) -> Path:
    return folder / "scores" / f"{task}.jsonl"
