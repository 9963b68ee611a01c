"""Pools adapters that were trained alike with several seeds into one model: mean, spread and paired comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.scoring.noise import NoiseMeter, with_noise
from reports.comparison import statistics
from reports.document.schema import Comparison, MetricInfo, ModelInfo, Score
from reports.files import sha256_value

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan
    from harness.scoring.kept_answers import Scored


@dataclass(frozen=True)
class Pooled:
    """What all pools of a run add to its results."""

    models: list[ModelInfo] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)


def pool_models(
    plan: Plan, scored: Sequence[Scored], metrics: dict[tuple[str, str], MetricInfo], noise: NoiseMeter | None
) -> Pooled:
    """Score and compare every pool of the plan.

    The figure is the mean of the members' figures; its interval and test take both kinds of chance into account: which
    items were asked, and which seeds were trained with.
    """
    found = Pooled()
    by_model = {(each.model, each.task.name): each for each in scored}
    for name, members in plan.pools.items():
        pair = []
        for loaded in plan.tasks:
            several = [by_model[member, loaded.name] for member in members]
            baseline = by_model[plan.baseline, loaded.name]
            for metric in baseline.metrics:
                figures = [each.figures[metric.key] for each in several if metric.key in each.figures]
                if len(figures) < len(members):
                    continue
                mean, seed = sum(figures) / len(figures), plan.recipe.seed
                apart = [each.samples for each in several]
                found.scores.append(statistics.score_pool(metric, name, apart, mean, seed=seed))
                comparison, _ = statistics.compare_pool(metric, baseline.samples, name, apart, seed=seed)
                pair.append(with_noise(comparison, metric, noise, members))
        found.comparisons.extend(statistics.judge(pair, metrics))
        found.models.append(
            ModelInfo(
                name=name,
                kind="pool",
                source=f"mean of {', '.join(members)}",
                sha256=sha256_value([plan.adapters[member].sha256 for member in members]),
                weights=plan.weights,
                members=members,
            )
        )
    return found
