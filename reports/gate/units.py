"""Groups items into independent units (see `reports.comparison.sums`) and lists the items of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from reports.comparison.sums import Clusters, clusters_from_samples
from reports.document.schema import MetricInfo, Sample
from reports.gate.inputs import ItemScore


class _Keyed(NamedTuple):
    """The fields of a sample that `reports.comparison.sums` reads."""

    id: str
    cluster: str | None
    metrics: dict[str, Any]


def units_of(
    metric: MetricInfo,
    items: Sequence[ItemScore | Sample],
    keys: Sequence[ItemScore | Sample] | None = None,
    *,
    labels: int | None = None,
) -> Clusters:
    """The units of one model's items, grouped by the ids and clusters of `keys`, the same for both models.

    Args:
        metric: The metric whose values are summed.
        items: Items that have a value for it.
        keys: The same items of the other model, in the same order; `items` if not given.
        labels: How many labels macro-F1 counts, the same for both models; see `label_count`.
    """
    rows = [_Keyed(key.id, key.cluster, item.metrics) for key, item in zip(keys or items, items, strict=True)]
    return clusters_from_samples(metric, cast("list[Sample]", rows), labels=labels)


def members(items: Sequence[ItemScore | Sample]) -> list[list[int]]:
    """Positions of the items of each unit, in the order of the units."""
    positions: dict[str, list[int]] = defaultdict(list)
    for position, item in enumerate(items):
        positions[str(item.cluster or item.id)].append(position)
    return [positions[name] for name in sorted(positions)]
