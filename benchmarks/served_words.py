"""Compares answers in words of a server without log-probabilities, such as `transformers serve`, with the same model's.

    benchmarks/results/served_words.json:
    transformers serve BASE-FOLDER --port 8012 --device cpu --dtype float32 &
    python -m benchmarks.served_words OUT.json --url http://127.0.0.1:8012/v1 --served-name BASE-FOLDER [--limit 8]

The base is scored by the transformers engine and through the server on generated answers, and the tasks by
log-likelihood are named, which such a server has to be refused for.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.evidence import environment
from reports.document.reading import read_samples
from reports.errors import UserError
from reports.files import write_json

TASKS = ["medbench_generation", "medbench_pubmedqa_cot"]
_SETTINGS = [
    "scoring.across=true",
    "scoring.noise_items=0",
    "quantization.method=none",
    "quantization.double_quant=null",
    "scoring.dtype=float32",
    "scoring.served.concurrency=1",
]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--served-name", required=True)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--allow-dirty", action="store_true")
    args = parser.parse_args()
    result: dict[str, Any] = {
        "what": (__doc__ or "").splitlines()[0],
        "command": "python -m benchmarks.served_words OUT.json --url URL --served-name BASE-FOLDER"
        f" --limit {args.limit} --new-tokens {args.new_tokens}",
        "environment": environment(allow_dirty=args.allow_dirty),
        "refused": refusal(args),
        "tasks": compare(args),
    }
    write_json(args.out, result)
    print(result["refused"], result["tasks"], sep="\n")
    sys.exit(not (result["refused"] and all(task["answers"] for task in result["tasks"].values())))


def score(args: argparse.Namespace, tasks: list[str], out: str) -> Any:
    """Score the base here and through the server."""
    import harness

    return harness.score(
        models=f"base,words=served:{args.url}#{args.served_name}",
        tasks=tasks,
        out=out,
        limit=args.limit,
        settings=[*_SETTINGS, f"scoring.max_new_tokens={args.new_tokens}"],
        quiet=True,
    )


def refusal(args: argparse.Namespace) -> str:
    """The message for tasks that need log-probabilities; empty if there is none."""
    with tempfile.TemporaryDirectory() as out:
        try:
            score(args, ["medbench_pubmedqa"], out)
        except UserError as error:
            return f"{error.what}; fix: {error.fix}"
    return ""


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """By task: equal answers, and the share of characters before the first difference."""
    tasks: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as out:
        results = score(args, TASKS, out)
        for task in TASKS:
            ours, theirs = (
                list(read_samples(Path(out) / "samples" / name / f"{task}.jsonl")) for name in ("base", "words")
            )
            pairs = [(one.output, other.output) for one, other in zip(ours, theirs, strict=True)]
            shared = sum(_shared(*pair) for pair in pairs)
            tasks[task] = {
                "answers": len(pairs),
                "equal": sum(one == other for one, other in pairs),
                "share_before_the_first_difference": round(shared / max(1, sum(len(one) for one, _ in pairs)), 4),
            }
        tasks[TASKS[0]]["notes"] = [note for note in results.notes if "words" in note]
    return tasks


def _shared(one: str, other: str) -> int:
    """Characters until the first difference."""
    return next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


if __name__ == "__main__":
    main()
