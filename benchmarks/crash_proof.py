"""Kills runs at random moments of all stages, restarts them, and compares what comes out with an uninterrupted run.

    python -m benchmarks.crash_proof OUT.json [--kills 30] [--quickstart | --checkpoints] [--seed 0]

With SIGKILL, SIGINT and SIGTERM, then on a disk that is too small and grows a little with every start (a tmpfs where it
can be mounted, which takes root), and once read-only. The run has the quickstart's data, tasks and stages, on a tiny
random model in 16 bits, or with `--quickstart` on its real one. With `--checkpoints` the training also keeps all its
checkpoints, is scored while it runs and chooses one, and all of them are scored. Everything but times must come out the
same, and every question must have been answered once.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.answers.answer_store import AnswerStore
from harness.answers.stored_answers import SETUP
from harness.environment import describe
from reports.files import read_json, read_jsonl, sha256_file, write_json, write_text
from training.models.device import device_of

STAGES = {"start": "", "plan": "Plan", "train": "Train", "load": "Score", "answer": "loading", "noise": "noise"}
STAGES["report"] = "Result"
_CHECKPOINTS = {
    "keep_checkpoints": "all",
    "choose_by": "medbench_pubmedqa/macro_f1",
    "score_steps": 4,
    "early_stopping_patience": 9,  # with which no scoring is skipped for lack of time
    "validation_items": 10,
}
_TIMES = {
    "created",
    "command",
    "stages",
    "seconds",
    "peak_memory_bytes",
    "memory",
    "seconds_per_step",
    "tokens_per_second",
}
_TIMES |= {"start_seconds", "latency_p50", "latency_p95", "reused", "reused_answers", "reused_seconds", "trained_now"}
_TIMES |= {"git_commit", "checksum"}  # of a checkout in which somebody works meanwhile; of a document with its times
_ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Bench:
    """Where runs are made, and how.

    Attributes:
        words: The run's command line but for `--out`.
        models: A folder of fetched models, which the runs' own homes refer to.
    """

    work: Path
    words: list[str]
    models: Path | None = None
    spans: dict[str, float] = field(default_factory=dict)

    def start(self, folder: Path) -> Started:
        """Start the run in `folder`, with a store of its own beside it."""
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        if self.models is not None and not (home / "models").exists():
            (home / "models").symlink_to(self.models)
        environment = os.environ | {
            "MEDBENCH_HOME": str(home),
            "MEDBENCH_CACHE_GB": "1",
            "PYTHONPATH": str(_ROOT),
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",  # threads of a run that shares its cores wait for one another
        }
        command = [sys.executable, "-m", "harness", "run", *self.words, "--out", str(folder / "run")]
        return Started(command, environment)


class Started:
    """A run that goes on; knows which stage it is in from what it prints."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.seen = {"start": time.monotonic()}
        self.printed: list[str] = []
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._errors: list[str] = []
        self._readers = [threading.Thread(target=each, daemon=True) for each in (self._read, self._read_errors)]
        for reader in self._readers:
            reader.start()

    @property
    def stage(self) -> str:
        """The last that began."""
        return list(self.seen)[-1]

    def wait_for(self, stage: str, span: float) -> bool:
        """Wait until so long after a stage began, or a later one did; whether the run still goes on then."""
        order = list(STAGES)
        while self._process.poll() is None:
            begun = self.seen.get(stage)
            if begun is not None and time.monotonic() > begun + span:
                return True
            if begun is None and order.index(self.stage) > order.index(stage):
                time.sleep(random.uniform(0, 1))  # noqa: S311 - the stage is behind us: any moment will do
                return self._process.poll() is None
            time.sleep(0.002)
        return False

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """(exit code, what it said on standard error), after a signal if given."""
        if number is not None:
            self._process.send_signal(number)
        code = self._process.wait()
        for reader in self._readers:
            reader.join()
        return code, "".join(self._errors)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.printed.append(line)
            for stage, mark in STAGES.items():
                if mark and stage not in self.seen and (line.strip() == mark or (mark in line and line[0] == " ")):
                    self.seen[stage] = time.monotonic()

    def _read_errors(self) -> None:
        self._errors += self._process.stderr or ()


def lasting(run: Path) -> dict[str, Any]:
    """What a run folder says but for times: results, samples, predictions, and the adapter's weights."""
    found: dict[str, Any] = {"results.json": _without_times(read_json(run / "results.json"))}
    for path in sorted((run / "samples").rglob("*.jsonl")):
        found[str(path.relative_to(run))] = [_without_times(row) for _, row in read_jsonl(path)]
    for path in sorted((run / "predictions").rglob("*.json")):
        found[str(path.relative_to(run))] = read_json(path)
    found["adapter"] = sha256_file(run / "adapter" / "adapter_model.safetensors")
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in _TIMES}
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def answered(home: Path) -> Counter[int]:
    """How many questions were answered how often."""
    store = AnswerStore(home / "answers" / "answers.sqlite", 10**9)
    puts = store.puts()
    store.close()
    return Counter(count for key, count in puts.items() if not key.startswith(SETUP))


def uninterrupted(bench: Bench) -> dict[str, Any]:
    """Run once to the end, noting how long each stage takes; what must come out."""
    folder = bench.work / "whole"
    run = bench.start(folder)
    code, said = run.end()
    if code:
        raise SystemExit(f"the uninterrupted run failed:\n{said}")
    moments = [*run.seen.values(), time.monotonic()]
    bench.spans = {stage: after - before for stage, before, after in zip(run.seen, moments, moments[1:], strict=False)}
    return {"lasting": lasting(folder / "run"), "answered": answered(folder / "home")}


def compare(folder: Path, whole: dict[str, Any]) -> dict[str, Any]:
    """What differs of a finished run from the uninterrupted one."""
    mine, counts = lasting(folder / "run"), answered(folder / "home")
    names = sorted(set(mine) | set(whole["lasting"]))
    rows = {name: value for name, value in mine.items() if name.endswith(".jsonl")}
    different = [name for name in names if mine.get(name) != whole["lasting"].get(name)]
    results = [each["lasting"]["results.json"] for each in ({"lasting": mine}, whole)]
    return {
        "differing": different,
        "differing_in_results": sorted(key for key in results[0] if results[0][key] != results[1].get(key)),
        "samples": sum(map(len, rows.values())),
        "questions": counts.total(),
        "questions_uninterrupted": whole["answered"].total(),
        "answered_more_than_once": counts.total() - counts[1],
        "left_over_parts": len(list(folder.rglob("*.part"))),
    }


def interrupt(bench: Bench, whole: dict[str, Any], number: signal.Signals, times: int, chance: random.Random) -> Any:
    """Send a signal so many times, each in a random moment of one stage after another; then let the run finish."""
    hits: list[dict[str, Any]] = []
    finished: list[dict[str, Any]] = []
    stages = [stage for stage in STAGES if stage in bench.spans]
    wanted = 0
    while len(hits) < times:
        folder = bench.work / f"{number.name}-{len(finished)}"
        order = [*stages, "train", "answer"]
        order.sort(key=stages.index)
        while order and len(hits) < times:
            stage = order.pop(0)
            wanted += 1
            run = bench.start(folder)
            if not run.wait_for(stage, chance.uniform(0, bench.spans[stage])):
                run.end()
                break
            at = run.stage, round(time.monotonic() - run.seen["start"], 2)
            code, said = run.end(number)
            hits.append({"stage": at[0], "seconds": at[1], "code": code, "traceback": "Traceback" in said})
            hits[-1]["said"] = _shortened(said, bench).splitlines()[-1:] if number is not signal.SIGKILL else []
        code, said = bench.start(folder).end()
        finished.append({"code": code, "said": _shortened(said, bench)[-300:], **compare(folder, whole)})
    return {
        "signals": len(hits),
        "by_stage": dict(Counter(each["stage"] for each in hits)),
        "hits": hits,
        "runs": finished,
    }


def _shortened(said: str, bench: Bench) -> str:
    """What a run said, without the folder of this machine."""
    return said.strip().replace(f"{bench.work}/", "")


@contextlib.contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)  # noqa: S603, S607
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607


def fill_disk(bench: Bench, whole: dict[str, Any], steps: int) -> dict[str, Any]:
    """Run on a disk that is too small and grows with every start until it is enough; once, it is read-only."""
    files = [path for path in (bench.work / "whole").rglob("*") if path.is_file() and not path.is_symlink()]
    need = sum(path.stat().st_size for path in files)
    folder = bench.work / "small-disk"
    starts: list[dict[str, Any]] = []
    with _small_disk(folder, need // steps):
        for step in range(1, 4 * steps):
            options = f"remount,size={need * step // steps},{'ro' if step == steps // 2 else 'rw'}"
            subprocess.run(["mount", "-o", options, str(folder)], check=True)  # noqa: S603, S607
            run = bench.start(folder)
            code, said = run.end()
            starts.append({"share": round(step / steps, 2), "options": options.rpartition(",")[2], "stage": run.stage})
            starts[-1] |= {
                "code": code,
                "traceback": "Traceback" in said,
                "said": _shortened(said, bench).splitlines()[:2],
            }
            if code == 0:
                break
        found = compare(folder, whole) if code == 0 else {}
    return {"how": "tmpfs", "bytes_needed": need, "starts": starts, "runs": [{"code": code, **found}]}


def make_bench(work: Path, *, quickstart: bool = False, checkpoints: bool = False) -> Bench:
    """A bench on a tiny random model, or on the quickstart's own."""
    if quickstart:
        from reports.home import medbench_home
        from training.models.quickstart_model import quickstart_model

        quickstart_model()
        return Bench(work, ["--recipe", "quickstart"], medbench_home() / "models")
    from tests.conftest import make_model

    recipe = yaml.safe_load((_ROOT / "training" / "recipes" / "quickstart.yaml").read_text(encoding="utf-8"))
    recipe["model"] = {"base": str(make_model(work / "model")), "dtype": "bfloat16"}
    recipe["trainer"] |= {"max_steps": 12, "warmup_steps": 2, "save_steps": 2}
    recipe["scoring"] |= {"max_new_tokens": 48, "batch_rows": 8}
    recipe["trainer"] |= _CHECKPOINTS if checkpoints else {}
    write_text(work / "recipe.yaml", yaml.safe_dump(recipe))
    models = ["--models", "base,adapter,adapter@*"] if checkpoints else []
    return Bench(work, ["--recipe", str(work / "recipe.yaml"), *models])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--interrupts", type=int, default=8, help="SIGINT, and half as many SIGTERM")
    parser.add_argument("--disk-steps", type=int, default=8, help="0 leaves the small disk out")
    parser.add_argument("--quickstart", action="store_true")
    parser.add_argument("--checkpoints", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)  # noqa: S311 - moments, no secrets
    with tempfile.TemporaryDirectory() as name:
        bench = make_bench(Path(name), quickstart=args.quickstart, checkpoints=args.checkpoints)
        whole = uninterrupted(bench)
        digest = hashlib.sha256(json.dumps(whole["lasting"], sort_keys=True).encode()).hexdigest()
        found: dict[str, Any] = {
            "what": __doc__.splitlines()[0],
            "stages_seconds": bench.spans,
            "lasting_sha256": digest,
        }
        for number, times in (
            (signal.SIGKILL, args.kills),
            (signal.SIGINT, args.interrupts),
            (signal.SIGTERM, args.interrupts // 2),
        ):
            found[number.name] = interrupt(bench, whole, number, times, chance)
            print(number.name, found[number.name]["by_stage"], found[number.name]["runs"], flush=True)
            write_json(args.out, found)
        if args.disk_steps:
            found["full disk"] = fill_disk(bench, whole, args.disk_steps)
            print("full disk", found["full disk"], flush=True)
    found["environment"] = describe(device_of("cpu"))
    write_json(args.out, found)


if __name__ == "__main__":
    main()
