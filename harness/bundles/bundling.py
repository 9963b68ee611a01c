"""`medbench bundle`: fetches all that a run needs into a folder, for machines without a network."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.bundles.bundle_plan import PlannedPiece, check_licences, plan_pieces, show_plan
from harness.bundles.fetching import check_room, copy_quickstart, fetch_piece
from harness.bundles.requirements import requirements, system
from harness.console import Terminal
from harness.opening import open_run
from harness.planning.needs import Needs, run_needs
from reports.bundles.active import BUNDLE
from reports.bundles.integrity import check_piece, file_record
from reports.bundles.manifest import (
    MANIFEST,
    BundleRequest,
    Manifest,
    Piece,
    piece_folder,
    read_manifest,
    write_manifest,
)
from reports.errors import UserError, first_line
from reports.files import write_text
from reports.hub_access import hub_or_cache
from reports.numbers import file_size
from reports.version import __version__
from training.models.model import DEFAULT_MODELS

_REQUIREMENTS, _README = "requirements.txt", "README.md"


def bundle(
    recipe: str | None = None,
    *,
    out: str | Path = "bundle",
    models: str = DEFAULT_MODELS,
    tasks: Sequence[str] | None = None,
    settings: Sequence[str] = (),
    base: str | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> Manifest:
    """Fetch the data sets and models of a run into a folder, with a manifest and a list of packages.

    What the folder holds already is not fetched again; other tasks and models are added to it.

    Args:
        recipe: As in `harness.run`, like models, tasks, settings and base.
        out: The folder of the bundle.
        models: The models.
        tasks: Tasks instead of the recipe's.
        settings: `key.path=value` overrides.
        base: The base model.
        dry_run: Only show what would be fetched.
        quiet: Print nothing.

    Returns:
        The manifest, as written to `manifest.json`; of a dry run, as it is now.

    Raises:
        UserError: Something cannot be fetched or bundled, or other files are in the way.
        MachineError: The disk is full or cannot be written to.
    """
    if os.environ.get(BUNDLE):
        fix = f"unset it: bundles are made from the hub, on a connected machine (unset {BUNDLE})"
        raise UserError("a bundle is in use", where=BUNDLE, fix=fix)
    terminal, folder = Terminal(quiet=quiet), Path(out).expanduser()
    resolved, _ = open_run(recipe, settings=settings, base=base, tasks=tasks, say=terminal.say)
    names = resolved.needed_tasks(tasks)
    manifest = _opened(folder)
    needs = run_needs(resolved, models, names)
    if recipe is not None and Path(recipe).suffix in (".yaml", ".yml"):
        needs.local.insert(0, f"--recipe: {recipe}")
    with hub_or_cache():  # notices within seconds that the hub cannot be reached
        pieces = plan_pieces(folder, needs, manifest)
    terminal.heading("Bundle")
    show_plan(pieces, needs, terminal)
    check_licences(pieces)
    if dry_run:
        return manifest
    check_room(folder, sum(one.size for one in pieces))
    request = BundleRequest(recipe=_recipe_name(recipe), models=models, tasks=names, settings=_changes(settings, base))
    if request not in manifest.requests:
        manifest.requests.append(request)
    planned = [one.pending for one in pieces if not one.is_complete]
    manifest.pending = [*planned, *(one for one in manifest.pending if one.id not in {new.id for new in planned})]
    write_manifest(folder, manifest)
    for one in pieces:
        _complete(folder, one, manifest, terminal)
    _write_rest(folder, manifest, needs)
    size = file_size(sum(piece.size for piece in manifest.pieces))
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    terminal.say(f"{folder}: {len(manifest.pieces)} data sets and models, {size}; sha256 of {MANIFEST}: {digest}")
    terminal.say(f"copy it to the other machine, and add --from-bundle FOLDER there; see {_README} in it")
    return manifest


def _opened(folder: Path) -> Manifest:
    """The manifest of a bundle that is there, or that of an empty one.

    Raises:
        UserError: There is something else at that place, or a bundle that this medbench does not read.
    """
    if (folder / MANIFEST).is_file():
        return read_manifest(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "it is there and no bundle; nothing is overwritten"
        raise UserError(what, where=f"--out {folder}", fix="name a bundle, or a folder that is empty or not there")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(medbench=__version__, created=now, python=platform.python_version(), platform=system())


def _recipe_name(recipe: str | None) -> str:
    """The recipe without the folders of this machine."""
    return "" if recipe is None else Path(recipe).name


def _changes(settings: Sequence[str], base: str | None) -> list[str]:
    return [*settings, *([] if base is None else [f"model.base={base}"])]


def _complete(folder: Path, planned: PlannedPiece, manifest: Manifest, terminal: Terminal) -> None:
    """Fetch a piece if something of it is missing, and check it."""
    need = planned.need
    if not planned.is_complete:
        terminal.say(f"fetching {need} ({file_size(planned.size)})")
        if planned.repository is None:
            copy_quickstart(folder, manifest, need.id, terminal.say)
        else:
            fetch_piece(folder, planned.repository, manifest)
    piece = manifest.piece(need.kind, need.id)
    if piece is None:
        return
    check_piece(folder, piece)
    if need.kind == "data set":
        for config in sorted(need.configs or ()):
            _check_data_set(folder, piece, config)


def _check_data_set(folder: Path, piece: Piece, config: str) -> None:
    """Check that `datasets` finds a configuration in the copy, without reading its rows.

    Raises:
        UserError: It does not.
    """
    import datasets

    place = piece_folder(folder, "data set", piece.id)
    try:
        datasets.load_dataset_builder(str(place.resolve()), config or None)
    except Exception as error:
        raise UserError(
            f"`datasets` cannot load the copy of {piece.id}: {first_line(error)}",
            where=str(place),
            fix="set its configuration in the recipe (OWNER/NAME:CONFIG), or leave out what needs it",
        ) from error


def _write_rest(folder: Path, manifest: Manifest, needs: Needs) -> None:
    """Write the files beside the pieces, and list them in the manifest."""
    manifest.medbench, manifest.python, manifest.platform = __version__, platform.python_version(), system()
    write_text(folder / _REQUIREMENTS, requirements())
    write_text(folder / _README, _readme(folder, manifest, needs))
    manifest.files = {name: file_record(folder / name) for name in (_REQUIREMENTS, _README)}
    write_manifest(folder, manifest)


def _readme(folder: Path, manifest: Manifest, needs: Needs) -> str:
    """How the bundle is used, and what is in it."""
    commands = [_command(request, folder.resolve().name) for request in manifest.requests]
    along = [f"- {line.partition(': ')[0]}: {Path(line.partition(': ')[2]).name}" for line in needs.local]
    rows = [f"| {one.kind} | {one.id} | {one.commit[:12]} | {one.licence} |" for one in manifest.pieces]
    lines = [
        "# A bundle of medbench",
        "",
        f"Made with medbench {manifest.medbench}, Python {manifest.python}, {manifest.platform}.",
        "Copy the whole folder. The licences below hold on the other machine too.",
        "",
        "1. Install the packages of `requirements.txt`; its first lines say how.",
        "2. Run, from the folder beside this one:",
        "",
        *(f"       {command}" for command in commands),
        "",
        "Hashes are checked before a file is used. They are no signatures: compare the SHA-256 of `manifest.json`",
        "with the one that `medbench bundle` printed.",
        "",
        *(["These are not in it and have to be taken along:", "", *along, ""] if along else []),
        "| what | id | commit | licence |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)


def _command(request: BundleRequest, folder: str) -> str:
    words = ["medbench", "run", *(["--recipe", request.recipe] if request.recipe else []), "--models", request.models]
    words += ["--tasks", ",".join(request.tasks)] if request.tasks else []
    words += [word for setting in request.settings for word in ("--set", setting)]
    return shlex.join([*words, "--from-bundle", folder])
