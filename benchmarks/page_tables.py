"""Puts generated tables into a page, between the marks that say where they go."""

from __future__ import annotations

import sys
from pathlib import Path


def with_tables(page: Path, text: str, marks: tuple[str, str], tables: str) -> str:
    """The text of a page with its tables in their place.

    Args:
        page: The page, for messages.
        text: Its text.
        marks: The line before the tables, with its newline, and the mark after them.
        tables: What goes between.

    Raises:
        SystemExit: The text lacks a mark.
    """
    begin_mark, end_mark = marks
    before, begin, rest = text.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not (begin and end):
        sys.exit(f"{page.name} has no place for generated tables: {begin_mark.strip()} and {end_mark}")
    return f"{before}{begin}{tables}{end}{after}"
