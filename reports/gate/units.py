"""The independent units of some items, as `reports.comparison.sums` makes them, and which items are in each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from reports.comparison.sums import Clusters, clusters_from_samples
from reports.document.schema import MetricInfo, Sample
from reports.gate.sides import ItemScore


class _Keyed(NamedTuple):
    """What `reports.comparison.sums` needs of a sample."""

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
    """The units of one side's items; named by `keys`, the other side's, so that both have the same units in one order.

    Args:
        metric: Whose values make the units' sums.
        items: Items that have a value for it.
        keys: As many items of the other side, in the same order.
        labels: How many labels macro-F1 counts, the same for both sides; see `label_count`.
    """
    rows = [_Keyed(key.id, key.cluster, item.metrics) for key, item in zip(keys or items, items, strict=True)]
    return clusters_from_samples(metric, cast("list[Sample]", rows), labels=labels)


def members(items: Sequence[ItemScore | Sample]) -> list[list[int]]:
    """The places of each unit's items, in the order of the units."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        found[str(item.cluster or item.id)].append(place)
    return [found[name] for name in sorted(found)]
