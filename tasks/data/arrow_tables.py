"""Rows of Arrow files and of data sets that the datasets library loads, with checks of files from others."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line
from reports.files import check_columns
from tasks.data.arrow_rows import (
    BATCH_ROWS,
    decoded_bytes,
    most_bytes,
    table_rows,
    usable_columns,
    without_long_texts,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

_FILE_MAGIC = b"ARROW1\0\0"  # before the stream in an Arrow file
_HEADER, _COMPRESSION = 2, 3  # fields of the flatbuffers tables Message and RecordBatch, by Arrow's Message.fbs


def arrow_rows(path: Path, needed: Collection[str] | None) -> Iterator[dict[str, Any] | UserError]:
    """Rows of an Arrow file, as `datasets` saves and caches them, as `table_rows` returns them.

    Raises:
        UserError: The file is broken or compressed, has a column twice, or takes too much memory.
    """
    import pyarrow as pa
    from pyarrow import ipc

    check_uncompressed(path)
    try:
        with pa.memory_map(str(path)) as file:
            _skip_magic(file)
            reader = ipc.open_stream(file)
            names = reader.schema.names
            check_columns(names, str(path))
            needed = names if needed is None else needed
            columns = usable_columns(reader.schema, needed)
            yield from table_rows(_checked(reader, columns, needed, [path], str(path)), names, needed, str(path))
    except UserError:
        raise
    except Exception as error:  # as with Parquet
        raise UserError(
            f"not readable as Arrow: {first_line(error)}", where=str(path), fix="write the file again"
        ) from error


def check_uncompressed(path: Path) -> None:
    """Read the descriptions of a file's batches, but not their contents.

    Raises:
        UserError: Batches are compressed: nothing tells what they take in memory before they are read.
    """
    import pyarrow as pa
    from pyarrow import ipc

    try:
        with pa.memory_map(str(path)) as file:
            _skip_magic(file)
            is_compressed = any(_is_compressed(message) for message in ipc.MessageReader.open_stream(file))
    except Exception as error:  # whatever pyarrow raises, the file is at fault
        raise UserError(
            f"not readable as Arrow: {first_line(error)}", where=str(path), fix="write the file again"
        ) from error
    if is_compressed:
        raise UserError("the Arrow file is compressed", where=str(path), fix="write it uncompressed, or as Parquet")


def _skip_magic(file: pa.NativeFile) -> None:
    if file.read(len(_FILE_MAGIC)) != _FILE_MAGIC:
        file.seek(0)


def _is_compressed(message: pa.ipc.Message) -> bool:
    """Whether the buffers of a batch are compressed, by the field of its description."""
    content = message.metadata.to_pybytes()

    def table(place: int) -> int:
        return place + int(struct.unpack_from("<I", content, place)[0])

    def field(start: int, number: int) -> int:
        """Place of a table's field; 0 if it is absent."""
        described = start - struct.unpack_from("<i", content, start)[0]
        entry = 4 + 2 * number
        if entry >= struct.unpack_from("<H", content, described)[0]:
            return 0
        offset = int(struct.unpack_from("<H", content, described + entry)[0])
        return start + offset if offset else 0

    batch = field(table(0), _HEADER)
    if message.type == "dictionary":
        batch = field(table(batch), 1)  # the batch in a DictionaryBatch
    return message.type != "schema" and bool(batch) and bool(field(table(batch), _COMPRESSION))


def dataset_rows(
    dataset: Dataset, needed: Collection[str] | None, files: Sequence[Path], where: str
) -> Iterator[dict[str, Any] | UserError]:
    """Rows of a data set as `table_rows` returns them.

    Args:
        dataset: From the hub or from a folder.
        needed: Columns that must be readable; None for all.
        files: Files of the folder, which are untrusted; none for the hub, whose files `datasets` has converted.
        where: For error messages.

    Raises:
        UserError: The rows take too much memory, or a needed column is damaged.
    """
    schema = dataset.data.schema
    needed = schema.names if needed is None else needed
    columns = usable_columns(schema, needed)
    tables = dataset.with_format("arrow", columns=columns).iter(BATCH_ROWS)
    batches: Iterable[pa.RecordBatch] = (batch for table in tables for batch in table.to_batches())
    if files:
        batches = _checked(batches, columns, needed, files, where)
    return table_rows(batches, schema.names, needed, where)


def _checked(
    batches: Iterable[pa.RecordBatch],
    columns: Collection[str],
    needed: Collection[str],
    files: Sequence[Path],
    where: str,
) -> Iterator[pa.RecordBatch]:
    """Batches of untrusted Arrow files, without damaged columns and long texts that are not needed."""
    import pyarrow as pa

    size = sum(file.stat().st_size for file in files)
    total = 0
    for whole in batches:
        arrays = {name: whole.column(name) for name in columns if _is_sound(whole.column(name))}
        damaged = [name for name in columns if name in needed and name not in arrays]
        if damaged:
            raise UserError(f"column {damaged[0]} is damaged", where=where, fix="write the data again")
        total += sum(decoded_bytes(array) for name, array in arrays.items() if name in needed)
        if total > most_bytes(size):
            raise UserError(
                f"its rows take more than {most_bytes(size) / 1e6:,.0f} MB of memory, for files of"
                f" {size / 1e6:,.3f} MB",
                where=where,
                fix="write only the needed rows and columns, as JSONL",
            )
        shown = [array if name in needed else without_long_texts(array) for name, array in arrays.items()]
        batch = pa.RecordBatch.from_arrays(shown, names=list(arrays))
        yield from (batch.slice(first, BATCH_ROWS) for first in range(0, batch.num_rows, BATCH_ROWS))


def _is_sound(array: pa.Array) -> bool:
    """Whether reading the values stays within the file; texts that are not UTF-8 are reported by cell."""
    import pyarrow as pa
    from pyarrow import types

    binary = {types.is_string: pa.binary(), types.is_large_string: pa.large_binary()}
    kind = next((kind for is_kind, kind in binary.items() if is_kind(array.type)), None)
    try:
        (array if kind is None else array.view(kind)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
