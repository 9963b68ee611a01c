"""Whether the files of a bundle are those in its manifest; hashes are computed once for a state of the files."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from reports.bundles.data_card import check_card
from reports.bundles.manifest import FileRecord, Manifest, Piece, piece_folder
from reports.errors import UserError
from reports.files import read_json, sha256_file, sha256_value, write_json
from reports.home import medbench_home
from reports.numbers import file_size

_NAMED = 5  # files in a message
_MOST_ENTRIES = 100_000  # of a folder
_FIX = "copy the bundle again; or delete the file where the bundle was made and repeat `medbench bundle`"


def check_root(bundle: Path, manifest: Manifest) -> None:
    """Check the files beside the pieces.

    Raises:
        UserError: One is missing, changed or a link.
    """
    _check_files(bundle, manifest.files, {path: bundle / path for path in manifest.files})


def check_piece(bundle: Path, piece: Piece) -> Path:
    """The folder of a piece whose files are exactly those of the manifest.

    The state of the files (sizes, times, inodes) that was hashed is remembered in medbench's own folder, so that
    large models are hashed again only after something was written.

    Raises:
        UserError: A file is missing, changed, not listed, or no regular file; or a card names data elsewhere.
    """
    folder = piece_folder(bundle, piece.kind, piece.id)
    paths = dict(_walk(folder))
    extra = sorted(paths.keys() - piece.files.keys())
    if extra:
        fix = "remove them, or copy the bundle again"
        raise UserError(f"the bundle's manifest does not list {_some(extra)}", where=str(folder), fix=fix)
    missing = missing_files(folder, piece)
    if missing:
        size = file_size(sum(piece.files[name].size for name in missing))
        raise UserError(f"files of the {piece.kind} {piece.id} are missing ({size}): {_some(missing)}", fix=_FIX)
    state = sha256_value([piece.model_dump(mode="json"), [_state(name, path) for name, path in sorted(paths.items())]])
    memory = medbench_home() / "bundles" / f"{sha256_value(str(folder.resolve()))[:32]}.json"
    if _remembered(memory) != state:
        _check_files(folder, piece.files, paths)
        with contextlib.suppress(UserError):  # a folder that cannot be written to only costs the time of hashing
            write_json(memory, {"state": state})
    if piece.kind == "data set":
        check_card(folder)
    return folder


def missing_files(folder: Path, piece: Piece) -> list[str]:
    """Files of a piece that its folder lacks."""
    return sorted(name for name in piece.files if not (folder / name).is_file())


def file_record(path: Path) -> FileRecord:
    """Size and hash of a file."""
    return FileRecord(size=path.stat().st_size, sha256=sha256_file(path))


def _check_files(folder: Path, files: Mapping[str, FileRecord], paths: Mapping[str, Path]) -> None:
    for name, record in files.items():
        path = paths[name]
        if path.is_symlink() or not path.is_file():
            raise UserError("it is missing or no regular file", where=str(path), fix=_FIX)
        actual = path.stat().st_size
        if actual != record.size:
            what = f"it has {actual:,} bytes, {record.size:,} by the bundle's manifest"
            raise UserError(what, where=str(folder / name), fix=_FIX)
        digest = sha256_file(path)
        if digest != record.sha256:
            what = f"it was changed: sha256 {digest[:16]}..., {record.sha256[:16]}... by the bundle's manifest"
            raise UserError(what, where=str(folder / name), fix=_FIX)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """(path below the folder, path) of all files.

    Raises:
        UserError: There is a link or something else that is neither a file nor a folder, or there are too many files.
    """
    count = 0
    for parent, folders, files in os.walk(folder):  # which follows no links
        for name in (*folders, *files):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UserError("a bundle holds neither links nor devices", where=str(path), fix=_FIX)
            count += 1
            if count > _MOST_ENTRIES:
                raise UserError(f"it holds more than {_MOST_ENTRIES:,} files", where=str(folder), fix=_FIX)
        for name in files:
            path = Path(parent, name)
            yield path.relative_to(folder).as_posix(), path


def _state(name: str, path: Path) -> list[str | int]:
    about = path.stat()
    return [name, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _remembered(memory: Path) -> str | None:
    with contextlib.suppress(UserError):
        value = read_json(memory)
        return str(value.get("state")) if isinstance(value, dict) else None
    return None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
