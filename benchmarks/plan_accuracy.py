"""Compares `medbench plan`'s estimate for scoring the medical suite, or part of it, with the time that scoring takes.

    python -m benchmarks.plan_accuracy [--items 60 | --whole] [--rounds 3] [--allow-dirty]
        [--out benchmarks/results/plan_accuracy.json]

SmolLM2-135M, log-likelihoods of MedQA, MedMCQA, PubMedQA and MMLU; with `--whole` all nine tasks of the suite, with the
catalogue's numbers of items. Items are synthetic, with the typical lengths of the catalogue. Each scoring has an
estimate before and one after it in the same process, so that other work on the machine slows both; their mean counts.
Both are without the engine's start. Times mean something below a load of 2.5, or with OMP_NUM_THREADS=1, since threads
that wait for others are slowed the most. Exits with 1 if the median of measured / estimated is not within 30 % of 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import harness
from benchmarks.evidence import environment
from harness.engines import estimate
from harness.engines.layer_speed import layer_speed
from harness.planning.lm_tasks import load_tasks
from reports.files import write_json
from tasks.benchmarks import BENCHMARKS
from tasks.suites import SUITES
from tests import benchmark_data
from training.models.base_model import find_base_config
from training.models.device import pick_device
from training.recipes.recipe_file import QUICKSTART, load_recipe

TASKS = ["medqa_4options", "medmcqa", "medbench_pubmedqa", "mmlu_anatomy", "mmlu_professional_medicine"]
TOLERANCE = 0.3
_SAMPLES = Path(__file__).resolve().parent.parent / "tasks" / "samples" / "pubmedqa.json"


def main() -> None:
    """Print, and with a clean tree write, what was estimated and measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60, help="of each task")
    parser.add_argument("--whole", action="store_true", help="all tasks, with the catalogue's numbers of items")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--allow-dirty", action="store_true")
    args: Any = parser.parse_args()
    facts = environment(allow_dirty=args.allow_dirty or args.out is None)
    with tempfile.TemporaryDirectory() as folder:
        counts = _whole() if args.whole else dict.fromkeys(TASKS, args.items)
        changes = settings(Path(folder), counts)
        rounds = [_round(list(counts), changes, Path(folder) / f"run-{number}") for number in range(args.rounds)]
    ratio = statistics.median(one["measured_seconds"] / one["estimated_seconds"] for one in rounds)
    holds = abs(ratio - 1) <= TOLERANCE
    for one in rounds:
        print(
            f"estimated {one['estimated_seconds']:.1f} s, measured {one['measured_seconds']:.1f} s;"
            f" estimated {one['estimated_tokens']:.0f} tokens, read {one['read_tokens']}; load {one['load']:.2f}"
        )
    print(f"measured / estimated: {ratio:.2f}; {'within' if holds else 'not within'} {TOLERANCE:.0%}")
    if args.out:
        about = {
            "device": pick_device().name(),
            "threads": torch.get_num_threads(),
            "items": counts,
            "rounds": rounds,
            "ratio": ratio,
            "holds": holds,
        }
        write_json(args.out, {**about, "environment": facts})
    sys.exit(0 if holds else 1)


def _whole() -> dict[str, int]:
    """Items of each task of the medical suite."""
    return {task: BENCHMARKS[task].items or 0 for task in SUITES["medical"].tasks}


def settings(folder: Path, counts: dict[str, int]) -> list[str]:
    """Settings of the quickstart for synthetic items of the catalogue's lengths, so many of each task."""
    medqa, medmcqa, pubmedqa = benchmark_data.medqa(), benchmark_data.medmcqa(), benchmark_data.pubmedqa()
    subjects = [task.removeprefix("mmlu_") for task in counts if task.startswith("mmlu_")]
    sets = {
        "GBaker/MedQA-USMLE-4-options-hf": {"default": _long("medqa_4options", medqa, "sent1", counts)},
        "openlifescienceai/medmcqa": {"default": _long("medmcqa", medmcqa, "question", counts)},
        "cais/mmlu": {
            subject: _long(f"mmlu_{subject}", benchmark_data.mmlu(subject), "question", counts) for subject in subjects
        },
    }
    splits = ("train", "validation", "test", "dev")
    folders = {
        name: str(
            benchmark_data.write(
                folder / name.replace("/", "--"),
                {config: dict.fromkeys(splits, rows) for config, rows in configs.items()},
            )
        )
        for name, configs in sets.items()
    }
    rows = _long("medbench_pubmedqa", pubmedqa, "context", counts)
    real = benchmark_data.write(folder / "pubmedqa", {"pqa_labeled": {"train": rows}})
    return [
        f"data.folders={json.dumps(folders)}",
        f"data.pubmedqa={{source: {real}, config: pqa_labeled, ids: all}}",
        "scoring.noise_items=0",
        "scoring.limits={}",
    ]


def _long(task: str, rows: list[dict[str, Any]], column: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    """The rows of a task, whose texts have the typical length of a task, give or take a third."""
    words = [
        word
        for item in json.loads(_SAMPLES.read_text(encoding="utf-8")).values()
        for text in item["CONTEXTS"]
        for word in text.split()
    ]
    made = []
    for number in range(counts[task]):
        row = dict(rows[number % len(rows)])
        draw = random.Random(f"{task} {number}")  # noqa: S311 - not for secrets
        left = int(BENCHMARKS[task].characters * draw.uniform(2 / 3, 4 / 3)) - len(str(list(row.values())))
        start = draw.randrange(len(words))
        text = f"Item {number}. "
        while len(text) < left:
            text += words[(start := start + 1) % len(words)] + " "
        row[column] = {**row[column], "contexts": [text]} if column == "context" else text + row[column]
        made.append(row | {key: 1000 + number for key in ("id", "pubid") if key in row})
    return made


def _round(tasks: list[str], changes: list[str], out: Path) -> dict[str, float]:
    """Estimate and measure once."""
    loaded = load_recipe(QUICKSTART, changes)
    device = pick_device()
    base = find_base_config(loaded.model)
    dtype = device.default_dtype(loaded.model.dtype)
    works = [estimate.work_of(task, base) for task in load_tasks(tasks, loaded, base)]

    def estimated() -> float:
        layer_speed.cache_clear()  # measured again, since the machine may be busier
        return sum(estimate.task_seconds(work, base, device, dtype) for work in works)

    load, before = os.getloadavg()[0], estimated()
    results = harness.score(models="base", tasks=tasks, out=out, settings=changes, quiet=True, again=True)
    return {
        "load": load,
        "estimated_seconds": (before + estimated()) / 2,
        "measured_seconds": results.stages["score"] - results.engine["start_seconds"],
        "engine_seconds": sum(cost.seconds for cost in results.costs),
        "estimated_tokens": sum(work.read for work in works),
        "read_tokens": sum(cost.prompt_tokens for cost in results.costs),
    }


if __name__ == "__main__":
    main()
