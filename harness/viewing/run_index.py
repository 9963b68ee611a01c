"""The runs below a folder: finds them, reads their results again only after a change, and opens no links."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from harness.releases.baselines import is_baseline
from reports.document.reading import read_results
from reports.errors import UserError
from reports.numbers import file_size
from reports.page.run_list import ListedRun, RunSummary, summarize
from reports.page.view import Listing
from reports.text import cut

FILES = ("report.html", "report.md", "results.json")  # of a run folder, that can be opened
MOST_FOLDERS = 50_000  # that are searched
MOST_BYTES = 64 << 20  # of a results document; ours have less than a megabyte
_RESULTS = "results.json"
_LOG = "run.log"  # which a run has before it has results
_PARTS = {
    "samples",
    "predictions",
    "adapter",
    "checkpoints",
    "ratings",
    "judging",
    "scores",
}  # folders of a run, without runs
_CELLS = "cells"
_MOST_CHARACTERS = 400  # of an error
_MOST_NAMED = 5  # links named in a note


@dataclass(frozen=True)
class _Folder:
    """A folder that looks like a run.

    Attributes:
        path: Below the viewed folder, with `/`; empty for this folder itself.
        files: Those of `FILES` that are there.
        state: Modification time in nanoseconds, size and inode of its results; None without any.
        modified: Time of the results; without any that of the log, or of the folder of cells.
        is_sweep: Whether it has cells.
    """

    path: str
    files: tuple[str, ...]
    state: tuple[int, int, int] | None
    modified: datetime
    is_sweep: bool


class RunIndex:
    """The runs below a folder.

    Links are never followed: neither to folders nor to files, wherever they lead. Safe to call from several threads.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            what = "it is not a folder" if folder.exists() else "there is no such folder"
            raise UserError(what, where=str(folder), fix="give the folder that your runs are in, such as runs")
        self._root = folder.resolve()
        self._lock = threading.Lock()
        self._read: dict[str, tuple[tuple[int, int, int], RunSummary | str]] = {}
        self._paths: dict[str, str] = {}

    def listing(self, seconds: float) -> Listing:
        """All runs as they are now; results that are new or changed are read, latest first, for so many seconds."""
        with self._lock:
            folders, links, is_whole = self._look()
            self._paths = {_id(folder.path): folder.path for folder in folders}
            self._read = {path: entry for path, entry in self._read.items() if _id(path) in self._paths}
            unread = self._read_new(folders, time.monotonic() + seconds)
            runs = self._grouped(folders)
        notes = []
        if links:
            named = ", ".join(links[:_MOST_NAMED]) + (" and others" if len(links) > _MOST_NAMED else "")
            notes.append(f"Links are not followed: {named}.")
        if not is_whole:
            notes.append(f"Only the first {MOST_FOLDERS:,} folders were searched: view a folder inside this one.")
        return Listing(self._root.name or str(self._root), runs, unread, tuple(notes))

    def open(self, run_id: str, name: str) -> BinaryIO | None:
        """Open a file of a listed run for reading; None if there is no such run or file, or a link leads to it."""
        with self._lock:
            path = self._paths.get(run_id)
        if path is None or name not in FILES:
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait for a writer
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in path.split("/") if path else ():
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            file = os.open(name, flags, dir_fd=folder)
        except OSError:
            return None
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            return None
        return os.fdopen(file, "rb")

    def _look(self) -> tuple[list[_Folder], list[str], bool]:
        """Folders that look like runs, links that were not followed, and whether all folders were searched."""
        folders: list[_Folder] = []
        links: list[str] = []
        waiting = [""]
        looked_into = 0
        while waiting and looked_into < MOST_FOLDERS:
            path = waiting.pop()
            looked_into += 1
            try:
                with os.scandir(self._root / path) as entries:
                    visible = [entry for entry in entries if not entry.name.startswith(".")]
                    folder = _run_folder(path, visible)
                    inner = [entry for entry in visible if entry.is_dir(follow_symlinks=False)]
                    links += [_below(path, entry.name) for entry in visible if _is_skipped_link(entry)]
            except OSError:  # removed meanwhile, or not readable
                continue
            if folder:
                folders.append(folder)
            waiting += [_below(path, entry.name) for entry in inner if not (folder and entry.name in _PARTS)]
        return folders, sorted(links), not waiting

    def _read_new(self, folders: list[_Folder], deadline: float) -> int:
        """Read results that are new or changed until the deadline, but at least one; returns how many are left."""
        waiting = [folder for folder in folders if folder.state and not self._is_read(folder)]
        waiting.sort(key=lambda folder: folder.modified, reverse=True)
        for number, folder in enumerate(waiting):
            if number and time.monotonic() > deadline:
                return len(waiting) - number
            if folder.state:
                self._read[folder.path] = folder.state, self._summary(folder, folder.state[1])
        return 0

    def _is_read(self, folder: _Folder) -> bool:
        return folder.path in self._read and self._read[folder.path][0] == folder.state

    def _summary(self, folder: _Folder, size: int) -> RunSummary | str:
        """Summary of a results document, or why it cannot be read; it may come from a stranger."""
        if size > MOST_BYTES:
            return f"its results.json is larger than {file_size(MOST_BYTES)}"
        try:
            return summarize(read_results(self._root / folder.path))
        except UserError as error:
            return cut(error.what, _MOST_CHARACTERS)
        except Exception as error:  # noqa: BLE001 - one run must not hide the others
            return f"unexpected {type(error).__name__}: its results.json cannot be listed"

    def _grouped(self, folders: list[_Folder]) -> tuple[ListedRun, ...]:
        """The runs, latest first, with those inside another below it."""
        paths = {folder.path for folder in folders}
        tops: dict[str, list[ListedRun]] = {}
        runs = {}
        for folder in sorted(folders, key=lambda folder: folder.path):
            top = next((path for path in _ancestors(folder.path) if path in paths), None)
            if top is None:
                runs[folder.path] = self._listed(folder)
            elif folder.state:  # the folders in which adapters of several seeds were trained have no results
                tops.setdefault(top, []).append(self._listed(folder))
        listed = [replace(run, below=tuple(tops.get(path, ()))) for path, run in runs.items()]
        return tuple(sorted(listed, key=lambda run: run.created, reverse=True))

    def _listed(self, folder: _Folder) -> ListedRun:
        entry = self._read.get(folder.path, (None, None))[1] if self._is_read(folder) else None
        note = (
            "not read yet" if folder.state else "a sweep without results yet" if folder.is_sweep else "no results yet"
        )
        return ListedRun(
            id=_id(folder.path),
            path=folder.path or self._root.name,
            modified=folder.modified,
            files=folder.files,
            summary=entry if isinstance(entry, RunSummary) else None,
            error=entry if isinstance(entry, str) else "",
            note="" if entry else note,
            release=Path(folder.path).name if is_baseline(self._root / folder.path) else "",
        )


def _run_folder(path: str, entries: list[os.DirEntry[str]]) -> _Folder | None:
    """The folder of these entries if it is a run, finished or not, or a sweep; else None."""
    files = {entry.name: entry for entry in entries if entry.is_file(follow_symlinks=False)}
    cells = next((entry for entry in entries if entry.name == _CELLS and entry.is_dir(follow_symlinks=False)), None)
    sign = files.get(_RESULTS) or files.get(_LOG) or cells
    if sign is None:
        return None
    info = sign.stat(follow_symlinks=False)
    return _Folder(
        path=path,
        files=tuple(name for name in FILES if name in files),
        state=(info.st_mtime_ns, info.st_size, info.st_ino) if _RESULTS in files else None,
        modified=datetime.fromtimestamp(info.st_mtime, UTC),
        is_sweep=cells is not None,
    )


def _is_skipped_link(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link to something that would be listed: a folder, or a file of a run."""
    return entry.is_symlink() and (entry.name in FILES or entry.is_dir())


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _ancestors(path: str) -> Iterator[str]:
    """Folders above a path, from the viewed one."""
    parts = path.split("/") if path else []
    return ("/".join(parts[:count]) for count in range(len(parts)))


def _id(path: str) -> str:
    """Name of a run in URLs, which is never decoded into a path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
