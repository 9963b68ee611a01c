"""An adapter that learned one label beside one that forgot nothing: gain, loss, verdict and gate, on a real model.

    python -m benchmarks.planted_forgetter --out benchmarks/results/planted_forgetter.json

Both adapters are trained on rows whose answer is always yes: one with a learning rate that destroys what
SmolLM2-135M-Instruct knew, the other with one that changes little. The retention sets are synthetic, in the schemas of
the public ones (`tests.common_sense`). Ends with 1 unless the default gate blocks the forgetter for its loss, and the
other by no rule about retention.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
from benchmarks.evidence import environment
from reports.comparison.adapter_cost import cost_sentences
from reports.document.reading import read_results
from reports.files import write_json
from tests.common_sense import write_recipe

RATES = {"forgetter": 2e-2, "keeper": 1e-5}
ROW = "no regression: retention/mean_accuracy"


def plant(folder: Path, base: str, rate: float, steps: int) -> dict[str, Any]:
    """Train one adapter, score it and the base, gate it; what report and gate say.

    Args:
        folder: An empty folder.
        base: The base model.
        rate: Learning rate.
        steps: Optimizer steps.
    """
    recipe = write_recipe(folder, base, learning_rate=rate, max_steps=steps)
    harness.run(str(recipe), out=folder / "run", quiet=True)
    report = harness.gate(folder / "run", quiet=True)
    results = read_results(folder / "run")
    scores = results.scores_by_key()
    return {
        "learning_rate": rate,
        "sentence": cost_sentences(results)[0],
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "rules": {rule.name: [rule.verdict, rule.reason] for rule in report.rules},
        "scores": {
            f"{model}, {task}": score.value
            for (model, task, metric), score in scores.items()
            if metric in ("acc", "accuracy", "mean_accuracy")
        },
    }


def main() -> None:
    """Plant both and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--allow-dirty", action="store_true")
    args: Any = parser.parse_args()
    facts, start = environment(allow_dirty=args.allow_dirty), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        seen = {
            name: plant(Path(folder) / name, "smollm2-135m-instruct", rate, args.steps) for name, rate in RATES.items()
        }
    seconds = round(time.perf_counter() - start, 1)
    write_json(args.out, {"environment": facts, "seconds": seconds, "steps": args.steps, **seen})
    blocked = seen["forgetter"]["exit_code"] == 1 and seen["forgetter"]["rules"][ROW][0] == "fail"
    kept = [verdict for name, (verdict, _) in seen["keeper"]["rules"].items() if "retention" in name]
    sys.exit(0 if blocked and "fail" not in kept else 1)


if __name__ == "__main__":
    main()
