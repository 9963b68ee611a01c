"""The environment that a benchmark's results record, its commit among it; refuses a tree with uncommitted changes."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.environment import describe
from reports.files import write_json
from training.models.device import device_of


def environment(*, allow_dirty: bool) -> dict[str, Any]:
    """Machine, versions and commit.

    Raises:
        SystemExit: The tree has changes that no commit holds, and that is not allowed; exit code 2.
    """
    facts = describe(device_of("cpu"))
    if str(facts["git_commit"]).endswith("-dirty") and not allow_dirty:
        print("the working tree has changes; commit them, or give --allow-dirty", file=sys.stderr)
        raise SystemExit(2)
    return facts


def simulation_arguments(description: str | None, cells: Sequence[str] = ()) -> argparse.Namespace:
    """The arguments of a simulation: where its results go, how many draws, how many processes, which of its cells."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--allow-dirty", action="store_true", help="run with uncommitted changes, for trials")
    if cells:
        parser.add_argument("--only", action="append", choices=cells, help="a cell to draw; may be repeated")
    return parser.parse_args()


def run_simulation(
    description: str | None,
    name: str,
    cells: Iterable[str],
    counted: Callable[[str, int], dict[str, Any]],
    violations: Callable[[list[dict[str, Any]]], list[str]],
) -> None:
    """Run all cells of a simulation, write what was counted, and exit with 1 if a bound does not hold.

    Args:
        description: Documentation of its module.
        name: Name of its module in `benchmarks`.
        cells: Names of the cells.
        counted: Runs so many draws of a cell.
        violations: Lists the bounds that the results do not keep.
    """
    args = simulation_arguments(description)
    facts = environment(allow_dirty=args.allow_dirty)
    with multiprocessing.Pool(args.processes) as workers:
        rows = workers.starmap(counted, [(cell, args.times) for cell in cells], chunksize=1)
    faults = violations(rows)
    about = {
        "command": f"python -m benchmarks.{name} --times {args.times}",
        "environment": facts,
        "violations": faults,
    }
    write_json(args.out, about | {"cells": rows})
    sys.exit("\n".join(faults) or 0)
