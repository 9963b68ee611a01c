"""Pools adapters that were trained alike with several seeds into one model: mean, spread and paired comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reports.comparison import compare_models
from reports.comparison.compare_models import Tested
from reports.document.schema import ModelInfo, Score
from reports.files import sha256_value
from training.models.model import OWN_ADAPTER

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan
    from harness.scoring.kept_answers import Scored


@dataclass(frozen=True)
class Pooled:
    """What all pools of a run add to its results."""

    models: list[ModelInfo] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)


def seed_name(seed: int) -> str:
    """Name in results of the adapter of one seed."""
    return f"seed-{seed}"


def pool_name(name: str) -> str:
    """Name in results of the mean over the seeds of the recipe's own adapter, or of one of its checkpoints."""
    return f"{name}-mean"


def own_names(plan: Plan) -> set[str]:
    """Names of the recipe's own adapter, of that of each seed, and of their mean."""
    seeds = {seed_name(model.seed) for model in plan.models if model.seed is not None}
    return {OWN_ADAPTER, pool_name(OWN_ADAPTER), *seeds}


def pool_models(plan: Plan, scored: Sequence[Scored]) -> Pooled:
    """Score every pool of the plan, and compare it, before the correction over all compared models.

    The score is the mean of the members' scores; its interval and test take both kinds of chance into account: which
    items were asked, and which seeds were trained with.
    """
    pooled = Pooled()
    by_model = {(one.model, one.task.name): one for one in scored}
    for name, members in plan.pools.items():
        for loaded in plan.tasks:
            several = [by_model[member.name, loaded.name] for member in members]
            baseline = by_model[plan.baseline.name, loaded.name]
            for metric in baseline.metrics:
                figures = [member.figures[metric.key] for member in several if metric.key in member.figures]
                if len(figures) < len(members):
                    continue
                mean = sum(figures) / len(figures)
                apart = [member.samples for member in several]
                pooled.scores.append(compare_models.score_pool(metric, name, apart, mean))
                pooled.tested.append(compare_models.compare_pool(metric, baseline.samples, name, apart)[0])
        part = plan.part_of(members[0])
        pooled.models.append(
            ModelInfo(
                name=name,
                kind="pool",
                source=f"mean of {', '.join(member.name for member in members)}",
                sha256=sha256_value([[member.sha256, member.config_sha256] for member in members]),
                weights=part.weights,
                quantized_share=part.weight_format.share,
                training_data=plan.training_data(name),
                members=[member.name for member in members],
                step=members[0].step if len({member.step for member in members}) == 1 else None,
            )
        )
    return pooled
