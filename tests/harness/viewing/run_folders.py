"""Run folders whose results have only what the view shows."""

import json

from reports.document.reading import write_results
from reports.document.schema import Comparison, MetricInfo, ModelInfo, Score, TaskInfo
from tests.reports.skeleton import results_of

ACCURACY = MetricInfo(key="acc", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
QUIZ = TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY], label="quiz")


def model_of(name, source, sha256="a" * 64):
    return ModelInfo(name=name, kind="base" if name == "base" else "adapter", source=source, sha256=sha256, weights="")


def score_of(model, value):
    return Score(model=model, task="quiz", metric="acc", value=value, low=value - 0.1, high=value + 0.1, n=50)


def write_run(folder, day="2026-03-01", base="tiny-lm", values=(0.5, 0.7), outcome="better", model="adapter", **parts):
    """Write the results of a base and an adapter on 50 questions of a quiz, and a report with the folder's name.

    Args:
        folder: The run folder.
        day: When it was scored.
        base: Source of the base.
        values: Accuracy of base and adapter; of the base alone if there is one.
        outcome: Of the comparison.
        model: Name of the adapter.
        parts: Further parts of the results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ["base", model][: len(values)]
    pair = {"task": "quiz", "metric": "acc", "baseline": "base", "candidate": model, "n": 50, "outcome": outcome}
    difference = values[-1] - values[0]
    compared = Comparison(**pair, difference=difference, low=difference - 0.1, high=difference + 0.1, level=0.05)
    defaults = {
        "name": folder.name,
        "created": f"{day}T10:00:00+00:00",
        "medbench_version": "0.1.0",
        "environment": {"git_commit": "c0ffee123456"},
        "models": [model_of(name, base, f"{folder.name} {name}") for name in names],
        "tasks": [QUIZ],
        "scores": [score_of(name, value) for name, value in zip(names, values, strict=True)],
        "comparisons": [compared] if len(values) > 1 else [],
        "verdict": [f"Compared with base, {model} is {outcome} in Accuracy."],
        "reproduction": {
            "engine": "transformers",
            "quantization": "none",
            "train_dtype": "float32",
            "score_dtype": "float32",
            "batching": "padded",
            "tokenizer_sha256": "t",
            "golds": {"quiz": "same questions"},
        },
    }
    write_results(folder, results_of(**(defaults | parts)))
    (folder / "report.html").write_text(f"<!doctype html><title>{folder.name}</title><h1>Report of {folder.name}</h1>")
    return folder


def write_baseline(folder, run):
    """Make a stored baseline of a run, as far as the view looks at it."""
    write_run(folder, name=run, values=(0.7,))
    results = json.loads((folder / "results.json").read_text())
    results["models"][0] |= {"name": "adapter", "kind": "adapter", "sha256": f"{run} adapter"}
    results["scores"][0]["model"] = results["baseline"] = "adapter"
    del results["checksum"]
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "baseline.json").write_text("{}")
    (folder / "report.html").unlink()
