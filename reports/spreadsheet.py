"""Cells of CSV files that spreadsheets would take for formulas, written as text and read back as they were.

A spreadsheet runs a cell that starts like a formula, whoever wrote it (OWASP, CSV Injection). An apostrophe before it
makes it text.
"""

from __future__ import annotations

from typing import Any

_MARK = "'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last in full width


def as_text(value: Any) -> Any:
    """A cell that no spreadsheet computes; numbers and all else but text as they are."""
    if not isinstance(value, str):
        return value
    return _MARK + value if value.lstrip(_MARK).startswith(_FORMULA) else value


def from_text(cell: str) -> str:
    """The text that `as_text` made the cell of."""
    return cell[1:] if cell.startswith(_MARK) and cell.lstrip(_MARK).startswith(_FORMULA) else cell
