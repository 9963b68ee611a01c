"""Atomic file writing, JSON and JSON lines, and content hashes."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from reports.errors import MachineError, UserError
from reports.json_text import dumps, json_error, parse_json, parse_json_line

PART = ".part"  # suffix of a file or folder that is still being written
MOST_JSON_BYTES = 1 << 30  # of a JSON file, which is read as a whole
MOST_LINE_BYTES = 64 << 20  # of a line of a JSONL file
_CANNOT_READ = (OSError, ValueError)  # the latter for a path with a NUL in it


class WholeFile:
    """A file that is written piece by piece and moved to `path` once complete.

    A reader sees the old file or the new one, never a part of it, even after a power loss.

    Attributes:
        path: Destination.

    Raises:
        MachineError: From every method, if the folder cannot be written to or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=part_of(path), suffix=PART)
            self._part = Path(name)
            self._stream = os.fdopen(handle, "w", encoding="utf-8", newline="")

    @property
    def binary(self) -> BinaryIO:
        """Stream for binary content."""
        return cast("BinaryIO", self._stream.buffer)

    def write(self, pieces: Iterable[str]) -> None:
        """Append pieces of text, with at most one of them in memory."""
        with _write_errors(self.path):
            self._stream.writelines(pieces)

    def put(self) -> None:
        """Move the complete file to its destination; nothing can be appended afterwards."""
        with _write_errors(self.path):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._part.chmod(file_mode(self.path))
            self._part.replace(self.path)
            sync_folder(self.path.parent)

    def close(self) -> None:
        """Discard the file unless it was moved to its destination."""
        with contextlib.suppress(OSError):  # unflushed content is discarded anyway
            self._stream.close()
        self._part.unlink(missing_ok=True)


def file_mode(replaced: Path | None = None) -> int:
    """Permission bits of a file to write: those of the file that it replaces, else what the user's umask allows."""
    with contextlib.suppress(OSError):
        if replaced is not None:
            return replaced.stat().st_mode & 0o777
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


@contextlib.contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Raise an `OSError` as a `MachineError` that names the file."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"cannot write the file ({error.strerror})",
            where=str(path),
            fix="check its folder and the free disk space; finished work is saved, and the same command resumes",
        ) from error


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """Write `text`, or its pieces one after another, to `path` as UTF-8, atomically as `WholeFile` does.

    Raises:
        MachineError: The folder cannot be written to, or the disk is full.
    """
    with contextlib.closing(WholeFile(path)) as file:
        file.write([text] if isinstance(text, str) else text)
        file.put()


def sync_folder(folder: Path, *, files: bool = False) -> None:
    """Flush a folder's entries to disk, with `files` also all files below it.

    Raises:
        OSError: They cannot be written.
    """
    below = [path for path in folder.rglob("*") if not path.is_symlink()] if files else []
    for path in (*below, folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def part_of(path: Path) -> str:
    """Prefix of the names of files and folders that become `path` when they are complete; it names their process."""
    return f".{path.name}.{os.getpid()}-"


def remove_parts(paths: Iterable[Path]) -> None:
    """Remove those of the paths that are incomplete files or folders of killed processes."""
    import psutil

    for path in paths:
        writer = re.search(r"\.(\d+)-[^.-]*\.part$", path.name)
        if writer is None or not psutil.pid_exists(int(writer[1])):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def remove_parts_of(paths: Iterable[Path]) -> None:
    """Remove what killed processes left of files that are outside of run folders."""
    for path in paths:
        remove_parts(path.parent.glob(f".{glob.escape(path.name)}.*{PART}"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, dumps(value, indent=1) + "\n")


def check_regular(path: Path) -> None:
    """Reject what would hang its reader, such as a named pipe or a terminal; a missing file is its reader's to report.

    Raises:
        UserError: It is neither a regular file nor a folder.
    """
    with contextlib.suppress(OSError, ValueError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UserError("it is not a regular file", where=str(path), fix="save its contents to a file")


def read_json(path: Path, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing, unreadable, too large, nested too deeply or not JSON; the message says where.
    """
    check_regular(path)
    try:
        if path.stat().st_size > most_bytes:
            raise UserError(
                f"the file is larger than {most_bytes / 1e6:,.0f} MB",
                where=str(path),
                fix="check the path",
            )
        raw = path.read_bytes()
    except _CANNOT_READ as error:
        raise _unreadable(path, error) from error
    try:
        return parse_json(raw.decode("utf-8-sig"))
    except (RecursionError, ValueError) as error:
        raise json_error(error, str(path)) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"cannot read the file ({reason})", where=str(path), fix="check the path")


def check_columns(names: Iterable[str], where: str) -> None:
    """Reject a table with two columns of a name: readers take the one or the other.

    Raises:
        UserError: A name is repeated.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"the column {twice[0]!r} is there twice", where=where, fix="rename or remove one of the two")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically, with at most one line in memory."""
    write_text(path, json_lines(rows))


def json_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Lines of a JSONL file with these rows."""
    return (dumps(row) + "\n" for row in rows)


def read_jsonl(path: Path, most_line_bytes: int = MOST_LINE_BYTES) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) for every non-blank line; raises as `read_located_jsonl`."""
    for number, _, value in read_located_jsonl(path, most_line_bytes):
        yield number, value


def read_located_jsonl(path: Path, most_line_bytes: int = MOST_LINE_BYTES) -> Iterator[tuple[int, int, Any]]:
    """Yield (line number from 1, byte offset of the line, value) for every non-blank line.

    Raises:
        UserError: The file is missing, is not UTF-8, or a line is not JSON; the message names the line.
    """
    check_regular(path)
    try:
        stream = path.open("rb")
    except _CANNOT_READ as error:
        raise _unreadable(path, error) from error
    with stream:
        number = end = 0
        while raw := stream.readline(most_line_bytes + 1):
            number, start, end = number + 1, end, end + len(raw)
            where = f"{path}, line {number}"
            if len(raw) > most_line_bytes:
                raise UserError(f"the line is longer than {most_line_bytes >> 20} MiB", where=where, fix="cut the row")
            if not raw.strip():
                continue
            yield number, start, parse_json_line(raw, number, where)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_value(value: Any) -> str:
    """Hex SHA-256 of a JSON-able value, independent of the order of its keys."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")


class ListHash:
    """The `sha256_value` of a list, computed from its entries one at a time."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(b"[")
        self._between = b""

    def add(self, value: Any) -> None:
        """Add the next entry."""
        self._digest.update(self._between + _canonical(value))
        self._between = b", "

    def hexdigest(self) -> str:
        """Hash of the list so far."""
        whole = self._digest.copy()
        whole.update(b"]")
        return whole.hexdigest()
