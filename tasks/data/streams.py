"""Opens data files: decompresses them within a limit on memory, and names content that is not what it seems."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from reports.encodings import check_encoding
from reports.errors import UserError, first_line
from tasks.data.arrow_rows import most_bytes

PARQUET = b"PAR1"  # its first bytes
_HEAD = 64  # bytes that show what a file holds


def _zstandard(file: BinaryIO) -> IO[bytes]:
    import pyarrow as pa

    return cast("IO[bytes]", pa.CompressedInputStream(pa.PythonFile(file), "zstd"))


_COMPRESSED: dict[bytes, tuple[str, Callable[[Any], Any]]] = {  # by the first bytes; downloads often lose the suffix
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\0": ("xz", lzma.open),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstandard),
}
_NO_DATA = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as `CSV UTF-8`"),
    b"version https://git-lfs": ("a Git LFS pointer, not the data", "run `git lfs pull` in its folder"),
    PARQUET: ("Parquet in a compressed file", "decompress it"),
    b"<!doctype html": ("a web page", "download the file itself, not the page that shows it"),
    b"<html": ("a web page", "download the file itself, not the page that shows it"),
}


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file of UTF-8 text, decompressed.

    Raises:
        UserError: The file cannot be read, is compressed in part or too strongly, or is no UTF-8 text.
    """
    with path.open("rb") as file:
        stream = file
        head = read_head(path)
        for mark, (kind, decompress) in _COMPRESSED.items():
            if head.startswith(mark):
                inner = _Decompressed(decompress(file), kind, path)
                stream = io.BufferedReader(inner, 1 << 16)
                _check_content(path, stream.peek(_HEAD)[:_HEAD])
        check_encoding(stream.peek(_HEAD)[:_HEAD], str(path))
        yield stream


def read_head(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        UserError: They are those of another kind of file than one with rows.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.startswith(PARQUET):
        _check_content(path, head)
    return head


def _check_content(path: Path, head: bytes) -> None:
    for mark, (content, fix) in _NO_DATA.items():
        if head.lower().startswith(mark.lower()):
            raise UserError(f"the file is {content}", where=str(path), fix=fix)


class _Decompressed(io.RawIOBase):
    """What a compressed file holds, as far as the file's size allows."""

    def __init__(self, stream: IO[bytes], kind: str, path: Path) -> None:
        self._stream, self._kind, self._path = stream, kind, path
        self._limit = most_bytes(path.stat().st_size)
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._stream.read(len(buffer))
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise UserError(
                f"not readable as {self._kind}: {first_line(error)}",
                where=str(self._path),
                fix="copy or download the file again",
            ) from error
        self._total += len(content)
        if self._total > self._limit:
            raise UserError(
                f"it takes more than {self._limit / 1e6:,.0f} MB when decompressed, for a file of"
                f" {self._path.stat().st_size / 1e6:,.3f} MB",
                where=str(self._path),
                fix="write only the needed rows and columns",
            )
        buffer[: len(content)] = content
        return len(content)
