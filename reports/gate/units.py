"""Groups items into independent units (see `reports.comparison.sums`) and lists the items of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from reports.comparison.sums import Clusters, cluster_by_item, clusters_from_samples
from reports.document.schema import MetricInfo, Sample
from reports.gate.inputs import ItemScore


def units_of(
    metric: MetricInfo,
    items: Sequence[ItemScore | Sample],
    keys: Sequence[ItemScore | Sample] | None = None,
    *,
    labels: int | None = None,
) -> Clusters:
    """The units of one model's items, grouped by the clusters of `keys`, the same for both models.

    Args:
        metric: The metric whose values are summed.
        items: Items that have a value for it.
        keys: The same items of the other model; `items` if not given.
        labels: How many labels macro-F1 counts, the same for both models; see `label_count`.
    """
    return clusters_from_samples(metric, items, labels=labels, clusters=cluster_by_item(keys or items))


def members(items: Sequence[ItemScore | Sample]) -> list[list[int]]:
    """Positions of the items of each unit, in the order of the units."""
    positions: dict[str, list[int]] = defaultdict(list)
    for position, item in enumerate(items):
        positions[str(item.cluster or item.id)].append(position)
    return [positions[name] for name in sorted(positions)]
