"""Writes the tables of docs/benchmarks.md from the catalogue of suites, or checks that they are its.

python -m benchmarks.catalogue [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.page_tables import with_tables
from reports.bundles.manifest import NOT_STATED
from reports.files import write_text
from tasks.benchmarks import Benchmark
from tasks.suites import SUITES, Suite

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
_MARKS = ("<!-- suites: python -m benchmarks.catalogue -->\n", "<!-- suites:end -->")


def tables() -> str:
    """A section for each suite, as Markdown."""
    return "\n".join(map(_section, SUITES.values()))


def _section(suite: Suite) -> str:
    lines = [f"### `{suite.name}`", "", f"{suite.purpose[0].upper()}{suite.purpose[1:]}.", ""]
    if suite.mean_of:
        lines += [f"Its row: {suite.mean_title}.", ""]
    lines += _rows(suite.members)
    if suite.extras:
        lines += ["", "Not part of the suite, scored by their own names:", "", *_rows(suite.extras)]
    return "\n".join(lines) + "\n"


def _rows(benchmarks: tuple[Benchmark, ...]) -> list[str]:
    header = ["| task | what it measures | items | licence | kind | source |", "|---|---|---:|---|---|---|"]
    return header + [_row(benchmark) for benchmark in benchmarks]


def _row(benchmark: Benchmark) -> str:
    items = NOT_STATED if benchmark.items is None else f"{benchmark.items:,}"
    licence = benchmark.licence + (" (non-commercial)" if benchmark.non_commercial else "")
    link = f"[{benchmark.source}](https://huggingface.co/datasets/{benchmark.source_id})"
    source = link + (f" at `{benchmark.revision[:8]}`" if benchmark.revision else "")
    return f"| `{benchmark.task}` | {benchmark.measures} | {items} | {licence} | {benchmark.kind} | {source} |"


def filled(text: str) -> str:
    """The page with the tables in their place."""
    return with_tables(PAGE, text, _MARKS, tables())


def main() -> None:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the tables are stale")
    args: Any = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    new = filled(text)
    if args.check:
        sys.exit(None if new == text else f"{PAGE.name} is stale: run python -m benchmarks.catalogue")
    write_text(PAGE, new)


if __name__ == "__main__":
    main()
