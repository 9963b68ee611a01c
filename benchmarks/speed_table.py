"""Writes the README's table of speeds from the committed measurements, or checks that it is theirs.

python -m benchmarks.speed_table [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.page_tables import with_tables
from reports.files import read_json, write_text

_HERE = Path(__file__).resolve().parent
README = _HERE.parent / "README.md"
_MARKS = ("<!-- speed: python -m benchmarks.speed_table -->\n", "<!-- speed:end -->")


def table() -> str:
    """The table as Markdown."""
    cpu = read_json(_HERE / "results" / "cpu_speed.json")
    gpu = read_json(_HERE / "results" / "gpu" / "speed.json")
    ratios = gpu["ratios"]
    one, other = "at batch 8", "at its best batch"
    lines = [
        "| measured | against | times faster |",
        "|---|---|---:|",
        *_row("base and one adapter, whole process", "stock lm-eval, two runs", cpu["ratios"]["end to end"]),
        *_row("each further adapter", "stock lm-eval, one more run", cpu["ratios"]["further adapter"]),
        *_row("generation", "one prompt at a time", cpu["ratios"]["generation, against one prompt at a time"]),
    ]
    for name, title in (("ours", "transformers engine"), ("vllm", "vLLM engine")):
        for batch in (one, other):
            against = f"stock lm-eval, four runs, {batch}"
            lines += _row(f"{title}, steady", against, ratios[name][f"steady, against stock {batch}"], gpu=True)
            lines += _row(
                f"{title}, its start counted", against, ratios[name][f"whole process, against stock {batch}"], gpu=True
            )
    return "\n".join(lines) + "\n"


def _row(what: str, against: str, ratio: float, *, gpu: bool = False) -> list[str]:
    where = "H200, 8B shape" if gpu else "2 CPU cores, 135M"
    return [f"| {where}: {what} | {against} | {ratio:.3g} |"]


def filled(text: str) -> str:
    """A README with the table in its place."""
    return with_tables(README, text, _MARKS, table())


def main() -> None:
    """Write the table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the table is stale")
    args: Any = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    new = filled(text)
    if args.check:
        sys.exit(None if new == text else "the README's table of speeds is stale: run python -m benchmarks.speed_table")
    write_text(README, new)


if __name__ == "__main__":
    main()
