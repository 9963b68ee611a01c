"""Contributions of items to a metric: every metric is a function of sums over items, which can be resampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from reports.document.schema import MetricInfo, MetricKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.float64]

ECE_BINS = 10
_LEAST_LOG = -1e6
ABSENT = -1e9  # in place of the log-likelihood of a label that an item does not offer
MAX_LOG = 680.0  # exp of more, and the ends of its intervals, are too large for a results document


class ItemValues(Protocol):
    """The part of a sample that sums over items need."""

    @property
    def id(self) -> str: ...  # noqa: D102 - documented by `Sample`
    @property
    def metrics(self) -> Mapping[str, float | tuple[float, ...] | None]: ...  # noqa: D102
    @property
    def cluster(self) -> str | None: ...  # noqa: D102


class ScoredItem(ItemValues, Protocol):
    """The part of a sample that scores and comparisons need; its texts are left out. See `Sample`."""

    @property
    def doc_hash(self) -> str: ...  # noqa: D102 - documented by `Sample`
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def repeat(self) -> int: ...  # noqa: D102


AnyScoredItem = TypeVar("AnyScoredItem", bound=ScoredItem)


@dataclass(frozen=True)
class Clusters:
    """One model's contributions to a metric, by item and by cluster of items that share a source.

    Clusters are the independent units of all tests; an item without a source of its own is a cluster by itself.

    Attributes:
        table: Contribution of each cluster to the sums, shape [clusters, columns].
        by_item: Contribution of each item, shape [items, columns]; the mean over its repeats.
        cluster_of: Index of each item's cluster, shape [items].
        repeats: Number of answers to the item that was answered most often.
    """

    table: Table
    by_item: Table
    cluster_of: NDArray[np.intp]
    repeats: int

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.by_item)

    @property
    def sizes(self) -> Table:
        """Number of items in each cluster, shape [clusters]."""
        return np.bincount(self.cluster_of, minlength=len(self.table)).astype(float)

    @property
    def is_clustered(self) -> bool:
        """Whether any items share a source."""
        return len(self.table) < self.items

    @property
    def is_plain(self) -> bool:
        """Whether every cluster is a single item with a single answer."""
        return self.repeats == 1 and not self.is_clustered

    @property
    def are_right_or_wrong(self) -> bool:
        """Whether every cluster is a single item with a single answer that is right or wrong."""
        return self.is_plain and bool(np.isin(self.table[:, 0], (0, 1)).all())


def aggregator(kind: MetricKind) -> Callable[[Table], Any]:
    """Function from sums over items to the metric, along the last axis, for many resamples at once."""
    if kind == "perplexity":
        return lambda sums: np.exp(np.minimum(-sums[..., 0] / sums[..., 1], MAX_LOG))
    if kind == "bits_per_byte":
        return lambda sums: -sums[..., 0] / sums[..., 1] / math.log(2)
    if kind == "macro_f1":
        return _macro_f1
    if kind == "ece":
        return _debiased_ece
    return lambda sums: sums[..., 0] / sums[..., 1]


def _macro_f1(sums: Table) -> Any:
    """Mean F1 of the labels that occur in gold, from counts of gold, predicted and right by label.

    A prediction that is no gold label, such as "none", is a miss of the item's gold label and adds no class of its own.
    """
    gold, predicted, right = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    f1 = np.where(gold > 0, 2 * right / np.where(gold > 0, gold + predicted, 1), 0.0)
    return f1.sum(-1) / np.maximum((gold > 0).sum(-1), 1)


def _debiased_ece(sums: Table) -> Any:
    """Expected calibration error without the part that chance alone adds (Kumar et al. 2019).

    In a bin of n answers the gap between accuracy and confidence is observed with a standard error; the mean absolute
    value of a normal variable around it exceeds its size by a known amount, which is subtracted. Never below 0.
    """
    from scipy import special

    gap, right, count = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    size = np.where(count > 0, count, 1.0)
    distance, share = np.abs(gap) / size, right / size
    error = np.sqrt(np.maximum(share * (1 - share), 0.0) / size)
    ratio = distance / np.where(error > 0, error, 1.0)
    folded = error * math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2) + distance * special.erf(ratio / math.sqrt(2))
    bias = np.where(error > 0, folded - distance, 0.0)
    return np.maximum((count * (distance - bias)).sum(-1) / count.sum(-1), 0.0)


def value_of_samples(kind: MetricKind, values: Sequence[Any]) -> float:
    """A metric's value from the values of its samples; nan if it is undefined."""
    table = np.asarray(values, dtype=float)
    labels = 1 + int(table.max()) if kind == "macro_f1" else 0
    return value_of_clusters(kind, _contributions(kind, table, labels))


def value_of_clusters(kind: MetricKind, table: Table) -> float:
    """A metric's value from the contributions of clusters, shape [clusters, columns]; nan if it is undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(aggregator(kind)(table.sum(0)))


def with_value(metric: MetricInfo, samples: Sequence[AnyScoredItem]) -> list[AnyScoredItem]:
    """Samples that have a value of the metric."""
    return [sample for sample in samples if sample.metrics.get(metric.key) is not None]


def clusters_from_samples(
    metric: MetricInfo,
    samples: Sequence[ItemValues],
    *,
    labels: int | None = None,
    clusters: Mapping[str, str] | None = None,
) -> Clusters:
    """Cluster one model's samples on one task, in the order of the cluster names.

    Args:
        metric: The metric to compute.
        samples: Samples that have a value of it.
        labels: Number of labels for macro-F1; by default as many as occur in the samples.
        clusters: Cluster by item id, overriding the samples' own; see `cluster_by_item`.
    """
    values = np.asarray([sample.metrics[metric.key] for sample in samples], dtype=float)
    groups = cluster_by_item(samples) if clusters is None else clusters
    ids = [sample.id for sample in samples]
    sources = [groups.get(item, item) for item in ids]
    return clusters_from_values(metric.kind, values, ids, sources, labels or label_count(metric, samples))


def clusters_from_values(
    kind: MetricKind, values: Table, ids: Sequence[Any], sources: Sequence[Any], labels: int = 0
) -> Clusters:
    """Cluster plain values.

    Args:
        kind: Kind of the metric.
        values: One or several values per answer, shape [answers] or [answers, columns].
        ids: Item of each answer.
        sources: Cluster of each answer; all answers to one item have the same.
        labels: Number of labels for macro-F1.
    """
    contributions = _contributions(kind, values, labels)
    names, which, counts = np.unique(ids, return_inverse=True, return_counts=True)
    order = np.lexsort((*contributions.T, which))  # the order of the answers must not affect the rounding of sums
    items = _sums_by(which[order], contributions[order], len(names)) / counts[:, None]
    source_of = np.empty(len(names), dtype=object)
    source_of[which] = sources
    groups, cluster_of = np.unique(source_of.astype(str), return_inverse=True)
    return Clusters(_sums_by(cluster_of, items, len(groups)), items, cluster_of, int(counts.max()))


def cluster_by_item(*several: Sequence[ItemValues]) -> dict[str, str]:
    """Cluster by item id, wherever the samples of any of several models name one.

    A run names a cluster only if it has more than one of its items, so models of different runs can differ.
    """
    return {sample.id: sample.cluster for samples in several for sample in samples if sample.cluster}


def label_count(metric: MetricInfo, *several: Sequence[ItemValues]) -> int:
    """Number of labels in a metric's (gold, predicted) pairs, counted from 0; 0 for metrics without labels."""
    if metric.kind != "macro_f1":
        return 0
    pairs = [sample.metrics[metric.key] for samples in several for sample in samples]
    return 1 + int(np.asarray(pairs, dtype=float).max())


def _contributions(kind: MetricKind, values: Table, labels: int) -> Table:
    """Contribution of each sample, shape [samples, columns], from its one or several values."""
    if kind in ("perplexity", "bits_per_byte", "ratio"):
        return values
    if kind == "macro_f1":
        gold, predicted = (np.eye(labels)[values[:, place].astype(int)] for place in (0, 1))
        return np.concatenate([gold, predicted, gold * predicted], axis=1)
    if kind == "ece":
        bins = np.minimum((values[:, 0] * ECE_BINS).astype(int), ECE_BINS - 1)
        in_bin = np.eye(ECE_BINS)[bins]
        return np.concatenate([in_bin * (values[:, :1] - values[:, 1:]), in_bin * values[:, 1:], in_bin], axis=1)
    if kind == "batch_calibrated":
        values = _right_after_calibration(values)
    return np.stack([values, np.ones(len(values))], axis=1)


def _right_after_calibration(values: Table) -> Table:
    """Whether the most likely label is the gold one once the model's mean preference is divided out (Zhou et al. 2023).

    The mean is over the items that offer a label.

    Args:
        values: Gold label, counted from 0, and the log-likelihood of each label, `ABSENT` for one that the item does
            not offer; shape [samples, 1 + labels].
    """
    offered = values[:, 1:] != ABSENT
    logs = np.maximum(values[:, 1:], 2 * _LEAST_LOG)  # all labels of an item may have probability 0
    logs = np.maximum(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True), _LEAST_LOG)
    # The means up to a constant; a label that no item offers has none.
    prior = np.logaddexp.reduce(logs, axis=0) - np.log(np.maximum(offered.mean(0), 1 / len(values)))
    calibrated = np.where(offered, logs - prior, -np.inf)
    return np.asarray(calibrated.argmax(1) == values[:, 0], dtype=float)


def _sums_by(group: NDArray[np.intp], table: Table, groups: int) -> Table:
    sums = np.zeros((groups, table.shape[1]))
    np.add.at(sums, group, table)
    return sums
