"""Reads JSON, JSONL, CSV, Parquet and hub data sets into records that remember where they stood."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.errors import UserError, first_line
from reports.files import read_json, read_jsonl
from tasks.data.source import FILE_SUFFIXES, DataSource

_MAX_CELL_CHARACTERS = 10_000_000


@dataclass(frozen=True)
class Record:
    """One raw row.

    Attributes:
        where: Its place, for messages: the file with the line, row or key.
        values: Its cells by column name.
        key: Its key, where the file is an object of rows by id.
    """

    where: str
    values: dict[str, Any]
    key: str | None = None


def read_records(source: DataSource) -> list[Record]:
    """All rows of a source.

    Raises:
        UserError: The source is missing, empty, unreadable or broken; the message names the file and the place.
    """
    path = source.file()
    records = list(_read_hub(source) if path is None else _read_file(path))
    if not records:
        raise UserError("there are no rows in it", where=source.source, fix="give a source with at least one row")
    return records


def _read_file(path: Path) -> Iterator[Record]:
    readers = {".json": _read_json, ".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise UserError(
            f"cannot tell what kind of file this is from {path.suffix or 'its name'!r}",
            where=str(path),
            fix=f"use one of {', '.join(FILE_SUFFIXES)}",
        )
    if path.stat().st_size == 0:
        raise UserError("the file is empty", where=str(path), fix="give a file with at least one row")
    return readers[path.suffix](path)


def _record(where: str, value: Any, key: str | None = None) -> Record:
    if not isinstance(value, dict):
        raise UserError(
            f"expected an object with columns, found {type(value).__name__}", where=where, fix="mend or remove the row"
        )
    return Record(where, value, key)


def _read_json(path: Path) -> Iterator[Record]:
    value = read_json(path)
    if isinstance(value, list):
        for number, row in enumerate(value, 1):
            yield _record(f"{path}, row {number}", row)
    elif isinstance(value, dict):
        for key, row in value.items():
            yield _record(f"{path}, key {key}", row, key)
    else:
        raise UserError("expected a list of rows or an object of rows by id", where=str(path), fix="mend the file")


def _read_jsonl(path: Path) -> Iterator[Record]:
    for number, row in read_jsonl(path):
        yield _record(f"{path}, line {number}", row)


def _read_csv(path: Path) -> Iterator[Record]:
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    with path.open("r", encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(
                        f"the row does not have the {len(reader.fieldnames or [])} columns of the header",
                        where=where,
                        fix="quote cells that contain commas or line breaks",
                    )
                yield _record(where, row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(
                f"not readable as CSV: {error}",
                where=f"{path}, after line {reader.line_num}",
                fix="save the file as UTF-8 CSV with a header",
            ) from error


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"not readable as Parquet: {error}", where=str(path), fix="write the file again") from error
    for number, row in enumerate(table.to_pylist(), 1):
        yield _record(f"{path}, row {number}", row)


def _read_hub(source: DataSource) -> Iterator[Record]:
    import datasets

    name = f"{source.source} ({source.config or 'default'})"
    try:
        loaded = datasets.load_dataset(source.source, source.config, split=source.split)
    except Exception as error:  # whatever the hub, the network or a builder raises is the user's to see in one line
        raise UserError(
            f"cannot load this data set from the hub: {first_line(error)}",
            where=name,
            fix="check the name, the network and, for a gated set, your login; or give a local file's path",
        ) from error
    if isinstance(loaded, dict):
        if len(loaded) != 1:
            raise UserError(
                f"the data set has the splits {', '.join(loaded)}", where=name, fix="set split to one of them"
            )
        loaded = next(iter(loaded.values()))
    for number, row in enumerate(loaded, 1):
        yield _record(f"{name}, row {number}", row)
