"""Fetches data sets and models into a bundle, so that an interrupted command goes on where it was."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from harness.bundles.hub_files import HubFiles
from reports.bundles.integrity import file_record
from reports.bundles.manifest import FileRecord, Manifest, Piece, PieceKind, piece_folder, write_manifest
from reports.errors import MachineError, UserError
from reports.hub_access import hub_error
from reports.numbers import file_size
from training.models.quickstart_model import quickstart_model

_WORK = ".fetching"  # folder of a bundle for files that are not complete
_ROOM = 50_000_000  # bytes beside the files themselves
QUICKSTART_LICENCE = "Apache-2.0"


def to_fetch(bundle: Path, repository: HubFiles, piece: Piece | None) -> dict[str, int]:
    """Sizes by path of the files that are not in the bundle yet."""
    folder = piece_folder(bundle, repository.need.kind, repository.need.id)
    recorded = {} if piece is None else piece.files
    return {
        path: size for path, size in repository.files.items() if path not in recorded or not (folder / path).is_file()
    }


def check_room(bundle: Path, needed: int) -> None:
    """Check that the disk has room for so many bytes.

    Raises:
        MachineError: It has not.
    """
    place = bundle.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed and free < needed + _ROOM:
        what = f"not enough disk space: {file_size(free)} free, {file_size(needed)} needed"
        raise MachineError(what, where=str(bundle), fix="free some, or choose a folder on another disk with --out")


def fetch_piece(bundle: Path, repository: HubFiles, manifest: Manifest) -> None:
    """Fetch what a bundle lacks of a repository, and record it in the manifest; files that are there stay as they are.

    Raises:
        UserError: The hub refuses it, or other files are in the way.
        MachineError: The disk is full or cannot be written to.
    """
    need = repository.need
    old = manifest.piece(need.kind, need.id)
    files = to_fetch(bundle, repository, old)
    work = bundle / _WORK / piece_folder(bundle, need.kind, need.id).relative_to(bundle)
    _check_way(bundle, need.kind, need.id, files, old)
    with _hub_errors(repository), _disk_errors(bundle):
        for path in files:
            _download(repository, path, work)
        records = {path: file_record(work / path) for path in files}
    _check_sizes(repository, records, old)
    recorded = {} if old is None else dict(old.files)
    configs = None
    if repository.configs is not None and (old is None or old.configs is not None):
        configs = sorted({*repository.configs, *((old.configs or ()) if old else ())})
    piece = Piece(
        kind=need.kind,
        id=need.id,
        commit=repository.commit,
        revision=need.revision or (old.revision if old else None),
        licence=repository.licence,
        card_licence=repository.card_licence,
        gated=repository.gated,
        configs=configs,
        files=dict(sorted({**recorded, **records}.items())),
        left_out=repository.left_out,
    )
    record_piece(bundle, manifest, piece, work)


def copy_quickstart(bundle: Path, manifest: Manifest, name: str, say: Callable[[str], None]) -> None:
    """Copy the built-in model, which is fetched with pip, into the bundle.

    Raises:
        UserError: It cannot be fetched, or other files are in the way.
        MachineError: The disk is full or cannot be written to.
    """
    source = quickstart_model(say)
    paths = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.is_file()]
    sizes = {path: (source / path).stat().st_size for path in paths}
    _check_way(bundle, "model", name, sizes, manifest.piece("model", name))
    check_room(bundle, sum(sizes.values()))
    work = bundle / _WORK / piece_folder(bundle, "model", name).relative_to(bundle)
    with _disk_errors(bundle):
        shutil.copytree(source, work, dirs_exist_ok=True)
        records = {path: file_record(work / path) for path in paths}
    record_piece(bundle, manifest, Piece(kind="model", id=name, licence=QUICKSTART_LICENCE, files=records), work)


def record_piece(bundle: Path, manifest: Manifest, piece: Piece, work: Path) -> None:
    """Put complete files in their places and the piece in the manifest.

    The manifest comes first: after a power loss it lists files that are missing, which the next command completes.
    """
    key = (piece.kind, piece.id)
    manifest.pieces = sorted(
        [piece, *(one for one in manifest.pieces if (one.kind, one.id) != key)], key=lambda one: (one.kind, one.id)
    )
    manifest.pending = [one for one in manifest.pending if (one.kind, one.id) != key]
    write_manifest(bundle, manifest)
    folder = piece_folder(bundle, piece.kind, piece.id)
    with _disk_errors(bundle):
        for path in piece.files:
            if (work / path).is_file():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (work / path).replace(folder / path)
        shutil.rmtree(bundle / _WORK / folder.relative_to(bundle), ignore_errors=True)
        for empty in (work.parent, bundle / _WORK):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()


def _check_way(bundle: Path, kind: PieceKind, piece_id: str, files: Mapping[str, int], old: Piece | None) -> None:
    """Check that no file would be replaced.

    Raises:
        UserError: A file is there that the manifest does not list.
    """
    folder = piece_folder(bundle, kind, piece_id)
    listed = {} if old is None else old.files
    foreign = [path for path in files if path not in listed and (folder / path).exists()]
    if foreign:
        what = f"{foreign[0]} is there and not in the bundle's manifest; nothing is overwritten"
        raise UserError(what, where=str(folder), fix="move the folder away, or choose another --out")


def _download(repository: HubFiles, path: str, work: Path) -> None:
    """Fetch one file; what was fetched of it before an interruption is kept, and the hub's cache is used."""
    from huggingface_hub import hf_hub_download

    need = repository.need
    hf_hub_download(
        need.id,
        path,
        repo_type="dataset" if need.kind == "data set" else "model",
        revision=repository.commit,
        local_dir=work,
    )


def _check_sizes(repository: HubFiles, records: Mapping[str, FileRecord], old: Piece | None) -> None:
    """Check what was fetched against what the hub and an earlier manifest say.

    Raises:
        UserError: A file differs.
    """
    for path, record in records.items():
        expected = old.files.get(path) if old is not None else None
        if record.size != repository.files[path] or expected not in (None, record):
            what = f"{path} is not what the hub or the bundle's manifest announced ({record.size:,} bytes)"
            fix = "repeat the command; if it stays so, make another bundle: --out ANOTHER"
            raise UserError(what, where=f"hub {repository.need.kind} {repository.need.id}", fix=fix)


@contextlib.contextmanager
def _hub_errors(repository: HubFiles) -> Iterator[None]:
    need = repository.need
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        refusal = hub_error(error, need.kind, need.id, revision=need.revision)
        if refusal is None:
            raise
        raise refusal from error


@contextlib.contextmanager
def _disk_errors(bundle: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        if isinstance(error, HfHubHTTPError | LocalEntryNotFoundError | ConnectionError | TimeoutError):
            raise
        what = f"a file could not be saved ({error.strerror or type(error).__name__})"
        fix = "check the free disk space and the rights of the folder; the same command goes on"
        raise MachineError(what, where=str(bundle), fix=fix) from error
