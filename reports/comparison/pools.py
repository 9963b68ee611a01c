"""A pool of adapters from the same recipe: its score is the mean of theirs, over the same items."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison.inference import Inference, Interval, critical_value
from reports.comparison.proportions import wilson_interval
from reports.comparison.sums import (
    AnyScoredItem,
    ScoredItem,
    aggregator,
    cluster_by_item,
    clusters_from_samples,
    label_count,
    value_of_clusters,
    with_value,
)
from reports.document.schema import MetricInfo

if TYPE_CHECKING:
    from reports.comparison.sums import Table

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Pool:
    """The clusters of several adapters' samples.

    Attributes:
        table: Contribution of each cluster to the sums of the first adapter, of the second, and so on: shape
            [clusters, adapters x columns].
        items: Number of items.
        scores: Score of each adapter.
        mean: Function from sums over clusters to the mean of the adapters' scores, along the last axis.
    """

    table: Table
    items: int
    scores: list[float]
    mean: Callable[[Table], Any]

    @property
    def score(self) -> float:
        """Score of the pool."""
        return sum(self.scores) / len(self.scores)


def with_shared_values(metric: MetricInfo, members: Sequence[Sequence[AnyScoredItem]]) -> list[list[AnyScoredItem]]:
    """Each adapter's samples of the items that have a value of the metric for all adapters."""
    valued = [with_value(metric, samples) for samples in members]
    shared = set.intersection(*({sample.id for sample in samples} for samples in valued))
    return [[sample for sample in samples if sample.id in shared] for samples in valued]


def pool(
    metric: MetricInfo,
    members: Sequence[Sequence[ScoredItem]],
    *,
    clusters: Mapping[str, str] | None = None,
) -> Pool:
    """Cluster several adapters' samples.

    Args:
        metric: The metric to compute.
        members: Each adapter's samples, of the same items; see `with_shared_values`.
        clusters: As for `reports.comparison.sums.clusters_from_samples`.
    """
    labels = label_count(metric, *members)
    clusters = cluster_by_item(*members) if clusters is None else clusters
    sides = [clusters_from_samples(metric, samples, labels=labels, clusters=clusters) for samples in members]
    value, width = aggregator(metric.kind), sides[0].table.shape[1]

    def mean(sums: Table) -> Any:
        starts = range(0, width * len(sides), width)
        return sum(value(sums[..., start : start + width]) for start in starts) / len(sides)

    table = np.concatenate([side.table for side in sides], axis=1)
    return Pool(table, sides[0].items, [value_of_clusters(metric.kind, side.table) for side in sides], mean)


def pool_inference(metric: MetricInfo, before: Pool | None, after: Pool) -> Inference:
    """The mean of the adapters' scores, or that minus a baseline's score, by Student's t over items and adapters.

    The squares of the half widths of two intervals add up, each with its own t: that over units (jackknife) and that
    over the adapters (MOVER; Zou and Donner 2008). Two seeds give wide intervals. One t with Satterthwaite's degrees of
    freedom is too narrow for few seeds: where these happen to lie close together, it takes their spread as known.

    Args:
        metric: The compared metric.
        before: The baseline, a single model or as many adapters as in `after`, paired with those by their places; None
            for the mean itself.
        after: The adapters.
    """
    value, table, scores = after.mean, after.table, np.array(after.scores)
    if before is not None:
        width, mean_before = before.table.shape[1], before.mean
        table, scores = np.concatenate([before.table, table], axis=1), scores - np.array(before.scores)

        def value(sums: Table) -> Any:
            return after.mean(sums[..., width:]) - mean_before(sums[..., :width])

    count, estimate = len(table), float(value(table.sum(0)))
    left = np.asarray(value(table.sum(0) - table))
    items, degrees = (count - 1) / count * float(((left - left.mean()) ** 2).sum()), count - 1.0
    parts = [(items, degrees)]
    if len(scores) > 1:
        parts.append((float(np.var(scores, ddof=1)) / len(scores), len(scores) - 1.0))
    variance = sum(part for part, _ in parts)
    if variance > 0:
        degrees = 1 / sum((part / variance) ** 2 / of for part, of in parts)
    error = math.sqrt(variance)
    if error <= _ROUNDING * max(1.0, abs(estimate)):
        error = 0.0
    lowest = (
        0.0 if before is None and (metric.is_share or (table >= 0).all()) else -1.0 if metric.is_share else -math.inf
    )
    highest = 1.0 if metric.is_share else math.inf

    def ends(level: float) -> Interval:
        half = math.sqrt(sum(part * float(critical_value(level, of)) ** 2 for part, of in parts))
        if not error:  # all units and adapters equal: an unseen share of units may differ
            half = wilson_interval(0, count, level)[1] * (1.0 if metric.is_share else abs(estimate))
        return max(estimate - half, lowest), min(estimate + half, highest)

    least_p = 1.0 if not error and not estimate else 0.0
    return Inference(
        estimate,
        ends,
        "t-test over items and seeds",
        error,
        degrees,
        least_p,
        is_over_items=len(scores) == 1,
    )
