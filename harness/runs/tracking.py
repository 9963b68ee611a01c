"""Reports the scores of a run's own checkpoints to the trackers that its training reported its losses to."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from reports.curve_tables import curve_metrics
from training.backends.tracked_runs import report_values
from training.log import read_log

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan
    from reports.document.schema import Results

_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_\-. :/]")  # what MLflow takes in no name


def report_scores(plan: Plan, results: Results) -> list[str]:
    """Report the scores of each training of the plan by step; returns a note for each tracker that failed."""
    notes: list[str] = []
    if not plan.recipe.trainer.trackers:
        return notes
    seeds = dict.fromkeys(model.seed for model in results.models if model.trained_here or model.seed is not None)
    for seed in seeds:
        folder, recipe = plan.folder, plan.recipe
        if seed is not None:
            folder = folder.of_seed(seed)
            recipe = recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update={"seed": seed})})
        values, log = scores_by_step(results, seed), read_log(folder.adapter)
        if values and log is not None:
            notes += report_values(recipe, folder.path, log.fingerprint, log.tracker_runs, values)
    return list(dict.fromkeys(notes))


def scores_by_step(results: Results, seed: int | None) -> dict[str, dict[str, float]]:
    """Main metrics of the run's own adapters, or of those of one of several seeds: by step, then by task and metric.

    Step 0 is the base, which an adapter without training does not change.
    """
    names = {
        model.step: model.name
        for model in reversed(results.models)
        if model.step is not None and (model.seed == seed if seed is not None else model.trained_here)
    }
    if not names:
        return {}
    base = next((model.name for model in results.models if model.kind == "base"), None)
    steps = ({} if base is None else {0: base}) | dict(sorted(names.items()))
    scores = results.scores_by_key()
    values: dict[str, dict[str, float]] = {}
    for step, name in steps.items():
        for task, metric in curve_metrics(results):
            score = scores.get((name, task.name, metric.key))
            if score is not None and score.value is not None and math.isfinite(score.value):
                key = _NOT_IN_NAMES.sub("_", f"scores/{task.name}/{metric.key}")
                values.setdefault(str(step), {})[key] = score.value
    return values
