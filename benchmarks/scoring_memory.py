"""Measures the memory of a whole scoring by its number of samples: before, while and after it is answered.

    python -m benchmarks.scoring_memory OUT.json [--samples 2000 20000 60000]

Each number is a process of its own that scores so many PubMedQA-like items, texts and prompts (a third each) with a
tiny random model; what is measured is the process's resident memory, in which such a model hardly counts. The C library
would keep some 64 MB of what is freed; it is told to give it back, so that what is seen is held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.environment import describe
from reports.files import read_json, write_json, write_jsonl, write_text
from training.models.device import device_of

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MARKS = 10  # measurements while answers come
_GIVE_BACK = {"MALLOC_TRIM_THRESHOLD_": "1000000", "MALLOC_MMAP_THRESHOLD_": "1000000"}  # bytes, of glibc
_WORDS = ("fever", "dose", "renal", "cardiac", "trial", "risk", "acute", "onset", "lower", "group", "therapy", "score")


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def peak() -> int:
    """The most that it ever was."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _text(number: int, words: int) -> str:
    return " ".join(_WORDS[(number * 7 + place * place) % len(_WORDS)] for place in range(words)) + f" {number}"


def make_data(folder: Path, count: int) -> None:
    """Items of so many samples in all, for three tasks."""
    items = {
        str(number): {
            "QUESTION": f"Does {_text(number, 8)}?",
            "CONTEXTS": [_text(number, 60)],
            "final_decision": ("yes", "no", "maybe")[number % 3],
            "LONG_ANSWER": _text(number, 10),
        }
        for number in range(count // 3)
    }
    write_json(folder / "items.json", items)
    rows = (
        {"question": _text(n, 20), "complex_cot": _text(n, 30), "response": _text(n, 12)} for n in range(count // 3)
    )
    write_jsonl(folder / "rows.jsonl", rows)


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Score so many samples in this process."""
    import harness
    from harness.answers.stored_answers import StoredAnswers
    from tests.conftest import make_model, tiny_recipe_value

    make_data(folder, count)
    recipe = tiny_recipe_value(make_model(folder / "model", width=16, layers=1))
    recipe["data"] |= {
        "pubmedqa": {"source": str(folder / "items.json")},
        "reasoning": {"source": str(folder / "rows.jsonl")},
    }
    recipe["scoring"] = {"max_new_tokens": 16, "noise_items": 0, "batch_tokens": 8192, "batch_rows": 128}
    write_text(folder / "recipe.yaml", json.dumps(recipe))
    os.environ |= {"MEDBENCH_HOME": str(folder / "home"), "MEDBENCH_CACHE_GB": "1"}
    seen: list[int] = []
    keep = StoredAnswers.keep
    answers = 5 * (count // 3)  # three choices, one text and one prompt

    given = 0

    def watched(self: StoredAnswers, *args: Any) -> None:
        nonlocal given
        if given % (answers // _MARKS) == 0:
            seen.append(resident())
        given += 1
        keep(self, *args)

    setattr(StoredAnswers, "keep", watched)  # noqa: B010 - a plain assignment is not for methods
    started = time.perf_counter()
    results = harness.score(str(folder / "recipe.yaml"), models="base", out=folder / "run", quiet=True)
    return {
        "samples": sum(score.n for score in results.scores if score.metric in ("accuracy", "perplexity", "rouge_l")),
        "answers": given,
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time(), 1),
        "resident_mb_while_answering": [round(each / 1e6, 1) for each in (*seen, resident())],
        "peak_mb": round(peak() / 1e6, 1),
        "samples_on_disk_mb": round(sum(f.stat().st_size for f in (folder / "run" / "samples").rglob("*")) / 1e6, 1),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=int, nargs="+", default=[2000, 20000, 60000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        with tempfile.TemporaryDirectory() as folder:
            write_json(args.out, measure(args.one, Path(folder)))
        return
    runs = []
    for count in args.samples:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "one.json"
            command = [sys.executable, "-m", "benchmarks.scoring_memory", str(out), "--one", str(count)]
            subprocess.run(command, check=True, env=os.environ | _GIVE_BACK)  # noqa: S603 - our own module
            runs.append(read_json(out))
            print(runs[-1], flush=True)
    first, last = runs[0], runs[-1]
    more = last["samples"] - first["samples"]
    growth = (last["peak_mb"] - first["peak_mb"]) * 1e3 / more if more else None
    write_json(args.out, {"runs": runs, "kb_a_sample": growth, "environment": describe(device_of("cpu"))})


if __name__ == "__main__":
    main()
