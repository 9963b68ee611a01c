"""Turning points of a training: main metrics in which a later checkpoint is worse than an earlier one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from reports.comparison.compare_models import Tested, compare, compare_pools, judge
from reports.comparison.sums import ScoredItem
from reports.document.learning_curve import LearningCurve, SeedCurve
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
    own: Collection[str] = (),
) -> LearningCurve | None:
    """The learning curve of a run's own training, or None with fewer than two of its steps.

    Every later checkpoint is compared with every earlier one in every main metric by the paired test that compares
    models (`compare`), on the items that both answered. With several seeds, the curve is that of the means over the
    seeds, of the steps that all seeds have; these are compared by the paired test of pools (`compare_pools`), which
    pairs the checkpoints of each seed. All these tests are one family of Holm's correction (`judge`), so the
    probability of any false turn is at most 5 %. Of more than `MOST_COMPARED` checkpoints only evenly spaced ones are
    compared.

    Args:
        models: All models and pools; two of the same step have the same weights, and the first is taken.
        tasks: The tasks.
        samples: Samples by model and task.
        seed: Seed of the bootstrap.
        own: Names of the trainings' own adapters and of their mean, which may be those of any step.
    """
    seeds = _seed_curves(models, own)
    members = {model.name: model.members if seeds else [model.name] for model in models}
    names = _by_step(model for model in models if not seeds or model.kind == "pool")
    steps = [*names]
    if len(steps) < 2:  # noqa: PLR2004 - one is no curve
        return None
    compared = spread(steps)
    tested = []
    for task in tasks:
        samples_of = {
            step: [samples[member, task.name] for member in members[names[step]] if (member, task.name) in samples]
            for step in compared
        }
        tested += [
            _compare(metric, (names[first], samples_of[first]), (names[second], samples_of[second]), seed=seed)
            for metric in main_metrics(task)
            for first, second in combinations(compared, 2)
            if all(len(samples_of[step]) == len(members[names[step]]) for step in (first, second))
        ]
    turns, last = _turns(tested, [names[step] for step in compared])
    return LearningCurve(
        steps=steps,
        models=[*names.values()],
        shown=_shown(names, own),
        compared=compared,
        tests=sum(test.inference is not None for test in tested),
        turns=turns,
        last=last,
        seeds=seeds,
    )


def _by_step(models: Iterable[ModelInfo]) -> dict[int, str]:
    """The first model of each step, in the order of the steps."""
    names: dict[int, str] = {}
    for model in models:
        if model.step is not None:
            names.setdefault(model.step, model.name)
    return dict(sorted(names.items()))


def _shown(names: Mapping[int, str], own: Collection[str]) -> str:
    return next((name for name in names.values() if name in own), [*names.values()][-1])


def _seed_curves(models: Sequence[ModelInfo], own: Collection[str]) -> list[SeedCurve]:
    """The checkpoints of each seed; none without several seeds."""
    curves = []
    for seed in dict.fromkeys(model.seed for model in models if model.seed is not None):
        names = _by_step(model for model in models if model.seed == seed)
        if names:
            adapters, shown = [*names.values()], _shown(names, own)
            curves.append(SeedCurve(seed=seed, steps=[*names], models=adapters, shown=shown))
    return curves


def _compare(
    metric: MetricInfo,
    earlier: tuple[str, Sequence[Sequence[ScoredItem]]],
    later: tuple[str, Sequence[Sequence[ScoredItem]]],
    *,
    seed: int,
) -> Tested:
    """Compare two steps, each given as its name and the samples of its adapter, or of that of each seed."""
    if len(earlier[1]) == len(later[1]) == 1:
        return compare(metric, earlier[1][0], later[1][0], seed=seed)[0]
    return compare_pools(metric, earlier, later)[0]


def spread(steps: Sequence[int]) -> list[int]:
    """The steps, or `MOST_COMPARED` evenly spaced ones of more, with the first and the last."""
    places = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_COMPARED)).round().astype(int))
    return [steps[place] for place in places]


def _turns(tested: Sequence[Tested], models: Sequence[str]) -> tuple[list[Comparison], list[Comparison]]:
    """For each metric the first model that is worse than an earlier one, and the last model if it is.

    Both compared with the best of those earlier ones.
    """
    signs = {(test.comparison.task, test.comparison.metric): test.metric.sign for test in tested}
    worse: dict[tuple[str, str], list[Comparison]] = {}
    for pair in judge(tested, plan=False):
        if pair.outcome == "worse":
            worse.setdefault((pair.task, pair.metric), []).append(pair)
    turns: list[Comparison] = []
    last: list[Comparison] = []
    for key, pairs in worse.items():
        first = min((pair.candidate for pair in pairs), key=models.index)
        for model, chosen in ((first, turns), (models[-1], last)):
            losses = {signs[key] * (pair.difference or 0.0): pair for pair in pairs if pair.candidate == model}
            chosen.extend([losses[min(losses)]] if losses else [])
    return turns, last
