"""Folders from strangers: no link in them may lead out, and nothing in them may be anything but files and folders."""

from __future__ import annotations

import stat
from pathlib import Path

from reports.errors import UserError

_MOST_ENTRIES = 10_000
_SNAPSHOTS = "snapshots"  # the hub's cache keeps a model in snapshots/COMMIT, whose files are links to its own blobs


def refuse_links_out(folder: Path) -> None:
    """See that nothing in a folder leads out of it, or would hang whoever opens it, such as a pipe.

    Raises:
        UserError: Something does; the message names it.
    """
    home = folder.resolve()
    root = home.parent.parent if home.parent.name == _SNAPSHOTS else home
    for number, path in enumerate(sorted(home.iterdir())):
        if number >= _MOST_ENTRIES:
            raise UserError(f"it holds more than {_MOST_ENTRIES} files", where=str(folder), fix="give a model's folder")
        target = path.resolve()
        if path.is_symlink() and not target.is_relative_to(root):
            raise UserError("the link leads out of its folder", where=str(path), fix="copy the file into the folder")
        if not target.exists():
            continue
        mode = target.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UserError("it is neither a file nor a folder", where=str(path), fix="remove it")
