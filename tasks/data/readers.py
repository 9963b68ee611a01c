"""Reads JSON, JSONL, CSV, Parquet and hub data sets into records with their position in the source."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.errors import UserError, first_line
from reports.files import check_regular, read_json, read_jsonl
from tasks.data.source import FILE_SUFFIXES, DataSource

_MAX_CELL_CHARACTERS = 10_000_000


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
    check_regular(path)
    if path.stat().st_size == 0:
        raise UserError("the file is empty", where=str(path), fix="give a file with at least one row")
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
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    name = str(path)
    with path.open("r", encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
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


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"not readable as Parquet: {error}", where=str(path), fix="write the file again") from error
    name = str(path)
    for number, row in enumerate(table.to_pylist(), 1):
        yield _record(Place(name, path.name, "row", number), row)


def _read_hub(source: DataSource) -> Iterator[Record]:
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
    for number, row in enumerate(dataset, 1):
        yield _record(Place(name, name, "row", number), row)
