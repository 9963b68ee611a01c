"""Numerical noise: changed values, and shifts of scores and differences, in another arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reports.comparison.compare_models import finite
from reports.comparison.counts import exact_share
from reports.comparison.inference import LEVEL
from reports.comparison.proportions import score_interval, upper_discordance
from reports.comparison.sums import (
    Clusters,
    ScoredItem,
    aggregator,
    cluster_by_item,
    clusters_from_samples,
    label_count,
    with_value,
)
from reports.document.evidence import Flips, ModelNoise, Noise, Shift
from reports.document.schema import MetricInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reports.comparison.sums import Table

Pair = tuple[Sequence[ScoredItem], Sequence[ScoredItem]]  # items as scored in the run, and as re-scored


class _Interval(NamedTuple):
    value: float
    low: float
    high: float


def flips(changed: int, items: int) -> Flips:
    """The flip rate with its exact 95 % interval and one-sided limit (Clopper and Pearson 1934).

    Args:
        changed: Number of items whose value changed.
        items: Number of items, at least 1.
    """
    low, high = exact_share(changed, items).ends(LEVEL)
    return Flips(changed=changed, items=items, low=low, high=high, limit=upper_discordance(changed, items))


def model_noise(metric: MetricInfo, pair: Pair) -> ModelNoise | None:
    """Flips and shift of one model's score, or None if the metric has no finite values of re-scored items.

    Args:
        metric: The metric to compare.
        pair: The model's samples of the run, and those in the other arithmetic; items in only one of them are ignored.
    """
    aligned = _aligned(metric, [pair])
    if not aligned:
        return None
    shift = _shift(metric, aligned, None)
    if shift is None:
        return None
    sample = aligned[0][0][0]
    return ModelNoise(
        model=sample.model, task=sample.task, metric=metric.key, flips=_flips(metric, aligned), shift=shift
    )


def difference_noise(metric: MetricInfo, baseline: Pair, candidates: Sequence[Pair]) -> Noise | None:
    """Flips of two models, and the shift of their difference; None as in `model_noise`.

    Args:
        metric: The metric to compare.
        baseline: The baseline's samples, as in `model_noise`.
        candidates: The candidate's samples; several where it is a pool, whose score is the mean of its members'.
    """
    aligned = _aligned(metric, [baseline, *candidates])
    if not aligned:
        return None
    first, others = aligned[0], aligned[1:]
    shift = _shift(metric, others, first)
    if shift is None:
        return None
    return Noise(baseline=_flips(metric, [first]), candidate=_flips(metric, others), shift=shift)


def _aligned(metric: MetricInfo, pairs: Sequence[Pair]) -> list[Pair]:
    """Samples of the items that all sides have a value for, in the same order; empty if there are none."""
    if metric.kind == "other":
        return []
    sides = [[{(row.id, row.repeat): row for row in with_value(metric, side)} for side in pair] for pair in pairs]
    keys = sorted(set.intersection(*(set(side) for pair in sides for side in pair)))
    return [([pair[0][key] for key in keys], [pair[1][key] for key in keys]) for pair in sides if keys]


def _flips(metric: MetricInfo, pairs: Sequence[Pair]) -> Flips:
    """Count the items whose value changed for any of the models."""
    changed = {
        before.id
        for pair in pairs
        for before, after in zip(*pair, strict=True)
        if before.metrics[metric.key] != after.metrics[metric.key]
    }
    return flips(len(changed), len({row.id for row in pairs[0][0]}))


def _shift(metric: MetricInfo, candidates: Sequence[Pair], baseline: Pair | None) -> Shift | None:
    """Shift of the candidates' mean score, minus the baseline's if there is one, or None if it is not finite."""
    pairs = [*candidates, *([baseline] if baseline else [])]
    sides = [side for pair in pairs for side in pair]
    labels, clusters = label_count(metric, *sides), cluster_by_item(*sides)
    summed = [clusters_from_samples(metric, side, labels=labels, clusters=clusters) for side in sides]
    if metric.kind == "proportion" and len(candidates) == 1 and all(side.are_right_or_wrong for side in summed):
        interval = _right_or_wrong_shift(summed)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # non-finite values are dropped below
            scale = None if _flips(metric, pairs).changed else 1.0 if metric.is_share else _spread(metric, summed)
            interval = _mean_shift(metric, summed, len(candidates), scale)
    if not math.isfinite(interval.value):
        return None
    return Shift(value=interval.value, low=finite(interval.low), high=finite(interval.high), items=summed[0].items)


def _right_or_wrong_shift(summed: Sequence[Clusters]) -> _Interval:
    """Tango's score interval (1998) of one model's shift; of a difference the two are combined.

    They are combined by the method of variance estimates recovery (Zou and Donner 2008). Correlation between the two
    models' flips counts only where it widens the interval.

    Args:
        summed: The candidate in the run's and in the other arithmetic, then likewise the baseline if there is one.
    """
    changes = [after.table[:, 0] - before.table[:, 0] for before, after in zip(summed[::2], summed[1::2], strict=True)]
    candidate = _score_shift(changes[0])
    if len(changes) == 1:
        return candidate
    baseline = _score_shift(changes[1])
    is_constant = any(np.ptp(change) == 0 for change in changes)
    correlation = 0.0 if is_constant else min(0.0, float(np.corrcoef(changes[0], changes[1])[0, 1]))

    def half(one: float, other: float) -> float:
        return math.sqrt(one**2 - 2 * correlation * one * other + other**2)

    value = candidate.value - baseline.value
    low = value - half(candidate.value - candidate.low, baseline.high - baseline.value)
    high = value + half(candidate.high - candidate.value, baseline.value - baseline.low)
    return _Interval(value, low, high)


def _score_shift(change: NDArray[np.float64]) -> _Interval:
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    low, high = score_interval(gained, lost, len(change), LEVEL)
    return _Interval((gained - lost) / len(change), low, high)


def _mean_shift(metric: MetricInfo, summed: Sequence[Clusters], members: int, scale: float | None) -> _Interval:
    """Student's t interval around the shift, with the jackknife's standard error over units (Tukey 1958).

    It is never narrower than an unobserved kind of item could make it: one that moves the score by `scale` and is as
    frequent as the exact limit of a rate of 0 allows.

    Args:
        metric: The metric to compare.
        summed: As in `_right_or_wrong_shift`; of several candidates one after another, the baseline last.
        members: Number of candidates.
        scale: How far one item may move; the largest move of a unit if None.
    """
    from scipy import stats

    score, width = aggregator(metric.kind), summed[0].table.shape[1]
    table = np.concatenate([side.table for side in summed], axis=1)
    count, total = len(table), table.sum(0)

    def change(sums: Table) -> Any:
        sides = [score(sums[..., place * width : (place + 1) * width]) for place in range(len(summed))]
        shifts = [after - before for before, after in zip(sides[::2], sides[1::2], strict=True)]
        mean = sum(shifts[:members]) / members
        return mean - shifts[members] if len(shifts) > members else mean

    value = float(change(total))
    if count < 2:  # noqa: PLR2004 - one unit has no spread
        return _Interval(value, math.nan, math.nan)
    moves = count * value - (count - 1) * change(total - table)
    half = float(stats.t.isf(LEVEL / 2, count - 1) * np.std(moves, ddof=1)) / math.sqrt(count)
    least = flips(0, count).limit * (float(np.abs(moves).max()) if scale is None else scale)
    half = max(half, least)
    return _Interval(value, value - half, value + half)


def _spread(metric: MetricInfo, summed: Sequence[Clusters]) -> float:
    """Range of the contributions of single units to a score, or 1 if all are equal."""
    score, table = aggregator(metric.kind), summed[0].table
    count, total = len(table), table.sum(0)
    return float(np.ptp(count * score(total) - (count - 1) * score(total - table))) or 1.0
