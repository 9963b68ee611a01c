"""CSV files whose cells no spreadsheet takes for formulas: written as text, and read back as they were.

A spreadsheet runs a cell that starts like a formula, whoever wrote it (OWASP, CSV Injection). An apostrophe before it
makes it text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.files import write_text
from reports.text import replace_surrogates

_MARK = "'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last in full width


def as_text(value: Any) -> Any:
    """A cell that no spreadsheet computes; numbers and all else but text as they are."""
    if not isinstance(value, str):
        return value
    value = replace_surrogates(value)
    return _MARK + value if value.lstrip(_MARK).startswith(_FORMULA) else value


def from_text(cell: str) -> str:
    """The text that `as_text` made the cell of."""
    return cell[1:] if cell.startswith(_MARK) and cell.lstrip(_MARK).startswith(_FORMULA) else cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table that spreadsheets take for text; cells that a row lacks are empty."""
    stream = io.StringIO()
    # With "\n" alone a carriage return in an answer would stand unquoted, and what follows it be a row of its own.
    writer = csv.DictWriter(stream, columns, lineterminator="\r\n")
    writer.writerow({name: as_text(name) for name in columns})
    writer.writerows({name: as_text(value) for name, value in row.items()} for row in rows)
    write_text(path, stream.getvalue())
