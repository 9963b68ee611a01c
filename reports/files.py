"""Files that are whole or absent: atomic writing, JSON lines, and the hashes that identify contents."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reports.errors import MachineError, UserError

_BLOCK_BYTES = 1 << 20
_PART = ".part"  # what a file is called at its end until it is whole


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """Write `text`, or its pieces one after another, to `path` as UTF-8.

    A reader sees the old file or the new one, never a half, also after a power loss.

    Raises:
        MachineError: The folder cannot be written to, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise MachineError(
            f"cannot write the file ({error.strerror})",
            where=str(path),
            fix="check its folder and the free disk space; what is done is kept, and the same command goes on",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path, *, files: bool = False) -> None:
    """See that the names in a folder, or also all files below it, are on the disk itself.

    Raises:
        OSError: They cannot be written.
    """
    below = [each for each in folder.rglob("*") if not each.is_symlink()] if files else []
    for path in (*below, folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process left of files that it was writing; only where no other process writes."""
    for path in folder.rglob(f".*{_PART}"):
        path.unlink(missing_ok=True)


def dumps(value: Any, *, indent: int | None = None) -> str:
    """JSON text of `value` in the one style that medbench writes: UTF-8, no NaN."""
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing, unreadable or not JSON; the message names the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the file ({error.strerror})", where=str(path), fix="check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 text ({error.reason})", where=str(path), fix="save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"not JSON: {error.msg}", where=f"{path}, line {error.lineno}", fix="mend or remove the file"
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        raise UserError("not JSON that can be read", where=str(path), fix="mend or remove the file") from error


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically; no more than a line is held in memory."""
    write_text(path, (dumps(row) + "\n" for row in rows))


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) for every line that is not blank; raises as `read_located_jsonl` does."""
    for number, _, value in read_located_jsonl(path):
        yield number, value


def read_located_jsonl(path: Path) -> Iterator[tuple[int, int, Any]]:
    """Yield (line number from 1, its first byte, value) for every line that is not blank.

    Raises:
        UserError: The file is missing, is not UTF-8, or a line is not JSON; the message names the line.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise UserError(f"cannot read the file ({error.strerror})", where=str(path), fix="check the path") from error
    with stream:
        end = 0
        for number, raw in enumerate(stream, 1):
            start, end = end, end + len(raw)
            if not raw.strip():
                continue
            where = f"{path}, line {number}"
            try:
                yield number, start, json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise UserError(
                    f"not UTF-8 text ({error.reason})", where=where, fix="save the file as UTF-8"
                ) from error
            except (ValueError, RecursionError) as error:
                reason = (
                    error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply, or too many digits"
                )
                raise UserError(f"not JSON: {reason}", where=where, fix="mend or remove the line") from error


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sha256_value(value: Any) -> str:
    """Hex SHA-256 of a JSON-able value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
