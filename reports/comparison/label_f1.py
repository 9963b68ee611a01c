"""Intervals and tests of macro-F1: the F1 of each label as a share of the items that concern it, combined.

F1 is 2J / (1 + J) of the Jaccard index J: the share of right answers among items with this gold or predicted label.
Each J has Wilson's interval; those of all labels, and of both models of a comparison, are joined by the recovery of
variances from the limits (MOVER, Zou and Donner 2008), with the correlations of the labels' influence functions. It
covers where a label is rare or a model is nearly always right, which normal and bootstrap intervals do not. For a
difference each end is the farther of this and Student's t interval, both with the degrees of freedom of the items that
concern each label (Satterthwaite 1946). Where items share a source, standard errors leave each group out in turn, and
the groups' effective number limits the degrees of freedom.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reports.comparison.counts import effective_items, few_units, jackknife_variance
from reports.comparison.inference import Inference, Interval, critical_value
from reports.comparison.proportions import wilson_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reports.comparison.sums import Clusters

    Values = NDArray[np.float64]

_RARE = 5


class _Part(NamedTuple):
    """The F1 of one label of one model.

    Attributes:
        value: The F1.
        jaccard: J.
        effective: How many independent items J rests on.
        degrees: Degrees of freedom of that number; infinite where items were counted.
        influence: How much each unit moves the F1, shape [units].
        item_influence: How much each item moves it, shape [items].
        concerned: How many items have the label as gold or as predicted one.
    """

    value: float
    jaccard: float
    effective: float
    degrees: float
    influence: Values
    item_influence: Values
    concerned: float


def macro_f1_of_clusters(clusters: Clusters) -> Inference:
    """The macro-F1 of one model over the labels that occur in gold."""
    return _combined([(1, part) for part in _parts(clusters)], clusters)


def macro_f1_difference(before: Clusters, after: Clusters) -> Inference:
    """The macro-F1 of the second model minus that of the first, over the same items."""
    if before.table.tobytes() > after.table.tobytes():  # the same sums whichever model comes first
        return macro_f1_difference(after, before).mirrored()
    sides = [*((-1, part) for part in _parts(before)), *((1, part) for part in _parts(after))]
    return _combined(sides, before)


def _parts(clusters: Clusters) -> list[_Part]:
    gold, concerned, right = _counts(clusters.table)
    _, item_concerned, item_right = _counts(clusters.by_item)
    parts = []
    for label in np.flatnonzero(gold.sum(0) > 0):
        tops, bottoms = right[:, label], concerned[:, label]
        index, total = float(tops.sum() / bottoms.sum()), float(bottoms.sum())
        effective, degrees = (total, math.inf)
        if not clusters.is_plain:
            effective, degrees = effective_items(tops, bottoms, most=total * clusters.repeats)
        influence = of_items = _influence(index, tops, bottoms)
        if clusters.is_clustered:
            of_items = _influence(index, item_right[:, label], item_concerned[:, label])
        parts.append(_Part(_f1(index), index, effective, degrees, influence, of_items, total))
    return parts


def _influence(index: float, tops: Values, bottoms: Values) -> Values:
    """How much each row of counts moves the F1 of a label with this Jaccard index."""
    return np.asarray(2 / (1 + index) ** 2 * (tops - index * bottoms) / bottoms.sum())


def _counts(table: Values) -> tuple[Values, Values, Values]:
    """Of each row of sums and label, shape [rows, labels]: items of the label, those that concern it, right ones."""
    gold, predicted, right = np.moveaxis(table.reshape(len(table), 3, -1), 1, 0)
    return gold, gold + predicted - right, right


def _f1(index: Any) -> Any:
    return 2 * index / (1 + index)


def _combined(signed: list[tuple[int, _Part]], clusters: Clusters) -> Inference:
    """The signed sum of the parts over the number of labels."""
    parts, signs = [part for _, part in signed], np.array([float(sign) for sign, _ in signed])
    is_difference = bool((signs < 0).any())
    labels = len(parts) // (2 if is_difference else 1)
    influences = np.stack([part.influence for part in parts])
    correlation = _correlation(influences) * np.outer(signs, signs)
    values, index, effective, own_degrees = (
        np.array([getattr(part, name) for part in parts]) for name in ("value", "jaccard", "effective", "degrees")
    )
    estimate = float(signs @ values) / labels
    count, moved = len(clusters.table), signs @ influences / labels
    error = math.sqrt(float((moved**2).sum()) * count / max(count - 1, 1))
    degrees = _satterthwaite((influences**2).sum(1), np.array([part.concerned for part in parts]))
    if clusters.is_clustered:
        by_item = signs @ np.stack([part.item_influence for part in parts]) / labels
        variance, most = jackknife_variance(moved, clusters.sizes, float((by_item**2).sum()))
        error, degrees = math.sqrt(variance), min(degrees, most)

    def ends(level: float) -> Interval:
        half = float(critical_value(level, degrees)) * error
        quantile = critical_value(level, np.minimum(own_degrees, degrees) if is_difference else own_degrees)
        limits = _f1(np.array(wilson_limits(index, effective, quantile)))
        down, up = values - limits[0], limits[1] - values
        reach = [np.where(signs > 0, *pair) for pair in ((down, up), (up, down))]
        low, high = (math.sqrt(max(float(side @ correlation @ side), 0.0)) / labels for side in reach)
        if is_difference:
            return max(estimate - max(low, half), -1.0), min(estimate + max(high, half), 1.0)
        return max(estimate - low, 0.0), min(estimate + high, 1.0)

    test = "MOVER of Wilson intervals and t"
    return Inference(estimate, ends, test, error, degrees, caution=_caution(clusters))


def _correlation(influences: Values) -> Values:
    """Correlations of influence functions, shape [parts, parts]; 0 with a part that no unit moves."""
    products = influences @ influences.T
    sizes = np.sqrt(np.diag(products))
    scale = np.outer(sizes, sizes)
    correlation = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


def _satterthwaite(variances: Values, counts: Values) -> float:
    """Degrees of freedom of a sum of variances, each estimated from so many items; at least 1."""
    if not variances.any():
        return math.inf
    degrees = variances.sum() ** 2 / (variances**2 / np.maximum(counts - 1, 1)).sum()
    return max(float(degrees), 1.0)


def _caution(clusters: Clusters) -> str:
    gold = np.moveaxis(clusters.by_item.reshape(clusters.items, 3, -1), 1, 0)[0].sum(0)
    gold = gold[gold > 0]
    if gold.min() < _RARE:
        return f"a label has {gold.min():.0f} items only"
    return few_units(clusters.sizes, clustered=clusters.is_clustered)
