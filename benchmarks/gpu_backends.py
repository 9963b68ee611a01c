"""Trains SmolLM2-135M on the same rows with both backends and compares losses, time and memory; needs a GPU.

python -m benchmarks.gpu_backends OUT.json ROWS.jsonl [--steps 60] [--dtype float16]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import harness
from harness.environment import describe
from reports.files import read_json, write_json
from training.models.device import device_of

BACKENDS = ("trl", "unsloth")


def train(backend: str, rows: Path, steps: int, dtype: str) -> dict[str, Any]:
    """The training log of one backend."""
    settings = [
        "model.base=smollm2-135m-instruct",
        f"model.dtype={dtype}",
        f"data.train={{source: {rows}}}",
        "data.reasoning={source: 'samples:reasoning_heldout'}",
        "data.reasoning_rows=null",
        "data.pubmedqa={source: 'samples:pubmedqa'}",
        f"trainer.backend={backend}",
        "trainer.epochs=null",
        f"trainer.max_steps={steps}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        log = harness.train("deepseek-r1-llama-8b", out=folder, settings=settings, quiet=True)
    return log.model_dump(mode="json", exclude={"settings", "fingerprint"})


def main() -> None:
    """Train with both backends, each from a process of its own, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--dtype", choices=("bfloat16", "float16"), default="bfloat16", help="float16 as on a T4")
    parser.add_argument("--backend", choices=BACKENDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.backend:
        write_json(args.out, train(args.backend, args.rows, args.steps, args.dtype))
        return
    logs: dict[str, dict[str, Any]] = {}
    for backend in BACKENDS:
        words = [str(args.out), str(args.rows), "--steps", str(args.steps), "--dtype", args.dtype]
        words += ["--backend", backend]
        subprocess.run([sys.executable, "-m", "benchmarks.gpu_backends", *words], check=True)  # noqa: S603
        logs[backend] = read_json(args.out)
    losses = {name: [each["loss"] for each in log["losses"] if "loss" in each] for name, log in logs.items()}
    trl, unsloth = losses["trl"], losses["unsloth"]
    result = {
        "command": f"python -m benchmarks.gpu_backends OUT.json ROWS.jsonl --steps {args.steps} --dtype {args.dtype}",
        "mean_loss": {name: round(statistics.mean(each), 4) for name, each in losses.items()},
        "largest_difference_of_a_step": round(max(abs(a - b) for a, b in zip(trl, unsloth, strict=True)), 4),
        "seconds_per_step": {name: log["seconds_per_step"] for name, log in logs.items()},
        "peak_allocated_gib": {
            name: round(log["memory"]["peak_allocated_bytes"] / 2**30, 3) for name, log in logs.items()
        },
        "logs": logs,
        "environment": describe(device_of("cuda")),
    }
    write_json(args.out, result)
    print(json.dumps({key: result[key] for key in list(result)[1:5]}))


if __name__ == "__main__":
    main()
