"""A pool of adapters that were trained alike: its score is the mean of theirs, over the same items."""

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
    Clusters,
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
    """The independent units of several adapters' samples.

    Attributes:
        table: What each unit adds to the sums of the first adapter, of the second, and so on: shape
            [units, adapters x columns].
        items: How many items there are.
        figures: The score of each adapter.
        of: The mean of the adapters' scores, from sums over units; works along the last axis.
    """

    table: Table
    items: int
    figures: list[float]
    of: Callable[[Table], Any]

    @property
    def figure(self) -> float:
        """Score of the pool."""
        return sum(self.figures) / len(self.figures)


def with_shared_values(metric: MetricInfo, members: Sequence[Sequence[AnyScoredItem]]) -> list[list[AnyScoredItem]]:
    """Each adapter's samples of the items that the metric has a value for with all adapters."""
    valued = [with_value(metric, each) for each in members]
    shared = set.intersection(*({sample.id for sample in each} for each in valued)) if valued else set()
    return [[sample for sample in each if sample.id in shared] for each in valued]


def pool(
    metric: MetricInfo,
    members: Sequence[Sequence[ScoredItem]],
    *,
    labels: int | None = None,
    clusters: Mapping[str, str] | None = None,
) -> Pool:
    """The units of several adapters.

    Args:
        metric: What to compute.
        members: Each adapter's samples, of the same items; see `with_shared_values`.
        labels: How many labels macro-F1 counts; from the samples where it is not given.
        clusters: As for `reports.comparison.sums.clusters_from_samples`.
    """
    labels = labels or label_count(metric, *members)
    clusters = cluster_by_item(*members) if clusters is None else clusters
    found = [clusters_from_samples(metric, each, labels=labels, clusters=clusters) for each in members]
    of, width = aggregator(metric.kind), found[0].table.shape[1]

    def mean(sums: Table) -> Any:
        return sum(of(sums[..., start : start + width]) for start in range(0, width * len(found), width)) / len(found)

    table = np.concatenate([each.table for each in found], axis=1)
    return Pool(table, found[0].items, [value_of_clusters(metric.kind, each.table) for each in found], mean)


def pool_inference(metric: MetricInfo, before: Clusters | None, after: Pool) -> Inference:
    """The mean of the adapters' scores, or that minus a baseline's score, by Student's t over items and adapters.

    The variance over units (jackknife) and that between the adapters add up, with the degrees of freedom of Welch and
    Satterthwaite: few seeds give wide intervals.
    """
    of, table = after.of, after.table
    if before is not None:
        width, single = before.table.shape[1], aggregator(metric.kind)
        table = np.concatenate([before.table, table], axis=1)

        def of(sums: Table) -> Any:
            return after.of(sums[..., width:]) - single(sums[..., :width])

    count, estimate = len(table), float(of(table.sum(0)))
    left = np.asarray(of(table.sum(0) - table))
    variance, degrees = (count - 1) / count * float(((left - left.mean()) ** 2).sum()), count - 1.0
    if len(after.figures) > 1:
        between = float(np.var(after.figures, ddof=1)) / len(after.figures)
        if (both := variance + between) > 0:
            share = variance / both
            degrees = 1 / (share**2 / degrees + (1 - share) ** 2 / (len(after.figures) - 1))
            variance = both
    error = math.sqrt(variance)
    if error <= _ROUNDING * max(1.0, abs(estimate)):
        error = 0.0
    lowest = (
        0.0 if before is None and (metric.is_share or (table >= 0).all()) else -1.0 if metric.is_share else -math.inf
    )
    highest = 1.0 if metric.is_share else math.inf

    def ends(level: float) -> Interval:
        half = float(critical_value(level, degrees)) * error
        if not error:  # all units and adapters alike: an unseen share of units may differ
            half = wilson_interval(0, count, level)[1] * (1.0 if metric.is_share else abs(estimate))
        return max(estimate - half, lowest), min(estimate + half, highest)

    least_p = 1.0 if not error and not estimate else 0.0
    return Inference(estimate, ends, "t-test over items and seeds", error, degrees, least_p)
