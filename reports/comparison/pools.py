"""A pool of adapters that were trained alike: its figure is the mean of theirs, over the same items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison.sums import (
    AnyMeasured,
    Measured,
    clusters_of,
    figure,
    figure_of_units,
    label_count,
    units,
    with_value,
)
from reports.document.schema import MetricInfo

if TYPE_CHECKING:
    from reports.comparison.sums import Table


@dataclass(frozen=True)
class Pool:
    """The independent units of several adapters' samples.

    Attributes:
        table: What each unit adds to the sums of the first adapter, of the second, and so on: shape
            [units, adapters x columns].
        items: How many items there are.
        figures: Of each adapter.
        of: The mean of the adapters' figures, from sums over units; works along the last axis.
    """

    table: Table
    items: int
    figures: list[float]
    of: Callable[[Table], Any]

    @property
    def figure(self) -> float:
        """Of the pool."""
        return sum(self.figures) / len(self.figures)


def with_shared_values(metric: MetricInfo, members: Sequence[Sequence[AnyMeasured]]) -> list[list[AnyMeasured]]:
    """Each adapter's samples of the items that the metric has a value for with all adapters."""
    valued = [with_value(metric, each) for each in members]
    shared = set.intersection(*({sample.id for sample in each} for each in valued)) if valued else set()
    return [[sample for sample in each if sample.id in shared] for each in valued]


def pool(
    metric: MetricInfo,
    members: Sequence[Sequence[Measured]],
    *,
    labels: int | None = None,
    clusters: Mapping[str, str] | None = None,
) -> Pool:
    """The units of several adapters.

    Args:
        metric: What to compute.
        members: Each adapter's samples, of the same items; see `with_shared_values`.
        labels: How many labels macro-F1 counts; told from the samples where it is not given.
        clusters: As for `reports.comparison.sums.units`.
    """
    labels = labels or label_count(metric, *members)
    clusters = clusters_of(*members) if clusters is None else clusters
    found = [units(metric, each, labels=labels, clusters=clusters) for each in members]
    of, width = figure(metric.kind), found[0].table.shape[1]

    def mean(sums: Table) -> Any:
        return sum(of(sums[..., start : start + width]) for start in range(0, width * len(found), width)) / len(found)

    table = np.concatenate([each.table for each in found], axis=1)
    return Pool(table, found[0].items, [figure_of_units(metric.kind, each.table) for each in found], mean)
