"""Inference about right and wrong answers: Wilson's interval for one model, Tango's score test for two.

Items that were asked several times or share a source enter through effective numbers: as many independent items as have
the same variance (Kish 1965; Korn and Graubard 1998).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reports.comparison.inference import Inference, Interval, critical_value
from reports.comparison.proportions import score_interval, score_p_value, score_statistic, wilson_interval

if TYPE_CHECKING:
    from reports.comparison.sums import Clusters, Table

_CLUSTERS = 10
_LEAST_LEVEL = 1e-300
_ROUNDING = 1e-12


def share(right: float, items: float, degrees: float = math.inf) -> Inference:
    """The share of right answers (Wilson 1927).

    Args:
        right: Number of right answers, a fraction where items are effective ones.
        items: Number of items.
        degrees: Degrees of freedom of the number of effective items; infinite where items were counted.
    """
    estimate = right / items

    def ends(level: float) -> Interval:
        return wilson_interval(right, items, normal_level(level, degrees))

    return Inference(estimate, ends, "score test", math.sqrt(estimate * (1 - estimate) / items), degrees)


def exact_share(right: int, items: int) -> Inference:
    """A share of whole numbers by the exact binomial test (Clopper and Pearson 1934)."""
    from scipy import stats

    estimate = right / items

    def ends(level: float) -> Interval:
        low = float(stats.beta.ppf(level / 2, right, items - right + 1)) if right else 0.0
        high = float(stats.beta.isf(level / 2, right + 1, items - right)) if right < items else 1.0
        return low, high

    return Inference(estimate, ends, "exact binomial test", math.sqrt(estimate * (1 - estimate) / items))


def score_test(gained: float, lost: float, items: float, degrees: float = math.inf) -> Inference:
    """The difference of two shares over the same items (Tango 1998); McNemar's test where it is 0.

    Args:
        gained: Items that only the candidate got right.
        lost: Items that only the baseline got right.
        items: All items.
        degrees: As for `share`.
    """
    from scipy import stats

    def ends(level: float) -> Interval:
        return score_interval(gained, lost, items, normal_level(level, degrees))

    def p_value(limit: float) -> float:
        if math.isinf(degrees):
            return score_p_value(gained, lost, items, limit)
        return float(2 * stats.t.sf(abs(float(score_statistic(gained, lost, items, limit))), degrees))

    difference = (gained - lost) / items
    error = math.sqrt(max((gained + lost) / items - difference**2, 0.0) / items)
    least_p = sign_p(gained + lost, degrees)
    test = "score test (McNemar, Tango)"
    return Inference(difference, ends, test, error, degrees, least_p, effective=items, direct_p=p_value)


def sign_p(discordant: float, degrees: float = math.inf) -> float:
    """The smallest p-value of the score test: that of discordant items which all point one way."""
    from scipy import stats

    return float(2 * stats.t.sf(math.sqrt(discordant), degrees))


def scaled(inference: Inference, size: float, start: float = 0.0) -> Inference:
    """The same of `start` plus `size` times the quantity."""

    def ends(level: float) -> Interval:
        low, high = inference.ends(level)
        return start + size * low, start + size * high

    direct = inference.direct_p
    return replace(
        inference,
        estimate=start + size * inference.estimate,
        ends=ends,
        standard_error=inference.standard_error * size,
        size=inference.size * size,
        direct_p=None if direct is None else lambda limit: direct((limit - start) / size),
    )


def share_of_clusters(clusters: Clusters) -> Inference:
    """The share of right answers to items that may have several answers or share a source."""
    if clusters.is_plain:
        return share(float(clusters.table[:, 0].sum()), clusters.items)
    tops, bottoms = clusters.table[:, 0], clusters.table[:, 1]
    effective, degrees = effective_items(tops, bottoms, most=clusters.items * clusters.repeats)
    inference = share(tops.sum() / bottoms.sum() * effective, effective, degrees)
    return replace(inference, caution=few_groups(len(clusters.table), clustered=clusters.is_clustered))


def effective_items(tops: Table, bottoms: Table, *, most: float) -> tuple[float, float]:
    """How many independent items have the variance of a share of units, and its degrees of freedom.

    Args:
        tops: Right answers in each unit, shape [units].
        bottoms: Answers in each unit, shape [units].
        most: The number of answers, which the result does not exceed.
    """
    has_any = bottoms > 0
    count, total = int(has_any.sum()), float(bottoms.sum())
    part = float(tops.sum()) / total
    variance = float(((tops - part * bottoms) ** 2).sum()) / total**2 * count / max(count - 1, 1)
    spread = part * (1 - part)
    if spread <= _ROUNDING:  # all alike: nothing tells how alike the answers of a unit are
        return float(count), math.inf
    return _ratio_up_to(most, spread, variance), max(count - 1.0, 1.0)


def _ratio_up_to(most: float, spread: float, variance: float) -> float:
    """The variance of one answer over that of a share, at most `most`; also where the latter is 0."""
    return spread / variance if spread < most * variance else most


def difference_of_clusters(before: Clusters, after: Clusters) -> Inference:
    """The difference of two models' shares over the same units."""
    change = after.by_item[:, 0] - before.by_item[:, 0]
    items = len(change)
    gained, lost = float(np.maximum(change, 0).sum()), float(np.maximum(-change, 0).sum())
    if before.is_plain and after.is_plain:
        return score_test(gained, lost, items)
    count = len(before.table)
    mean = change.mean()
    centered = np.zeros(count)
    np.add.at(centered, before.cluster_of, change - mean)
    variance = float((centered**2).sum()) / items**2 * count / max(count - 1, 1)
    spread = (gained + lost) / items - mean**2
    effective, degrees = float(count), math.inf
    if spread > _ROUNDING:  # else all alike
        most = float(items * max(before.repeats, after.repeats))
        effective, degrees = _ratio_up_to(most, spread, variance), count - 1.0
    ratio = effective / items
    inference = score_test(gained * ratio, lost * ratio, effective, max(degrees, 1.0))
    return replace(inference, caution=few_groups(count, clustered=before.is_clustered))


def few_groups(count: int, *, clustered: bool) -> str:
    """Caution if `count` clusters of items are too few for a reliable interval, else empty.

    Args:
        count: Number of clusters.
        clustered: Whether any items share a source.
    """
    return f"only {count} independent groups of items" if clustered and count < _CLUSTERS else ""


def normal_level(level: float, degrees: float) -> float:
    """The level of a normal quantile that equals Student's at `level`."""
    from scipy import special

    return level if math.isinf(degrees) else max(float(2 * special.ndtr(-critical_value(level, degrees))), _LEAST_LEVEL)
