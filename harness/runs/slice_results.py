"""The slices of a run's tasks by the columns of `scoring.slices`, with the scores and differences of all models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.comparison.slices import SlicedTask, SliceResults, compare_slices
from reports.comparison.slicing import group_items

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan
    from harness.scoring.kept_answers import Scored


def slice_results(plan: Plan, scored: Sequence[Scored]) -> SliceResults:
    """Score and compare all models by slice; pools of adapters are left out.

    Items are grouped as the baseline was asked them, so that all models have the same slices.
    """
    by_task: dict[str, dict[str, Scored]] = defaultdict(dict)
    for answers in scored:
        by_task[answers.task.name][answers.model] = answers
    tasks = []
    for name, answers_of in by_task.items():
        baseline = answers_of[plan.baseline.name]
        items = {sample.id: sample for sample in baseline.samples}
        lengths = {item: sample.question_length for item, sample in items.items()}
        groupings = {
            column: group_items(column, {item: sample.columns.get(column) for item, sample in items.items()}, lengths)
            for column in baseline.task.slices
        }
        samples = {model: answers.samples for model, answers in answers_of.items()}
        tasks.append(SlicedTask(name, baseline.metrics, samples, groupings))
    return compare_slices(tasks, plan.baseline.name, seed=plan.recipe.seed)
