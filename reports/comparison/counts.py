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
_FEW = 5
_HEAVY = 1 / 3  # share of the weight that one unit may carry
_MOST_LEVERAGE = 0.5  # of one unit in a standard error; with more of the weight on it, few degrees of freedom are left
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
    return replace(inference, caution=few_units(clusters.sizes, clustered=clusters.is_clustered))


def effective_items(tops: Table, bottoms: Table, *, most: float) -> tuple[float, float]:
    """How many independent items have the variance of a share of units, and its degrees of freedom.

    Args:
        tops: Right answers in each unit, shape [units].
        bottoms: Answers in each unit, shape [units].
        most: The number of answers, which the result does not exceed.
    """
    total = float(bottoms.sum())
    part = float(tops.sum()) / total
    spread = part * (1 - part)
    if spread <= _ROUNDING:  # all alike: nothing tells how alike the answers of a unit are
        return float((bottoms > 0).sum()), math.inf
    variance, degrees = jackknife_variance((tops - part * bottoms) / total, bottoms, spread / total)
    return _ratio_up_to(most, spread, variance), degrees


def jackknife_variance(influence: Table, sizes: Table, single: float) -> tuple[float, float]:
    """Variance of a ratio with each unit left out in turn, and its degrees of freedom.

    Those are Satterthwaite's (1946) for units whose answers are correlated as they are here (Imbens and Kolesar 2016):
    where a few large units dominate, as many small ones beside them do not help.

    Args:
        influence: How much each unit moves the ratio, shape [units].
        sizes: Number of answers in each unit, shape [units]; units without any do not count.
        single: The variance if all answers were independent.
    """
    count, total, squares = int((sizes > 0).sum()), float(sizes.sum()), float((sizes**2).sum())
    left_out = influence / (1 - np.minimum(sizes / total, _MOST_LEVERAGE))
    variance = float((left_out**2).sum()) * max(count - 1, 1) / count
    correlation = 0.0
    if squares > total and single > 0:
        correlation = ((influence**2).sum() / single - 1) * total / (squares - total)
    expected = sizes * (1 + (sizes - 1) * min(max(correlation, 0.0), 1.0))
    return variance, max(float(expected.sum() ** 2 / (expected**2).sum()) - 1, 1.0)


def _ratio_up_to(most: float, spread: float, variance: float) -> float:
    """The variance of one answer over that of a share, at most `most`; also where the latter is 0."""
    return spread / variance if spread < most * variance else most


def difference_of_clusters(before: Clusters, after: Clusters) -> Inference:
    """The difference of two models' shares over the same units."""
    change = after.by_item[:, 0] - before.by_item[:, 0]
    items, caution = len(change), few_units(before.sizes, clustered=before.is_clustered)
    gained, lost = float(np.maximum(change, 0).sum()), float(np.maximum(-change, 0).sum())
    if before.is_plain and after.is_plain:
        return replace(score_test(gained, lost, items), caution=caution)
    mean = change.mean()
    spread = (gained + lost) / items - mean**2
    effective, degrees = float(len(before.table)), math.inf
    if spread > _ROUNDING:  # else all alike
        centered = np.bincount(before.cluster_of, change - mean, minlength=len(before.table))
        variance, degrees = jackknife_variance(centered / items, before.sizes, spread / items)
        effective = _ratio_up_to(float(items * max(before.repeats, after.repeats)), spread, variance)
    ratio = effective / items
    return replace(score_test(gained * ratio, lost * ratio, effective, degrees), caution=caution)


def few_units(weights: Table, *, clustered: bool) -> str:
    """Why so few units, or units of so different weight, make an interval unreliable; empty where they do not.

    Args:
        weights: Of each unit, shape [units].
        clustered: Whether units are groups of items that share a source.
    """
    count, heaviest = len(weights), float(weights.max() / weights.sum())
    if clustered and count < _CLUSTERS:
        return f"only {count} independent {'group' if count == 1 else 'groups'} of items"
    if count < _FEW:
        return f"only {count} independent {'item' if count == 1 else 'items'}"
    if heaviest <= _HEAVY:
        return ""
    return f"one {'group of items' if clustered else 'item'} carries {heaviest:.0%} of the weight"


def normal_level(level: float, degrees: float) -> float:
    """The level of a normal quantile that equals Student's at `level`."""
    from scipy import special

    return level if math.isinf(degrees) else max(float(2 * special.ndtr(-critical_value(level, degrees))), _LEAST_LEVEL)
