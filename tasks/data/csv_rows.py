"""Rows of CSV files with any of the usual delimiters, and the lines on which they end."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import BinaryIO

from reports.encodings import not_utf8
from reports.errors import UserError
from reports.files import MOST_LINE_BYTES, check_columns
from tasks.data.raw_rows import RawRow

MAX_CELL_CHARACTERS = 10_000_000
_DELIMITERS = ",;\t|"
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
_SAMPLE_CHARACTERS = 1 << 16


def csv_rows(
    stream: BinaryIO, needed: Collection[str] | None, where: str, *, tabs: bool
) -> Iterator[RawRow | UserError]:
    """Rows by column name; a row without the header's number of cells is an error.

    Args:
        stream: UTF-8 text, with or without a byte order mark.
        needed: Column names that help to find the delimiter.
        where: The file, for messages.
        tabs: Whether tabs separate the cells unless another delimiter is evident.

    Raises:
        UserError: The file is not CSV or not UTF-8, or has a column twice.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    lines = _lines(stream, where)
    delimiter, skipped = "", 0
    reader = csv.reader([])
    try:
        sample = list(_sample(lines))
        declared = sample[0].strip().strip('"').lower() if sample else ""
        if declared.startswith("sep=") and len(declared) == len("sep=") + 1:  # a line for Excel
            delimiter, skipped = declared[-1], 1
        delimiter = delimiter or find_delimiter(sample, needed or (), "\t" if tabs else ",")
        reader = csv.reader(itertools.chain(sample[skipped:], lines), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(filter(None, reader), [])]
        check_columns(filter(None, header), f"{where}, line {reader.line_num + skipped}")
        for row in reader:
            line = reader.line_num + skipped
            if not any(map(str.strip, row)):  # a blank line, or one of empty cells below a sheet's last row
                continue
            if len(row) < len(header) or any(row[len(header) :]):
                yield UserError(
                    f"the row does not have the {len(header)} columns of the header",
                    where=f"{where}, line {line}",
                    fix=f"quote cells that contain {_NAMES.get(delimiter, repr(delimiter))} or line breaks",
                )
            else:
                yield RawRow("line", line, dict(zip(header, row, strict=False)))
    except csv.Error as error:
        raise UserError(
            f"not readable as CSV: {error}",
            where=f"{where}, after line {reader.line_num + skipped}",
            fix="quote cells that contain delimiters, quotes or line breaks, and double the quotes in them",
        ) from error


def find_delimiter(lines: Sequence[str], needed: Collection[str], usual: str) -> str:
    """The delimiter with which most needed columns are in the header, and then most rows have its number of cells.

    Args:
        lines: The first lines of the file.
        needed: Names of needed columns.
        usual: The delimiter of a file with one column.
    """

    def evidence(delimiter: str) -> tuple[int, float, bool, int]:
        rows = list(_parsed(lines, delimiter))
        header, rest = rows[0] if rows else [], rows[1:-1] or rows[1:]  # the last row may be cut
        if len(header) < 2:  # noqa: PLR2004 - it separates nothing
            return 0, -1.0, delimiter == usual, 0
        fitting = sum(len(row) == len(header) for row in rest) / len(rest) if rest else 1.0
        return len({name.strip() for name in header} & set(needed)), fitting, delimiter == usual, len(header)

    return max(_DELIMITERS, key=evidence)


def _parsed(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    try:
        yield from filter(None, csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return


def _sample(lines: Iterator[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        yield line
        size += len(line)
        if size > _SAMPLE_CHARACTERS:
            return


def _lines(stream: BinaryIO, where: str) -> Iterator[str]:
    """The lines of a file, of which the reader takes whole ones into memory; also those that end in a CR alone."""
    number = 0
    while raw := stream.readline(MOST_LINE_BYTES):
        if len(raw) == MOST_LINE_BYTES:
            raise csv.Error(f"a line has {MOST_LINE_BYTES:,} characters or more")
        try:
            text = raw.decode("utf-8-sig" if number == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(error, f"{where}, line {number + 1}") from error
        for line in io.StringIO(text, newline=""):
            number += 1
            yield line
