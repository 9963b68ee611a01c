"""The environment that a benchmark's results record, its commit among it; refuses a tree with uncommitted changes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.environment import describe
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


def simulation_arguments(description: str | None) -> argparse.Namespace:
    """The arguments of a simulation: where its results go, how many draws, how many processes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--allow-dirty", action="store_true", help="run with uncommitted changes, for trials")
    return parser.parse_args()
