"""Times the whole quickstart of this commit against that of an earlier one: seconds, losses and verdicts of both.

    python -m benchmarks.quickstart_speed WORK OUT.json [--before 1d123ff] [--rounds 3]

Both commits are cloned into WORK and run in turn, each with a folder of its own that holds the model but no answers.
Beside it: `--help` against the imports that every command line of this kind needs, and a finished run shown again.
Times mean something on a machine that does nothing else. Outcomes are those of each commit's own statistics; before
0.1.0 these changed, and with them what some metrics count.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.evidence import environment
from reports.files import read_json, write_json

_ROOT = Path(__file__).resolve().parents[1]
_FETCH = "from training.models.quickstart_model import quickstart_model; quickstart_model()"
_SHORT = 7  # times that a short command is run; the median counts


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--before", default="1d123ff")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--allow-dirty", action="store_true")
    args = parser.parse_args()
    facts = environment(allow_dirty=args.allow_dirty)
    work = args.work.resolve()
    sides = {"before": _clone(work / "before", args.before), "after": _clone(work / "after", "HEAD")}
    for side in sides.values():
        _python(side, ["-c", _FETCH])
    rounds = [{name: _quickstart(side) for name, side in sides.items()} for _ in range(args.rounds)]
    medians = {name: statistics.median(one[name]["seconds"] for one in rounds) for name in sides}
    shown = ["-m", "harness", "run", "--out", str(work / "after-run")]
    short = {
        "imports of typer and rich": _median(sides["after"], ["-c", "import typer, rich"]),
        "--help": _median(sides["after"], ["-m", "harness", "--help"]),
        "a finished run shown": _median(sides["after"], shown),
    }
    losses = [sum(one[name]["last_loss"] for one in rounds) / len(rounds) for name in sides]
    result = {
        "what": (__doc__ or "").splitlines()[0],
        "command": f"python -m benchmarks.quickstart_speed WORK OUT.json --before {args.before} --rounds {args.rounds}",
        "environment": facts,
        "before": args.before,
        "seconds": {name: round(value, 1) for name, value in medians.items()},
        "ratio": round(medians["after"] / medians["before"], 3),
        "loss_ratio": round(losses[1] / losses[0], 4),
        "same_verdicts": all(one["before"]["outcomes"] == one["after"]["outcomes"] for one in rounds),
        "short_seconds": short,
        "rounds": rounds,
    }
    write_json(args.out, result)
    print({key: result[key] for key in ("seconds", "ratio", "loss_ratio", "same_verdicts", "short_seconds")})


def _clone(folder: Path, commit: str) -> Path:
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "--quiet", str(_ROOT), str(folder)], check=True)  # noqa: S603, S607
    revision = subprocess.run(  # noqa: S603
        ["git", "-C", str(_ROOT), "rev-parse", commit],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", revision], check=True)  # noqa: S603, S607
    return folder


def _python(side: Path, words: Sequence[str]) -> float:
    """Run a Python command of a side's commit; its seconds."""
    home = side.with_name(f"{side.name}-home")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run(  # noqa: S603
        [sys.executable, "-P", *words],
        check=True,
        cwd=side,
        env=env | {"PYTHONPATH": str(side), "MEDBENCH_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def _median(side: Path, words: Sequence[str]) -> float:
    return round(statistics.median(_python(side, words) for _ in range(_SHORT)), 3)


def _quickstart(side: Path) -> dict[str, Any]:
    """One quickstart, with an empty answer store."""
    run, home = (side.with_name(f"{side.name}-{name}") for name in ("run", "home"))
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(home / "answers", ignore_errors=True)
    seconds = _python(side, ["-m", "harness", "run", "--out", str(run)])
    results = read_json(run / "results.json")
    return {
        "seconds": round(seconds, 1),
        "stages": {name: round(value, 1) for name, value in results["stages"].items()},
        "last_loss": [row["loss"] for row in results["training"]["losses"] if "loss" in row][-1],
        "outcomes": {f"{pair['task']}/{pair['metric']}": pair["outcome"] for pair in results["comparisons"]},
    }


if __name__ == "__main__":
    main()
