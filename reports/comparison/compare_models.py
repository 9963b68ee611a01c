"""Scores with intervals, paired comparisons and their outcomes, from per-sample values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.comparison.inference import LEVEL, Inference
from reports.comparison.metric_inference import MIN_CLUSTERS, SHARES, difference, one_model
from reports.comparison.multiplicity import corrected
from reports.comparison.outcome import outcome_of, units_needed
from reports.comparison.pools import Pool, pool, pool_inference, with_shared_values
from reports.comparison.sums import (
    ScoredItem,
    cluster_by_item,
    clusters_from_samples,
    label_count,
    value_of_clusters,
    value_of_samples,
    with_value,
)
from reports.document.checks import MOST_NUMBER
from reports.document.schema import Comparison, MetricInfo, Outcome, Score


@dataclass(frozen=True)
class Tested:
    """A comparison before the multiplicity correction, which decides level, interval and outcome.

    Attributes:
        comparison: The fields that do not depend on the level.
        metric: The compared metric.
        inference: Interval and test of the difference, or None if nothing could be tested.
    """

    comparison: Comparison
    metric: MetricInfo
    inference: Inference | None = None


def score(metric: MetricInfo, samples: Sequence[ScoredItem], reported: float | None, *, seed: int) -> Score:
    """A metric's score with its 95 % interval; see `metric_inference.one_model` for the kind of interval.

    Args:
        metric: The metric to compute.
        samples: The samples of one model on one task; repeats of an item are averaged.
        reported: lm-eval's own score, which the tables show unless it is None or items have several answers.
        seed: Seed of the bootstrap.
    """
    usable = with_value(metric, samples) if metric.kind != "other" else []
    clusters = clusters_from_samples(metric, usable) if usable else None
    by_repeat = _repeat_scores(metric, usable)
    if clusters is not None and (len(by_repeat) > 1 or reported is None):  # lm-eval scores the first answers only
        reported = value_of_clusters(metric.kind, clusters.table)
    inference = None if clusters is None else one_model(metric, clusters, seed=seed)
    count = len({sample.id for sample in samples}) if clusters is None else clusters.items
    return _score(metric, samples, reported, inference, count, by_repeat)


def score_pool(metric: MetricInfo, name: str, members: Sequence[Sequence[ScoredItem]], reported: float | None) -> Score:
    """The mean of several adapters' scores with its 95 % interval, which their spread widens.

    Args:
        metric: The metric to compute.
        name: Name of the pool.
        members: Each adapter's samples on one task.
        reported: Mean of lm-eval's own scores, shown if items have no values to compute it from.
    """
    shared = with_shared_values(metric, members) if metric.kind != "other" else [[]]
    pooled = pool(metric, shared) if shared[0] else None
    everyone = [sample for samples in members for sample in samples]
    if pooled is None:
        scored = _score(metric, everyone, reported, None, len({sample.id for sample in everyone}), [])
    else:
        inference = _pool_inference(metric, None, pooled)
        scored = _score(metric, everyone, pooled.score, inference, pooled.items, pooled.scores)
    return scored.model_copy(update={"model": name})


def _score(
    metric: MetricInfo,
    samples: Sequence[ScoredItem],
    value: float | None,
    inference: Inference | None,
    items: int,
    parts: Sequence[float],
) -> Score:
    """A score with its interval, and the spread of the parts whose mean it is."""
    low, high = finite_ends(inference, LEVEL)
    return Score(
        model=samples[0].model,
        task=samples[0].task,
        metric=metric.key,
        value=None if value is None else finite(value),
        low=low,
        high=high,
        n=items,
        repeats=max(1, len(parts)),
        spread=finite(float(np.std(parts, ddof=1))) if len(parts) > 1 else None,
        caution=inference.caution if inference is not None else "",
    )


def _repeat_scores(metric: MetricInfo, samples: Sequence[ScoredItem]) -> list[float]:
    """The score of the first answers to all items, of the second, and so on."""
    values: dict[int, list[Any]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.id):  # a fixed order, so that sums round the same way
        values[sample.repeat].append(sample.metrics[metric.key])
    return [value_of_samples(metric.kind, answers) for _, answers in sorted(values.items())]


def compare(
    metric: MetricInfo, baseline: Sequence[ScoredItem], candidate: Sequence[ScoredItem], *, seed: int
) -> tuple[Tested, list[str]]:
    """Compare two models on the items that both answered; `judge` gives the outcome.

    The test is that of `metric_inference.difference`.

    Args:
        metric: The metric to compare.
        baseline: One model's samples.
        candidate: The other's; repeats of an item are averaged.
        seed: Seed of the bootstrap.

    Returns:
        The comparison, and the ids of items that only one answered.
    """
    left, right, unpaired = _paired(metric, baseline, candidate)
    draft = _draft(metric, baseline[0], candidate[0].model, left)
    if draft.outcome == "not compared":
        return Tested(draft, metric), unpaired
    labels, clusters = label_count(metric, left, right), cluster_by_item(left, right)
    before, after = (clusters_from_samples(metric, side, labels=labels, clusters=clusters) for side in (left, right))
    old, new = (value_of_clusters(metric.kind, side.table) for side in (before, after))
    draft = _with_facts(metric, draft, len(before.table), old, new)
    draft = draft.model_copy(update={"differing": int((before.by_item != after.by_item).any(1).sum())})
    if metric.kind in SHARES and before.is_plain and after.is_plain:
        change = after.table[:, 0] - before.table[:, 0]
        draft = draft.model_copy(update={"discordant": (int((change > 0).sum()), int((change < 0).sum()))})
    return Tested(draft, metric, difference(metric, before, after, seed=seed)), unpaired


def compare_pool(
    metric: MetricInfo, baseline: Sequence[ScoredItem], name: str, members: Sequence[Sequence[ScoredItem]]
) -> tuple[Tested, list[str]]:
    """Compare a model with the mean of several adapters, by a t-test over items and adapters.

    Args:
        metric: The metric to compare.
        baseline: The model's samples.
        name: Name of the pool.
        members: Each adapter's samples.

    Returns:
        As `compare`; the difference is the mean of the adapters' differences.
    """
    return compare_pools(metric, (baseline[0].model, [baseline]), (name, members))


def compare_pools(
    metric: MetricInfo,
    baseline: tuple[str, Sequence[Sequence[ScoredItem]]],
    candidate: tuple[str, Sequence[Sequence[ScoredItem]]],
) -> tuple[Tested, list[str]]:
    """Compare the means of two pools, whose members are paired by their seeds, by a t-test over items and seeds.

    Args:
        metric: The metric to compare.
        baseline: Name of the pool and each member's samples; or a single model, which all members are paired with.
        candidate: Name of the other pool and its members' samples, in the same order.

    Returns:
        As `compare`; the difference is the mean of the members' differences.
    """
    (name, old), (new_name, new) = baseline, candidate
    old, new = with_shared_values(metric, old), with_shared_values(metric, new)
    left, _, unpaired = _paired(metric, _together(old), _together(new))
    draft = _draft(metric, baseline[1][0][0], new_name, left).model_copy(update={"baseline": name})
    if draft.outcome == "not compared":
        return Tested(draft, metric), unpaired
    shared = {sample.id for sample in left}
    old, new = ([[one for one in samples if one.id in shared] for samples in side] for side in (old, new))
    clusters = cluster_by_item(_together(old), _together(new))
    before, after = pool(metric, old, clusters=clusters), pool(metric, new, clusters=clusters)
    draft = _with_facts(metric, draft, len(before.table), before.score, after.score)
    if metric.kind == "ece":
        return Tested(draft, metric), unpaired
    return Tested(draft, metric, _pool_inference(metric, before, after)), unpaired


def _together(members: Sequence[Sequence[ScoredItem]]) -> list[ScoredItem]:
    return [sample for samples in members for sample in samples]


def _pool_inference(metric: MetricInfo, before: Pool | None, after: Pool) -> Inference | None:
    if len(after.table) < MIN_CLUSTERS or metric.kind == "ece":
        return None
    return pool_inference(metric, before, after)


def _draft(metric: MetricInfo, baseline: ScoredItem, candidate: str, paired: Sequence[ScoredItem]) -> Comparison:
    """A comparison without numbers; `not compared` if nothing is paired."""
    return Comparison(
        task=baseline.task,
        metric=metric.key,
        baseline=baseline.model,
        candidate=candidate,
        n=len({sample.id for sample in paired}),
        difference=None,
        outcome="not compared" if metric.kind == "other" or not paired else "inconclusive",
    )


def _with_facts(metric: MetricInfo, draft: Comparison, units: int, old: float, new: float) -> Comparison:
    """The comparison with its difference, its units and the smallest relevant difference."""
    relevant = finite(metric.relevant * (1.0 if metric.is_share else abs(old or new)))
    return draft.model_copy(update={"difference": finite(new - old), "units": units, "relevant": relevant})


def _paired(
    metric: MetricInfo, baseline: Sequence[ScoredItem], candidate: Sequence[ScoredItem]
) -> tuple[list[ScoredItem], list[ScoredItem], list[str]]:
    """Both models' samples of the items that both answered and that are unchanged, and the ids of all other items."""
    left, right = (with_value(metric, samples) for samples in (baseline, candidate))
    hashes, others = ({sample.id: sample.doc_hash for sample in samples} for samples in (left, right))
    both = {key for key, value in hashes.items() if others.get(key) == value}
    left, right = ([sample for sample in samples if sample.id in both] for samples in (left, right))
    return left, right, sorted((set(hashes) | set(others)) - both)


def judge(tested: Sequence[Tested], *, others: int = 0, apart: bool = False, plan: bool = True) -> list[Comparison]:
    """Give each comparison its corrected level, its interval at that level, and the outcome read off it.

    All primary metrics of all compared models are one family, all secondary ones another, so that no number of adapters
    or metrics raises the chance of a false "better" or "worse" above 5 % in either. Descriptive metrics are not tested;
    their intervals are at 95 %.

    Args:
        tested: The comparisons.
        others: Number of further hypotheses in the family of the primary metrics that are not listed.
        apart: Whether secondary metrics count as primary.
        plan: Whether to compute how many items would decide an inconclusive comparison.
    """
    judged = [judge_at(test, LEVEL, None, plan=plan) for test in tested]
    for secondary in (False, True):
        family = [
            (place, test.inference)
            for place, test in enumerate(tested)
            if test.inference is not None
            and not test.metric.descriptive
            and (test.metric.secondary and not apart) == secondary
        ]
        more = 0 if secondary else others
        p_values = [inference.p_value() for _, inference in family]
        least = [inference.least_p for _, inference in family]
        results = corrected([*p_values, *[1.0] * more], [*least, *[0.0] * more])[: len(family)]
        for (place, _), p_value, (p_adjusted, level) in zip(family, p_values, results, strict=True):
            judged[place] = judge_at(tested[place], level, (p_value, p_adjusted), plan=plan)
    return judged


def judge_at(tested: Tested, level: float, p_values: tuple[float, float] | None, *, plan: bool) -> Comparison:
    """Judge a comparison at its level; without p-values (own and corrected) it was not tested."""
    draft, metric, inference = tested.comparison, tested.metric, tested.inference
    if draft.outcome == "not compared":
        return draft
    if inference is None:
        outcome: Outcome = "not tested" if metric.descriptive or metric.kind == "ece" else "inconclusive"
        few = f"fewer than {MIN_CLUSTERS} items" if (draft.units or 0) < MIN_CLUSTERS else "no interval can be computed"
        caution = "" if outcome == "not tested" else few
        if draft.differing == 0:
            return draft.model_copy(update={"outcome": "identical"})
        return draft.model_copy(update={"outcome": outcome, "caution": caution})
    low, high = finite_ends(inference, level)
    units_here = draft.units or 1
    update: dict[str, Any] = {
        "low": low,
        "high": high,
        "level": level,
        "standard_error": finite(inference.standard_error),
        "degrees_of_freedom": finite(inference.degrees_of_freedom),
        "caution": inference.caution,
        "effect_size": _effect_size(draft, inference),
        "outcome": outcome_of(low, high, sign=metric.sign, margin=draft.relevant or 0.0),
    }
    if draft.differing == 0:
        update |= {"outcome": "identical", "caution": ""}
    if p_values is None:
        return draft.model_copy(update=update | {"outcome": "identical" if draft.differing == 0 else "not tested"})
    update |= {"p_value": p_values[0], "p_adjusted": p_values[1], "test": inference.test}
    if plan and update["outcome"] == "inconclusive" and draft.relevant:
        needed = units_needed(inference, units_here, draft.relevant, level)
        update["items_needed"] = None if needed is None else math.ceil(needed * draft.n / units_here)
    return draft.model_copy(update=update)


def _effect_size(draft: Comparison, inference: Inference) -> float | None:
    """Cohen's g for right/wrong metrics, else Cohen's d of the paired differences."""
    if draft.discordant is not None:
        gained, lost = draft.discordant
        return gained / (gained + lost) - 0.5 if gained + lost else 0.0
    error = inference.standard_error
    return finite(inference.estimate / (error * math.sqrt(draft.units or 1))) if error > 0 else 0.0


def finite_ends(inference: Inference | None, level: float) -> tuple[float | None, float | None]:
    """Ends of an interval, or (None, None) if there is none or its ends are equal."""
    if inference is None:
        return None, None
    low, high = inference.ends(level)
    return (finite(low), finite(high)) if low < high else (None, None)


def finite(value: float) -> float | None:
    """The value, or None if it is not a number, infinite, or too large for a results document."""
    return float(value) if abs(value) <= MOST_NUMBER else None
