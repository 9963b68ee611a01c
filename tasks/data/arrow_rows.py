"""Rows of Parquet files and Arrow tables: only the columns that can be used, within a limit on memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line
from reports.files import check_columns
from tasks.data.source import MOST_BYTES

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import FileMetaData, ParquetFile

MAX_FIELD = 60  # characters; longer values are texts, not groups
BATCH_ROWS = 4096
_VALUE_BYTES = 64  # that a small value takes in Python
USUAL_BYTES = 256 << 20  # that any file may take in memory
MOST_RATIO = 20  # larger files may take so many times their size


def most_bytes(size: int) -> int:
    """Memory that the rows of a file of this size may take, in bytes."""
    return min(MOST_BYTES, max(USUAL_BYTES, MOST_RATIO * size))


def parquet_rows(path: Path, needed: Collection[str] | None) -> Iterator[dict[str, Any] | UserError]:
    """Rows of a Parquet file as `table_rows` returns them.

    Texts are read as dictionaries, so that a text that is stored once for a million rows is measured before it is
    repeated in memory.

    Raises:
        UserError: The file is broken, has a column twice, or takes too much memory; or a needed cell is unreadable.
    """
    from pyarrow import parquet

    try:
        metadata = parquet.read_metadata(path)
        leaves = [metadata.schema.column(index) for index in range(len(metadata.schema))]
        texts = [
            leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type != "DECIMAL"
        ]
        with parquet.ParquetFile(path, metadata=metadata, read_dictionary=texts) as file:
            schema = file.schema_arrow
            check_columns(schema.names, str(path))
            needed = schema.names if needed is None else needed
            limit = most_bytes(path.stat().st_size)
            columns = usable_columns(schema, needed)
            if _declared_bytes(metadata, columns) > limit:
                columns = [name for name in columns if name in needed]
                _check_size(_declared_bytes(metadata, columns), limit, metadata.num_rows, path)
            batches = _within(limit, file, columns, needed, path)
            yield from table_rows(batches, schema.names, needed, str(path))
    except UserError:
        raise
    except Exception as error:  # whatever pyarrow raises, the file is at fault
        raise UserError(
            f"not readable as Parquet: {first_line(error)}", where=str(path), fix="write the file again"
        ) from error


def table_rows(
    batches: Iterable[pa.RecordBatch], names: Sequence[str], needed: Collection[str], where: str
) -> Iterator[dict[str, Any] | UserError]:
    """Cells by column name, row by row; None in columns that are not in `batches`.

    An error for each needed cell that Python cannot hold comes before the rows of its batch; it names row and column.
    """
    blank = dict.fromkeys(names)
    first = 1
    for batch in batches:
        columns = {
            name: _cells(batch.column(name), name if name in needed else None, where, first)
            for name in names
            if name in batch.schema.names
        }
        yield from (cell for cells in columns.values() for cell in cells if isinstance(cell, UserError))
        for index in range(batch.num_rows):
            yield blank | {name: cells[index] for name, cells in columns.items()}
        first += batch.num_rows


def usable_columns(schema: pa.Schema, needed: Collection[str]) -> list[str]:
    """Names of the needed columns, and of those whose words and numbers can group items."""
    from pyarrow import types

    kinds = (types.is_string, types.is_large_string, types.is_boolean, types.is_integer, types.is_floating)

    def groups(kind: pa.DataType) -> bool:
        return groups(kind.value_type) if types.is_dictionary(kind) else any(is_kind(kind) for is_kind in kinds)

    return [field.name for field in schema if field.name in needed or groups(field.type)]


def _declared_bytes(metadata: FileMetaData, columns: Collection[str]) -> int:
    """Memory that columns take at least, by the footer: their encoded bytes, and a small value for each cell."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    chunks = (group.column(index) for group in groups for index in range(group.num_columns))
    return sum(
        chunk.total_uncompressed_size + _VALUE_BYTES * chunk.num_values
        for chunk in chunks
        if chunk.path_in_schema in columns or chunk.path_in_schema.partition(".")[0] in columns
    )


def _within(
    limit: int, file: ParquetFile, columns: Collection[str], needed: Collection[str], path: Path
) -> Iterator[pa.RecordBatch]:
    """The batches without long texts that are not needed, until the needed cells take more than `limit` bytes."""
    import pyarrow as pa

    total = 0
    for batch in file.iter_batches(BATCH_ROWS, columns=columns):
        names = batch.schema.names
        total += sum(decoded_bytes(batch.column(name)) for name in names if name in needed)
        _check_size(total, limit, file.metadata.num_rows, path)
        arrays = [batch.column(name) if name in needed else without_long_texts(batch.column(name)) for name in names]
        yield pa.RecordBatch.from_arrays(arrays, names=names)


def _check_size(size: int, limit: int, rows: int, path: Path) -> None:
    if size > limit:
        raise UserError(
            f"its {rows:,} rows take more than {limit / 1e6:,.0f} MB of memory, for a file of"
            f" {path.stat().st_size / 1e6:,.3f} MB",
            where=str(path),
            fix="write only the needed rows and columns, as JSONL",
        )


def _is_text(array: pa.Array) -> bool:
    from pyarrow import types

    return types.is_dictionary(array.type) and not types.is_primitive(array.type.value_type)


def decoded_bytes(array: pa.Array) -> int:
    """Bytes of an array's values once its dictionaries are decoded."""
    from pyarrow import compute, types

    if _is_text(array):
        return compute.sum(compute.binary_length(array.dictionary).take(array.indices)).as_py() or 0
    if types.is_map(array.type):
        return decoded_bytes(array.keys) + decoded_bytes(array.items)
    if types.is_struct(array.type):
        return sum(map(decoded_bytes, array.flatten()))
    return decoded_bytes(array.flatten()) if types.is_nested(array.type) else array.nbytes


def without_long_texts(array: pa.Array) -> pa.Array:
    """The array with None for texts that are too long to group items."""
    import pyarrow as pa
    from pyarrow import compute

    if not _is_text(array):
        return array
    is_short = compute.less_equal(compute.binary_length(array.dictionary), 4 * MAX_FIELD).take(array.indices)
    return pa.DictionaryArray.from_arrays(compute.if_else(is_short, array.indices, None), array.dictionary)


def _cells(array: pa.Array, needed: str | None, where: str, first: int) -> list[Any]:
    """The values; None for those that Python cannot hold, or an error in the column `needed`."""
    try:
        return list(array.to_pylist())
    except Exception:  # noqa: BLE001 - of single cells: a date after 9999, an unknown time zone, bytes that are not UTF-8
        return [_cell(value, needed, f"{where}, row {row}") for row, value in enumerate(array, first)]


def _cell(value: pa.Scalar, needed: str | None, where: str) -> Any:
    try:
        return value.as_py()
    except Exception as error:  # noqa: BLE001 - as above
        if needed is None:
            return None
        return UserError(
            f"column {needed} is unreadable ({first_line(error)})", where=where, fix="fix or remove the row"
        )
