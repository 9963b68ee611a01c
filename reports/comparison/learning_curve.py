"""Turning points of a training: main metrics in which a later checkpoint is worse than an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from reports.comparison.compare_models import Tested, compare, judge
from reports.comparison.sums import ScoredItem
from reports.document.learning_curve import LearningCurve
from reports.document.schema import Comparison, MetricInfo, ModelInfo, TaskInfo

MOST_COMPARED = 12  # checkpoints; more than 66 pairs in each metric would take long and find little


def main_metrics(task: TaskInfo) -> list[MetricInfo]:
    """The metrics of a task by which checkpoints are compared: those with a better direction that are tested."""
    return [metric for metric in task.metrics if metric.sign and metric.is_main]


def learning_curve(
    models: Sequence[ModelInfo],
    tasks: Sequence[TaskInfo],
    samples: Mapping[tuple[str, str], Sequence[ScoredItem]],
    *,
    seed: int,
    own: str = "",
) -> LearningCurve | None:
    """The learning curve of a run's own training, or None with fewer than two of its steps.

    Every later checkpoint is compared with every earlier one in every main metric by the paired test that compares
    models (`compare`), on the items that both answered. All these tests are one family of Holm's correction (`judge`),
    so the probability of any false turn is at most 5 %. Of more than `MOST_COMPARED` checkpoints only evenly spaced
    ones are compared.

    Args:
        models: All models; two of the same step have the same weights, and the first is taken.
        tasks: The tasks.
        samples: Samples by model and task.
        seed: Seed of the bootstrap.
        own: Name of the training's own adapter, which may be that of any step; empty if it is not scored.
    """
    names: dict[int, str] = {}
    for model in models:
        if model.step is not None:
            names.setdefault(model.step, model.name)
    steps = sorted(names)
    if len(steps) < 2:  # noqa: PLR2004 - one is no curve
        return None
    compared = spread(steps)
    tested = [
        compare(metric, samples[names[first], task.name], samples[names[second], task.name], seed=seed)[0]
        for task in tasks
        for metric in main_metrics(task)
        for first, second in combinations(compared, 2)
        if all((names[step], task.name) in samples for step in (first, second))
    ]
    return LearningCurve(
        steps=steps,
        models=[names[step] for step in steps],
        shown=own if own in names.values() else names[steps[-1]],
        compared=compared,
        tests=sum(test.inference is not None for test in tested),
        turns=_turns(tested, [names[step] for step in compared]),
    )


def spread(steps: Sequence[int]) -> list[int]:
    """The steps, or `MOST_COMPARED` evenly spaced ones of more, with the first and the last."""
    places = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_COMPARED)).round().astype(int))
    return [steps[place] for place in places]


def _turns(tested: Sequence[Tested], models: Sequence[str]) -> list[Comparison]:
    """For each metric the first model that is worse than an earlier one, compared with the best of those."""
    signs = {(test.comparison.task, test.comparison.metric): test.metric.sign for test in tested}
    worse: dict[tuple[str, str], list[Comparison]] = {}
    for pair in judge(tested, plan=False):
        if pair.outcome == "worse":
            worse.setdefault((pair.task, pair.metric), []).append(pair)
    turns = []
    for key, pairs in worse.items():
        first = min((pair.candidate for pair in pairs), key=models.index)
        losses = {signs[key] * (pair.difference or 0.0): pair for pair in pairs if pair.candidate == first}
        turns.append(losses[min(losses)])
    return turns
