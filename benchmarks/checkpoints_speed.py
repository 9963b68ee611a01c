"""Scores eight checkpoints in one pass and in eight separate runs: seconds of both, and whether the scores are equal.

    python -m benchmarks.checkpoints_speed WORK OUT.json [--rounds 3] [--setting scoring.limit=20 ...]

Eight steps of the quickstart's training keep eight checkpoints in WORK. A round scores them three times with empty
answer stores: `base,adapter@*` in one pass, then the base and one checkpoint in each of eight `medbench score`
commands, once with an answer store that these share, so that the base answers only once, and once with a store for
each, as on eight fresh machines. Numerical noise is not measured, since its budget depends on the time that scoring
takes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.evidence import environment
from reports.document.reading import read_results
from reports.files import write_json

_STEPS = range(1, 9)
_TRAINING = ("trainer.max_steps=8", "trainer.save_steps=1", "trainer.keep_checkpoints=all")
Scores = dict[tuple[str, str, str], float | None]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--setting", action="append", default=[], help="further settings of the recipe")
    parser.add_argument("--allow-dirty", action="store_true")
    args = parser.parse_args()
    facts = environment(allow_dirty=args.allow_dirty)
    settings = [*_TRAINING, "scoring.noise_items=0", *args.setting]
    _medbench(args.work / "home", ["train", "--out", str(args.work / "run")], settings)
    rounds = [_round(args.work, settings) for _ in range(args.rounds)]
    ratios = {
        way: [one["seconds"]["one pass"] / sum(one["seconds"][way]) for one in rounds]
        for way in ("shared store", "own stores")
    }
    result = {
        "what": (__doc__ or "").splitlines()[0],
        "command": " ".join(
            ["python -m benchmarks.checkpoints_speed WORK OUT.json", *map("--setting {}".format, args.setting)]
        ),
        "environment": facts,
        "checkpoints": len(_STEPS),
        "ratio": {way: round(statistics.median(values), 3) for way, values in ratios.items()},
        "equal": all(one["equal"] for one in rounds),
        "rounds": rounds,
    }
    write_json(args.out, result)
    print(result["ratio"], "equal:", result["equal"])
    sys.exit(not result["equal"])


def _round(work: Path, settings: list[str]) -> dict[str, Any]:
    """One pass and two times eight runs: their seconds, and whether all scores are the same."""
    for name in ("pass", "single"):
        shutil.rmtree(work / name, ignore_errors=True)
    whole = work / "pass"
    shutil.copytree(work / "run", whole)
    seconds: dict[str, Any] = {"one pass": _score(whole, "base,adapter@*", settings, work / "store-pass")}
    expected, equal = _scores(whole), True
    for way in ("shared store", "own stores"):
        seconds[way] = []
        shutil.rmtree(work / "store", ignore_errors=True)
        for step in _STEPS:
            if way == "own stores":
                shutil.rmtree(work / "store", ignore_errors=True)
            name, single = f"adapter-step-{step}", work / "single"
            shutil.rmtree(single, ignore_errors=True)
            models = f"base,{name}={work / 'run' / 'checkpoints' / f'step-{step}'}"
            seconds[way].append(_score(single, models, settings, work / "store"))
            equal &= all(expected[key] == value for key, value in _scores(single).items())
    shutil.rmtree(work / "store-pass")
    return {"seconds": seconds, "equal": equal, "answers": len(expected)}


def _score(out: Path, models: str, settings: list[str], home: Path) -> float:
    """Seconds of one `medbench score` command."""
    home.mkdir(exist_ok=True)
    shared = home.parent / "home"
    for part in shared.iterdir():  # the base's weights, but no answers
        if part.name != "answers" and not (home / part.name).exists():
            (home / part.name).symlink_to(part.resolve())
    started = time.perf_counter()
    _medbench(home, ["score", "--models", models, "--out", str(out)], settings)
    return round(time.perf_counter() - started, 2)


def _scores(run: Path) -> Scores:
    """All scores of a run by model, task and metric."""
    return {(score.model, score.task, score.metric): score.value for score in read_results(run).scores}


def _medbench(home: Path, words: list[str], settings: list[str]) -> None:
    """Run a command with a folder of its own in place of the user's."""
    flags = [word for setting in settings for word in ("--set", setting)]
    environment_ = os.environ | {"MEDBENCH_HOME": str(home.resolve())}
    subprocess.run([sys.executable, "-m", "harness", *words, *flags], check=True, env=environment_)  # noqa: S603 - our own command


if __name__ == "__main__":
    main()
