"""Folders that are made once and kept in medbench's cache, such as a converted model."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from reports.errors import UserError
from reports.files import write_json
from reports.home import medbench_home

_MARK = "medbench-source.json"
_WORK = ".making-"


def cached_folder(name: str, what: str, needed_bytes: int, make: Callable[[Path], Mapping[str, str]]) -> Path:
    """The folder `models/NAME` of the cache, made on first use; other processes wait meanwhile.

    Args:
        name: Of the folder.
        what: The contents, in messages.
        needed_bytes: Free disk space that making it takes.
        make: Writes the folder `model` into the folder that it is given, and returns where the contents come from.

    Raises:
        UserError: The disk is full or not writable; or what `make` raises.
    """
    folder = medbench_home() / "models" / name
    if (folder / _MARK).is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{name}.lock"):
            if not (folder / _MARK).is_file():
                _make(folder, what, needed_bytes, make)
    except OSError as error:
        raise UserError(
            f"cannot keep {what} ({error.strerror or error})",
            where=str(folder.parent),
            fix="free some disk space, or set MEDBENCH_HOME to a folder that can be written to",
        ) from error
    return folder


def _make(folder: Path, what: str, needed_bytes: int, make: Callable[[Path], Mapping[str, str]]) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < needed_bytes:
        raise UserError(
            f"not enough disk space for {what}: {free / 1e6:.0f} MB free, {needed_bytes / 1e6:.0f} MB needed",
            where=str(folder.parent),
            fix="free some disk space, or set MEDBENCH_HOME to a folder on a larger disk",
        )
    prefix = f"{_WORK}{folder.name}-"
    for left_over in folder.parent.glob(f"{prefix}*"):  # by a process that was killed; the lock is ours
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as work:
        made = Path(work) / "model"
        source = make(Path(work))
        write_json(made / _MARK, dict(source))
        if folder.exists():  # left by something other than this function, and without its mark
            shutil.rmtree(folder)
        made.replace(folder)
