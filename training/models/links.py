"""Folders from strangers: no link in them may lead out, and nothing in them may be anything but files and folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

from reports.errors import UserError

_MOST_ENTRIES = 10_000  # of one folder
_SNAPSHOTS = "snapshots"  # the hub's cache keeps a model in snapshots/COMMIT, whose files are links to its own blobs


def refuse_links_out(folder: Path, unread: Collection[str] = ()) -> None:
    """See that nothing in a folder, or below, leads out of it or would hang whoever opens it, such as a pipe.

    Args:
        folder: The folder.
        unread: Names of folders directly in it that others write and medbench does not read; what is in them may lead
            out, they themselves may not.

    Raises:
        UserError: Something does; the message names it.
    """
    home = folder.resolve()
    root = home.parent.parent if home.parent.name == _SNAPSHOTS else home
    for parent, folders, files in os.walk(home, onerror=_refuse_closed):  # which follows no links
        if len(folders) + len(files) > _MOST_ENTRIES:
            raise UserError(f"it holds more than {_MOST_ENTRIES} files", where=str(folder), fix="give a model's folder")
        folders.sort()
        for path in sorted(Path(parent, name) for name in (*folders, *files)):
            _refuse_out(path, root)
        if Path(parent) == home:
            folders[:] = [name for name in folders if name not in unread]


def _refuse_closed(error: OSError) -> None:
    """Refuse a folder that cannot be looked into; one that is gone by now holds nothing."""
    if isinstance(error, PermissionError):
        raise UserError("it cannot be looked into", where=str(error.filename), fix="check its rights") from error


def _refuse_out(path: Path, root: Path) -> None:
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # the latter from Python 3.11 and 3.12
        target = path
    if target.is_symlink():  # of which only a loop is left, from Python 3.13 on without an error
        raise UserError("the link leads back to itself", where=str(path), fix="remove it")
    if path.is_symlink() and not target.is_relative_to(root):
        raise UserError("the link leads out of its folder", where=str(path), fix="copy the file into the folder")
    if not target.exists():
        return
    mode = target.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError("it is neither a file nor a folder", where=str(path), fix="remove it")
