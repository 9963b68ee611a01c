"""What each item contributes to a metric: every metric is a function of sums over items, which can be resampled."""

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
_MAX_LOG = 700.0  # exp of more overflows a double


class Measured(Protocol):
    """What scores and comparisons need of a sample: none of its texts. See `reports.document.schema.Sample`."""

    @property
    def id(self) -> str: ...  # noqa: D102 - as of a sample
    @property
    def doc_hash(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, float | tuple[float, ...] | None]: ...  # noqa: D102
    @property
    def cluster(self) -> str | None: ...  # noqa: D102
    @property
    def repeat(self) -> int: ...  # noqa: D102


AnyMeasured = TypeVar("AnyMeasured", bound=Measured)


@dataclass(frozen=True)
class Units:
    """Some samples as items, and as the independent units that these form.

    Attributes:
        table: What each unit adds to the sums, shape [units, columns].
        by_item: What each item adds, shape [items, columns]; a repeated item adds the mean of its repeats.
        unit_of: The unit of each item, shape [items].
        repeats: How often the most repeated item was asked.
    """

    table: Table
    by_item: Table
    unit_of: NDArray[np.intp]
    repeats: int

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self.by_item)

    @property
    def is_plain(self) -> bool:
        """Whether each unit is one item that was asked once."""
        return self.repeats == 1 and len(self.table) == self.items

    @property
    def are_right_or_wrong(self) -> bool:
        """Whether each unit is one item with one answer that is right or wrong."""
        return self.is_plain and bool(np.isin(self.table[:, 0], (0, 1)).all())


def figure(kind: MetricKind) -> Callable[[Table], Any]:
    """The function from sums over items to the metric; works along the last axis, for many resamples at once."""
    if kind == "perplexity":
        return lambda sums: np.exp(np.minimum(-sums[..., 0] / sums[..., 1], _MAX_LOG))
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


def figure_of(kind: MetricKind, values: Sequence[Any]) -> float:
    """A metric from the values of single samples; nan where it is not defined."""
    table = np.asarray(values, dtype=float)
    labels = 1 + int(table.max()) if kind == "macro_f1" else 0
    return figure_of_units(kind, _contributions(kind, table, labels))


def figure_of_units(kind: MetricKind, table: Table) -> float:
    """The metric of what some units add, shape [units, columns]; nan where it is not defined."""
    with np.errstate(divide="ignore", invalid="ignore"):
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
        labels: How many labels macro-F1 counts; from the samples where it is not given.
        clusters: The groups of items that have one, by id, where the samples' own are not to count; see `clusters_of`.
    """
    values = np.asarray([sample.metrics[metric.key] for sample in samples], dtype=float)
    groups = clusters_of(samples) if clusters is None else clusters
    ids = [sample.id for sample in samples]
    sources = [groups.get(each, each) for each in ids]
    return units_of_values(metric.kind, values, ids, sources, labels or label_count(metric, samples))


def units_of_values(
    kind: MetricKind, values: Table, ids: Sequence[Any], sources: Sequence[Any], labels: int = 0
) -> Units:
    """The units of some values.

    Args:
        kind: Kind of the metric.
        values: The value, or the several values, of each answer; shape [answers] or [answers, columns].
        ids: The item of each answer.
        sources: The unit of each answer; the answers to one item have the same.
        labels: How many labels macro-F1 counts.
    """
    added = _contributions(kind, values, labels)
    names, which, counts = np.unique(ids, return_inverse=True, return_counts=True)
    order = np.lexsort((*added.T, which))  # so that the order of the answers does not decide how sums are rounded
    items = _sums_by(which[order], added[order], len(names)) / counts[:, None]
    source_of = np.empty(len(names), dtype=object)
    source_of[which] = sources
    groups, unit_of = np.unique(source_of.astype(str), return_inverse=True)
    return Units(_sums_by(unit_of, items, len(groups)), items, unit_of, int(counts.max()))


def clusters_of(*several: Sequence[Measured]) -> dict[str, str]:
    """The groups of items, by id, that any of several models' samples name.

    A run knows of a group only where it asked more than one item of it, so that models of different runs can differ.
    """
    return {sample.id: sample.cluster for samples in several for sample in samples if sample.cluster}


def label_count(metric: MetricInfo, *several: Sequence[Measured]) -> int:
    """How many labels a metric's (gold, predicted) pairs have, counted from 0; 0 for metrics without labels."""
    if metric.kind != "macro_f1":
        return 0
    pairs = [sample.metrics[metric.key] for samples in several for sample in samples]
    return 1 + int(np.asarray(pairs, dtype=float).max())


def _contributions(kind: MetricKind, values: Table, labels: int) -> Table:
    """What each sample adds, shape [samples, columns], from its value or its several values."""
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

    Args:
        values: Gold label, counted from 0, and the log-likelihood of each label; shape [samples, 1 + labels].
    """
    logs = np.maximum(values[:, 1:], _LEAST_LOG)  # labels may have a probability of 0
    logs = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
    prior = np.logaddexp.reduce(logs, axis=0)  # but for a constant
    return np.asarray((logs - prior).argmax(1) == values[:, 0], dtype=float)


def _sums_by(group: NDArray[np.intp], table: Table, groups: int) -> Table:
    sums = np.zeros((groups, table.shape[1]))
    np.add.at(sums, group, table)
    return sums
