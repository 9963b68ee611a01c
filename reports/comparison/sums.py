"""What each item adds to a figure: every metric is a function of sums over items, so that items can be resampled."""

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
_MAX_LOG = 700.0  # exp of more overflows a double


class Measured(Protocol):
    """What figures and comparisons need of a sample: none of its texts. See `reports.document.schema.Sample`."""

    @property
    def id(self) -> str: ...  # noqa: D102 - as of a sample
    @property
    def doc_hash(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, float | tuple[float, float] | None]: ...  # noqa: D102
    @property
    def cluster(self) -> str | None: ...  # noqa: D102
    @property
    def repeat(self) -> int: ...  # noqa: D102


AnyMeasured = TypeVar("AnyMeasured", bound=Measured)


@dataclass(frozen=True)
class Units:
    """The independent units of some samples: items, or groups of items that share a source.

    Attributes:
        table: What each unit adds to the sums, shape [units, columns]; a repeated item adds the mean of its repeats.
        items: How many items there are.
        repeats: How often the most repeated item was asked.
    """

    table: Table
    items: int
    repeats: int

    @property
    def are_right_or_wrong(self) -> bool:
        """Whether each unit is one item with one answer that is right or wrong."""
        return self.repeats == 1 and len(self.table) == self.items and bool(np.isin(self.table[:, 0], (0, 1)).all())


def figure(kind: MetricKind) -> Callable[[Table], Any]:
    """The function from sums over items to the figure; works along the last axis, for many resamples at once."""
    if kind == "perplexity":
        return lambda sums: np.exp(np.minimum(-sums[..., 0] / sums[..., 1], _MAX_LOG))
    if kind == "bits_per_byte":
        return lambda sums: -sums[..., 0] / sums[..., 1] / math.log(2)
    if kind == "macro_f1":
        return _macro_f1
    if kind == "ece":
        return lambda sums: np.abs(sums[..., :-1]).sum(-1) / sums[..., -1]
    return lambda sums: sums[..., 0] / sums[..., 1]


def _macro_f1(sums: Table) -> Any:
    """Macro-F1 over the labels that occur as gold or prediction, from counts of gold, predicted and right by label."""
    gold, predicted, right = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    size = gold + predicted
    f1 = np.where(size > 0, 2 * right / np.where(size > 0, size, 1), 0.0)
    return f1.sum(-1) / np.maximum((size > 0).sum(-1), 1)


def figure_of(kind: MetricKind, values: Sequence[Any]) -> float:
    """A figure from the values of single samples; nan where it is not defined."""
    table = np.asarray(values, dtype=float)
    labels = 1 + int(table.max()) if kind == "macro_f1" else 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return figure_of_units(kind, _added(kind, table, labels))


def figure_of_units(kind: MetricKind, table: Table) -> float:
    """The figure of what some units add, shape [units, columns]."""
    return float(figure(kind)(table.sum(0)))


def with_value(metric: MetricInfo, samples: Sequence[AnyMeasured]) -> list[AnyMeasured]:
    """The samples that the metric has a value for."""
    return [sample for sample in samples if sample.metrics.get(metric.key) is not None]


def units(
    metric: MetricInfo,
    samples: Sequence[Measured],
    *,
    labels: int | None = None,
    clusters: Mapping[str, str] | None = None,
) -> Units:
    """The units of one model's samples on one task, in the order of their names.

    Args:
        metric: What to compute.
        samples: Samples that have a value for it.
        labels: How many labels macro-F1 counts; told from the samples where it is not given.
        clusters: The groups of items that have one, by id, where the samples' own are not to count; see `clusters_of`.
    """
    values = np.asarray([sample.metrics[metric.key] for sample in samples], dtype=float)
    added = _added(metric.kind, values, labels or label_count(metric, samples))
    ids, which, counts = np.unique([sample.id for sample in samples], return_inverse=True, return_counts=True)
    items = _sums_by(which, added, len(ids)) / counts[:, None]
    sources = np.empty(len(ids), dtype=object)
    groups = clusters_of(samples) if clusters is None else clusters
    sources[which] = [groups.get(sample.id, sample.id) for sample in samples]
    names, group = np.unique(sources.astype(str), return_inverse=True)
    return Units(_sums_by(group, items, len(names)), len(ids), int(counts.max()))


def clusters_of(*several: Sequence[Measured]) -> dict[str, str]:
    """The groups of items, by id, that any of several models' samples tell of.

    A run knows of a group only where it asked more than one item of it, so that models of different runs can differ.
    """
    return {sample.id: sample.cluster for samples in several for sample in samples if sample.cluster}


def label_count(metric: MetricInfo, *several: Sequence[Measured]) -> int:
    """How many labels a metric's (gold, predicted) pairs have, counted from 0; 0 for metrics without labels."""
    if metric.kind != "macro_f1":
        return 0
    pairs = [sample.metrics[metric.key] for samples in several for sample in samples]
    return 1 + int(np.asarray(pairs, dtype=float).max())


def _added(kind: MetricKind, values: Table, labels: int) -> Table:
    """What each sample adds, shape [samples, columns], from its value or pair of values."""
    if kind in ("perplexity", "bits_per_byte", "ratio"):
        return values
    if kind == "macro_f1":
        gold, predicted = (np.eye(labels)[values[:, place].astype(int)] for place in (0, 1))
        return np.concatenate([gold, predicted, gold * predicted], axis=1)
    if kind == "ece":
        bins = np.minimum((values[:, 0] * ECE_BINS).astype(int), ECE_BINS - 1)
        gap = np.eye(ECE_BINS)[bins] * (values[:, :1] - values[:, 1:])
        return np.concatenate([gap, np.ones((len(values), 1))], axis=1)
    return np.stack([values, np.ones(len(values))], axis=1)


def _sums_by(group: NDArray[np.intp], table: Table, groups: int) -> Table:
    sums = np.zeros((groups, table.shape[1]))
    np.add.at(sums, group, table)
    return sums
