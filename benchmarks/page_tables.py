"""Puts generated tables into a page, between the marks that say where they go, and checks that they are up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.files import write_text


@dataclass(frozen=True)
class GeneratedTables:
    """Tables of a page that code writes.

    Attributes:
        page: The page.
        marks: The line before the tables, with its newline, and the mark after them.
        markdown: The tables.
    """

    page: Path
    marks: tuple[str, str]
    markdown: str

    def filled(self, text: str) -> str:
        """Return a text of the page with the tables in their place."""
        return with_tables(self.page, text, self.marks, self.markdown)


def marks(name: str, module: str) -> tuple[str, str]:
    """Return the marks of tables that `python -m benchmarks.MODULE` writes."""
    return f"<!-- {name}: python -m benchmarks.{module} -->\n", f"<!-- {name}:end -->"


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


def write_or_check(description: str | None, command: str, tables: Sequence[GeneratedTables]) -> None:
    """Write the tables, or with `--check` only compare them with the pages.

    Raises:
        SystemExit: With `--check`, a page is stale.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    args: Any = parser.parse_args()
    pages = {one.page: one.page.read_text("utf-8") for one in tables}
    filled = dict(pages)
    for one in tables:
        filled[one.page] = one.filled(filled[one.page])
    stale = [(page, text) for page, text in filled.items() if text != pages[page]]
    if args.check:
        names = ", ".join(page.name for page, _ in stale)
        sys.exit(f"stale: {names}; run {command}" if stale else None)
    for page, text in stale:
        write_text(page, text)
