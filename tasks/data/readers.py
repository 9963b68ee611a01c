"""Reads files of rows, folders of them and hub data sets into records with their position in the source."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.bundles.active import bundled_folder
from reports.errors import UserError
from reports.files import check_regular
from reports.hub_access import hub_error, hub_or_cache
from tasks.data.arrow_rows import parquet_rows
from tasks.data.arrow_tables import arrow_rows, check_uncompressed, dataset_rows
from tasks.data.csv_rows import csv_rows
from tasks.data.files import DATASET_FILES, check_kind, check_split, kind_of, same_split
from tasks.data.folder_cache import folder_cache
from tasks.data.json_rows import json_rows
from tasks.data.raw_rows import RawRow, without_faults
from tasks.data.source import MOST_BYTES, DataSource
from tasks.data.streams import PARQUET, open_text, read_head

_BINARY = {"Parquet": parquet_rows, "Arrow": arrow_rows}
_MOST_CHARACTERS = 400  # of a library's message


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
        UserError: The source is missing, empty or too large, or files or rows are broken. Names the places; all broken
            rows are reported together, in place of the first one.
    """
    files = source.files()
    folder = source.dataset_folder()
    if folder is not None:
        records = _read_dataset_folder(source, folder, files, needed)
    elif not files:
        records = _read_hub(source, needed)
    else:
        records = _read_files(source, files, needed)
    sound = without_faults(records)
    first = next(sound, None)
    if first is None:
        raise UserError("there are no rows in it", where=source.label, fix="give a source with at least one row")
    yield from itertools.chain([first], sound)


def _read_files(
    source: DataSource, files: Sequence[Path], needed: Collection[str] | None
) -> Iterator[Record | UserError]:
    _check_config(source)
    if sum(file.stat().st_size for file in files) > MOST_BYTES:
        raise UserError(
            f"the file is larger than {MOST_BYTES >> 30} GiB" if len(files) == 1 else "the files are too large",
            where=source.label,
            fix=f"give at most {MOST_BYTES >> 30} GiB of data",
        )
    root = os.path.commonpath([file.absolute().parent for file in files])
    for file in files:
        name = file.absolute().relative_to(root).as_posix()
        try:
            for row in _read_file(file, source.split, needed):
                yield row if isinstance(row, UserError) else _record(str(file), name, row)
        except UserError as error:
            yield error
        except OSError as error:
            yield UserError(f"cannot read the file ({error.strerror})", where=str(file), fix="check its rights")


def _check_config(source: DataSource) -> None:
    if source.config is not None:
        raise UserError(
            f"it has no configuration {source.config}, as data sets of the hub do",
            where=source.label,
            fix="leave config out",
        )


def _read_file(path: Path, split: str | None, needed: Collection[str] | None) -> Iterator[RawRow | UserError]:
    kind, where = check_kind(path), str(path)
    check_regular(path)
    if not path.stat().st_size:
        raise UserError("the file is empty", where=where, fix="give a file with at least one row")
    if read_head(path).startswith(PARQUET):
        kind = "Parquet"
    if kind in _BINARY:
        check_split(split, where)
        yield from _numbered(_BINARY[kind](path, needed))
        return
    with open_text(path) as stream:
        looks_like_json = stream.peek(1).lstrip(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[")
        if kind in ("CSV", "TSV") and not looks_like_json:
            check_split(split, where)
            yield from csv_rows(stream, needed, where, tabs=kind == "TSV")
        else:
            yield from json_rows(stream, needed, split, where, lines=kind != "JSON")


def _numbered(rows: Iterable[dict[str, Any] | UserError]) -> Iterator[RawRow | UserError]:
    for number, row in enumerate(rows, 1):
        yield row if isinstance(row, UserError) else RawRow("row", number, row)


def _record(path: str, name: str, row: RawRow) -> Record | UserError:
    record = Record(Place(path, name, row.unit, row.number), row.values, row.key)
    if not isinstance(row.values, dict):
        kind = type(row.values).__name__
        fix = 'write rows as objects, such as {"question": "..."}' if kind == "list" else "fix or remove the row"
        return UserError(f"expected an object with columns, found {kind}", where=record.where, fix=fix)
    return record


def _read_dataset_folder(
    source: DataSource, folder: Path, files: Sequence[Path], needed: Collection[str] | None
) -> Iterator[Record | UserError]:
    import datasets

    saved = any((folder / name).is_file() for name in DATASET_FILES)
    try:
        if saved:
            _check_config(source)
            for file in files:
                if kind_of(file) == "Arrow":
                    check_uncompressed(file)
            dataset = datasets.load_from_disk(str(folder))
            if not isinstance(dataset, dict):
                check_split(source.split, str(folder))
        else:
            cache = folder_cache(folder)
            dataset = datasets.load_dataset(str(folder.resolve()), source.config, cache_dir=cache)
    except UserError:
        raise
    except Exception as error:  # whatever the library raises, the folder is at fault
        raise UserError(
            f"cannot load this folder with `datasets`: {_one_line(error)}",
            where=str(folder),
            fix="set config to a configuration of its README.md" if not saved else "save the data set again",
        ) from error
    name = folder.resolve().name
    return _dataset_records(_one_split(dataset, source, str(folder)), needed, files if saved else (), str(folder), name)


def _read_hub(source: DataSource, needed: Collection[str] | None) -> Iterator[Record | UserError]:
    import datasets

    name = f"{source.source} ({source.config or 'default'})"
    bundled = bundled_folder("data set", str(source.source))
    try:
        with contextlib.nullcontext() if bundled else hub_or_cache():
            dataset = datasets.load_dataset(str(bundled or source.source), source.config, split=source.split)
    except Exception as error:  # whatever the hub, the network or a builder raises is the user's to see in one line
        refusal = hub_error(error, "data set", str(source.source), where=name)
        if refusal is not None:
            raise refusal from error
        fix = "check its name, configuration and split; or give a local file's path"
        if "config" in str(error).lower():
            fix = f"set config to one of them, or write {source.source}:CONFIG"
        raise UserError(f"cannot load this data set from the hub: {_one_line(error)}", where=name, fix=fix) from error
    dataset = _one_split(dataset, source, name)
    if split := source.split or dataset.split:
        name += f", split {split}"
    return _dataset_records(dataset, needed, (), name, name)


def _one_split(dataset: Any, source: DataSource, where: str) -> Any:
    """The data set, or the split of several that the source names."""
    if not isinstance(dataset, dict):
        return dataset
    chosen = [name for name in dataset if source.split is None or same_split(name, source.split)]
    if len(chosen) != 1:
        raise UserError(
            f"the data set has the splits {', '.join(dataset)}", where=where, fix="set split to one of them"
        )
    return dataset[chosen[0]]


def _dataset_records(
    dataset: Any, needed: Collection[str] | None, files: Sequence[Path], where: str, name: str
) -> Iterator[Record | UserError]:
    for row in _numbered(dataset_rows(dataset, needed, files, where)):
        yield row if isinstance(row, UserError) else _record(where, name, row)


def _one_line(error: Exception) -> str:
    """The message of a library on one line: the configurations of a data set are on the second."""
    return " ".join(str(error).split())[:_MOST_CHARACTERS] or type(error).__name__
