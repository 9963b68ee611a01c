"""Trains each GPU recipe for a few steps at its own shape, batch and sequence length, on random weights.

    python -m benchmarks.gpu_recipes OUT-FOLDER [--steps 5] [--backends trl,unsloth]
    python -m benchmarks.gpu_recipes OUT-FOLDER --table    # what the files in it say, as Markdown

Every row is longer than the recipe's limit, so that each batch is full. Written down, in a JSON file for each recipe:
peak memory, seconds a step, parameters, losses, versions, and the estimate that `medbench plan` gives for these rows.
Recipes of 7 and 8 billion parameters with another batch or length are also trained at 2 rows of 2,048 tokens.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import harness
from benchmarks.random_shape import make
from harness.environment import describe
from reports.files import read_json, write_json, write_jsonl
from tasks.data import DataSource, load_reasoning
from training.models.device import device_of
from training.models.quickstart_model import quickstart_model

SHAPES = {
    "deepseek-r1-llama-8b": "llama-8b",
    "llama3-8b-pubmedqa": "llama-8b",
    "llama31-8b-huatuo": "llama-8b",
    "llama32-3b-think": "llama-3b",
    "mistral-7b-alpaca": "mistral-7b",
}
FOUR_BIT = {"mistral-7b-alpaca"}
COMMON = ["trainer.max_length=2048", "trainer.batch_size=2", "trainer.gradient_accumulation=4"]
ALSO_COMMON = ("llama3-8b-pubmedqa", "mistral-7b-alpaca")


def long_rows(path: Path, count: int = 64) -> None:
    """Rows of several thousand tokens, made of the synthetic samples."""
    rows = load_reasoning(DataSource(source="samples:reasoning_train"), seed=0)
    text = " ".join(row.reasoning for row in rows[:60])
    write_jsonl(
        path,
        (
            {"question": f"{number}: {rows[number % 90].question}", "complex_cot": text, "response": text}
            for number in range(count)
        ),
    )


def measure(name: str, base: Path, steps: int, further: list[str]) -> dict[str, Any]:
    """Train one recipe for a few steps in this process: what its log says, and the estimate."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        long_rows(work / "rows.jsonl")
        settings = [
            f"model.base={base}",
            f"data.train={{source: {work / 'rows.jsonl'}}}",
            "data.validation=null",
            "data.reasoning={source: 'samples:reasoning_heldout'}",
            "data.reasoning_rows=null",
            "data.validation_rows=null",
            "data.pubmedqa={source: 'samples:pubmedqa'}",
            "trainer.epochs=null",
            f"trainer.max_steps={steps}",
            "trainer.eval_steps=null",
            "trainer.early_stopping_patience=null",
            "trainer.keep_best=false",
            *further,
        ]
        estimate = harness.plan(name, settings=settings, quiet=True)
        log = harness.train(name, out=work / name, settings=settings, quiet=True)
    return {
        "recipe": name,
        "shape": SHAPES[name],
        "base_is_4bit_checkpoint": name in FOUR_BIT,
        "further_settings": further,
        "tokens_a_row": estimate.lengths[100],
        "peak_allocated_gib": round(log.memory.peak_allocated_bytes / 2**30, 3),
        "estimated_gib": round(estimate.memory_bytes / 2**30, 3),
        "log": log.model_dump(mode="json", exclude={"settings", "fingerprint", "dropped_rows"}),
    }


def runs_of(name: str, backends: list[str]) -> list[list[str]]:
    """The settings of each run of a recipe."""
    shapes = [[], COMMON] if name in ALSO_COMMON else [[]]
    return [[f"trainer.backend={backend}", *shape] for backend in backends for shape in shapes]


def table(folder: Path) -> str:
    """The measurements of a folder as a Markdown table."""
    lines = [
        "| recipe | backend | batch, tokens a row | trainable | peak allocated, GiB | `plan` says | s a step |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for path in sorted(folder.glob("*.json")):
        for run in read_json(path)["runs"]:
            if "log" not in run:
                continue
            log = run["log"]
            error = 100 * (run["estimated_gib"] / run["peak_allocated_gib"] - 1)
            batch = f"{log['batch_size']} x {log['gradient_accumulation']}, {run['tokens_a_row']:,}"
            cells = (
                f"`{run['recipe']}`",
                log["backend"],
                batch,
                f"{log['trainable_parameters']:,}",
                f"{run['peak_allocated_gib']:.2f}",
                f"{run['estimated_gib']:.2f} ({error:+.0f} %)",
                f"{log['seconds_per_step']:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train all recipes, each run in a process of its own, and write down what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--backends", default="trl,unsloth")
    parser.add_argument("--recipes", default=",".join(SHAPES))
    parser.add_argument("--table", action="store_true", help="only print what the folder's files say")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, base, *further = args.one
        write_json(args.out, measure(name, Path(base), args.steps, further))
        return
    if args.table:
        print(table(args.out))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in args.recipes.split(","):
            base = Path(folder) / SHAPES[name]
            if not base.exists():
                make(str(quickstart_model()), base, SHAPES[name], four_bit=name in FOUR_BIT)
            runs = []
            for settings in runs_of(name, args.backends.split(",")):
                part = Path(folder) / "part.json"
                words = [str(part), "--steps", str(args.steps), "--one", name, str(base), *settings]
                done = subprocess.run([sys.executable, "-m", "benchmarks.gpu_recipes", *words], check=False)  # noqa: S603
                runs.append(read_json(part) if done.returncode == 0 else {"failed": done.returncode, "with": settings})
                brief = {
                    key: runs[-1].get(key) for key in ("recipe", "further_settings", "peak_allocated_gib", "failed")
                }
                print(json.dumps(brief), flush=True)
                write_json(
                    args.out / f"{name}.json",
                    {
                        "command": f"python -m benchmarks.gpu_recipes OUT-FOLDER --steps {args.steps}",
                        "runs": runs,
                        "environment": describe(device_of("cuda")),
                    },
                )


if __name__ == "__main__":
    main()
