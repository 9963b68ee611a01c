"""Reads JSON, JSONL, CSV, Parquet and hub data sets into records with their position in the source."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from reports.errors import UserError, first_line
from reports.files import MOST_LINE_BYTES, check_columns, check_regular, read_json, read_jsonl
from tasks.data.arrow_rows import BATCH_ROWS, parquet_rows, table_rows, usable_columns
from tasks.data.source import FILE_SUFFIXES, MOST_BYTES, DataSource

MAX_CELL_CHARACTERS = 10_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Position of a row; all rows of a source share the two names, so a position takes little memory.

    Attributes:
        path: The path of the file, or the hub data set with configuration and split.
        name: The same without the folders of this machine, for reports.
        unit: What `number` counts: `line`, `row` or `key`.
        number: The line or row, counted from 1, or the key.
    """

    path: str
    name: str
    unit: str
    number: int | str

    def __str__(self) -> str:
        """The position for reports, such as `train.jsonl, line 12`."""
        return f"{self.name}, {self.unit} {self.number}"


@dataclass(frozen=True)
class Record:
    """One raw row.

    Attributes:
        place: Position in the source.
        values: Cells by column name.
        key: Key of the row if the file is an object of rows by id.
    """

    place: Place
    values: dict[str, Any]
    key: str | None = None

    @property
    def where(self) -> str:
        """The position with the path of the file, for error messages."""
        return f"{self.place.path}, {self.place.unit} {self.place.number}"


def read_records(source: DataSource, needed: Collection[str] | None) -> Iterator[Record]:
    """All rows of a source, read one after another; `needed` names the columns that must be readable, None means all.

    Raises:
        UserError: The source is missing, empty, unreadable, too large or broken; the message names the file and place.
    """
    path = source.file()
    records = _read_hub(source, needed) if path is None else _read_file(path, needed)
    first = next(records, None)
    if first is None:
        raise UserError("there are no rows in it", where=source.source, fix="give a source with at least one row")
    yield from itertools.chain([first], records)


def _read_file(path: Path, needed: Collection[str] | None) -> Iterator[Record]:
    readers = {".json": _read_json, ".jsonl": _read_jsonl, ".csv": _read_csv}
    if path.suffix not in FILE_SUFFIXES:
        raise UserError(
            f"cannot tell what kind of file this is from {path.suffix or 'its name'!r}",
            where=str(path),
            fix=f"use one of {', '.join(FILE_SUFFIXES)}",
        )
    check_regular(path)
    size = path.stat().st_size
    if not 0 < size <= MOST_BYTES:
        problem = f"larger than {MOST_BYTES >> 30} GiB" if size else "empty"
        raise UserError(f"the file is {problem}", where=str(path), fix="give a smaller file with at least one row")
    if path.suffix == ".parquet":
        rows = parquet_rows(path, needed)
        return (_record(Place(str(path), path.name, "row", number), row) for number, row in enumerate(rows, 1))
    return readers[path.suffix](path)


def _record(place: Place, value: Any, key: str | None = None) -> Record:
    record = Record(place, value, key)
    if not isinstance(value, dict):
        raise UserError(
            f"expected an object with columns, found {type(value).__name__}",
            where=record.where,
            fix="fix or remove the row",
        )
    return record


def _read_json(path: Path) -> Iterator[Record]:
    value, name = read_json(path), str(path)
    if isinstance(value, list):
        for number, row in enumerate(value, 1):
            yield _record(Place(name, path.name, "row", number), row)
    elif isinstance(value, dict):
        for key, row in value.items():
            yield _record(Place(name, path.name, "key", key), row, key)
    else:
        raise UserError("expected a list of rows or an object of rows by id", where=str(path), fix="fix the file")


def _read_jsonl(path: Path) -> Iterator[Record]:
    name = str(path)
    for number, row in read_jsonl(path):
        yield _record(Place(name, path.name, "line", number), row)


def _read_csv(path: Path) -> Iterator[Record]:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    name = str(path)
    with path.open("r", encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(_lines(stream), strict=True)
        try:
            check_columns(filter(None, reader.fieldnames or ()), f"{path}, line {reader.line_num}")
            for row in reader:
                place = Place(name, path.name, "line", reader.line_num)
                if None in row or None in row.values():
                    raise UserError(
                        f"the row does not have the {len(reader.fieldnames or [])} columns of the header",
                        where=f"{path}, line {reader.line_num}",
                        fix="quote cells that contain commas or line breaks",
                    )
                yield _record(place, row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(
                f"not readable as CSV: {error}",
                where=f"{path}, after line {reader.line_num}",
                fix="save the file as UTF-8 CSV with a header",
            ) from error


def _lines(stream: TextIO) -> Iterator[str]:
    """The lines of a CSV file, of which the reader takes whole ones into memory."""
    while line := stream.readline(MOST_LINE_BYTES):
        if len(line) == MOST_LINE_BYTES:
            raise csv.Error(f"a line has {MOST_LINE_BYTES:,} characters or more")
        yield line


def _read_hub(source: DataSource, needed: Collection[str] | None) -> Iterator[Record]:
    import datasets

    name = f"{source.source} ({source.config or 'default'})"
    try:
        dataset = datasets.load_dataset(source.source, source.config, split=source.split)
    except Exception as error:  # whatever the hub, the network or a builder raises is the user's to see in one line
        raise UserError(
            f"cannot load this data set from the hub: {first_line(error)}",
            where=name,
            fix="check the name, the network and, for a gated set, your login; or give a local file's path",
        ) from error
    if isinstance(dataset, dict):
        if len(dataset) != 1:
            raise UserError(
                f"the data set has the splits {', '.join(dataset)}", where=name, fix="set split to one of them"
            )
        dataset = next(iter(dataset.values()))
    if split := source.split or dataset.split:
        name += f", split {split}"
    schema = dataset.data.schema
    needed = schema.names if needed is None else needed
    columns = usable_columns(schema, needed)
    tables = dataset.with_format("arrow", columns=columns).iter(BATCH_ROWS)
    batches = (batch for table in tables for batch in table.to_batches())
    for number, row in enumerate(table_rows(batches, schema.names, needed, name), 1):
        yield _record(Place(name, name, "row", number), row)
