"""The statistics of medbench on plain arrays, for notebooks and for whoever wants to check them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reports.comparison.compare_models import finite_ends
from reports.comparison.inference import LEVEL, Inference
from reports.comparison.metric_inference import difference as difference_of
from reports.comparison.metric_inference import one_model
from reports.comparison.outcome import outcome_of, units_needed
from reports.comparison.sums import Clusters, clusters_from_values, value_of_clusters
from reports.document.scores import MetricInfo, MetricKind, Outcome

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Estimate", "PairedComparison", "compare", "equivalence", "interval"]

_RANGES = {"proportion", "macro_f1", "batch_calibrated"}
_NO_INTERVAL = "no interval can be computed"


@dataclass(frozen=True)
class Estimate:
    """A score with its confidence interval.

    Attributes:
        value: The score.
        low: Lower end of the interval; None where no interval can be computed.
        high: Upper end.
        caution: Why the interval is unreliable; empty where it is not.
    """

    value: float
    low: float | None
    high: float | None
    caution: str = ""


@dataclass(frozen=True)
class PairedComparison:
    """The difference of two models over the same items: candidate minus baseline.

    Attributes:
        difference: The difference.
        low: Lower end of its interval, which inverts the test; None where none can be computed.
        high: Upper end.
        level: Two-sided level of test and interval.
        p_value: Two-sided p-value against no difference.
        test: Name of the test.
        outcome: Read off the interval; `identical` where no item differs.
        items_needed: Items that detect a difference of the margin with 80 % power, where the outcome is inconclusive.
        caution: Why interval and test are unreliable; empty where they are not.
    """

    difference: float
    low: float | None
    high: float | None
    level: float
    p_value: float | None
    test: str
    outcome: Outcome
    items_needed: int | None = None
    caution: str = ""


def interval(
    values: ArrayLike,
    *,
    kind: MetricKind = "proportion",
    items: Sequence[Any] | None = None,
    clusters: Sequence[Any] | None = None,
    bounded: bool | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """One model's score with its interval.

    Args:
        values: One value for each answer, shape [answers], or several, shape [answers, columns]: (log-likelihood,
            tokens) for `perplexity`, (log-likelihood, bytes) for `bits_per_byte`, (gold, predicted) label numbers for
            `macro_f1`, numerator and denominator for `ratio`.
        kind: `proportion` (values 0 and 1), `mean`, `ratio`, `perplexity`, `bits_per_byte` or `macro_f1`.
        items: The item of each answer, where items were asked several times.
        clusters: The group of each answer, where items share a source.
        bounded: Whether a mean lies between 0 and 1; from the values where it is not given.
        level: 0.05 for a 95 % interval.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: The lengths differ, the kind of metric does not take these values, the level is not between 0 and 1,
            or the margin is below 0.

    Example:
        >>> interval([1] * 10).low is not None
        True
    """
    _check(level, 0.0)
    table = _table(kind, values)
    metric, mine = _metric(kind, [table], bounded), _units(kind, table, items, clusters, _labels(kind, table))
    inference = one_model(metric, mine, seed=seed)
    low, high = finite_ends(inference, level)
    caution = inference.caution if inference is not None else _NO_INTERVAL
    return Estimate(value_of_clusters(kind, mine.table), low, high, caution)


def compare(  # noqa: PLR0913 - each option has a default
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    kind: MetricKind = "proportion",
    items: Sequence[Any] | None = None,
    clusters: Sequence[Any] | None = None,
    higher_is_better: bool | None = True,
    margin: float = 0.05,
    bounded: bool | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> PairedComparison:
    """Two models over the same items, in the same order.

    Args:
        baseline: The baseline's values, as for `interval`.
        candidate: The candidate's.
        kind: As for `interval`.
        items: As for `interval`.
        clusters: As for `interval`.
        higher_is_better: None where neither direction is better.
        margin: The smallest relevant difference, in the metric's unit.
        bounded: As for `interval`.
        level: Two-sided level, after any correction for other comparisons.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: The lengths differ, the kind of metric does not take these values, the level is not between 0 and 1,
            or the margin is below 0.

    Example:
        >>> compare([0] * 30 + [1] * 30, [1] * 60).outcome
        'better'
    """
    _check(level, margin)
    pair = _paired(kind, (baseline, candidate), items, clusters, bounded, seed)
    inference, units = pair.inference, len(pair.before.table)
    same = bool((pair.before.by_item == pair.after.by_item).all())
    low, high = finite_ends(inference, level)
    sign = {True: 1, False: -1, None: 0}[higher_is_better]
    outcome = "identical" if same else outcome_of(low, high, sign=sign, margin=margin)
    if inference is None:
        return PairedComparison(pair.difference, None, None, level, None, "", outcome, caution=_NO_INTERVAL)
    needed = units_needed(inference, units, margin, level) if outcome == "inconclusive" else None
    return PairedComparison(
        difference=pair.difference,
        low=low,
        high=high,
        level=level,
        p_value=inference.p_value(),
        test=inference.test,
        outcome=outcome,
        items_needed=None if needed is None else math.ceil(needed * pair.before.items / units),
        caution="" if same else inference.caution,
    )


def equivalence(  # noqa: PLR0913 - each option has a default
    baseline: ArrayLike,
    candidate: ArrayLike,
    margin: float,
    *,
    kind: MetricKind = "proportion",
    items: Sequence[Any] | None = None,
    clusters: Sequence[Any] | None = None,
    bounded: bool | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[bool, float]:
    """Whether two models are equivalent within a margin, and the p-value of the two one-sided tests (TOST).

    Equivalent means that the interval at `level` lies inside the margin; the p-value is the larger of the two one-sided
    ones, so that with the default level of 0.05 it is below 0.025 (Schuirmann 1987).

    Args:
        baseline: As for `compare`.
        candidate: As for `compare`.
        margin: The smallest relevant difference.
        kind: As for `compare`.
        items: As for `compare`.
        clusters: As for `compare`.
        bounded: As for `compare`.
        level: As for `compare`.
        seed: As for `compare`.

    Raises:
        ValueError: As `compare`.
    """
    _check(level, margin)
    inference = _paired(kind, (baseline, candidate), items, clusters, bounded, seed).inference
    if inference is None:
        return False, 1.0
    low, high = inference.ends(level)
    one_sided = [
        inference.p_value(limit) / 2 if inside else 1 - inference.p_value(limit) / 2
        for limit, inside in ((-margin, inference.estimate > -margin), (margin, inference.estimate < margin))
    ]
    return -margin < low and high < margin, max(one_sided)


class _Pair(NamedTuple):
    before: Clusters
    after: Clusters
    difference: float
    inference: Inference | None


def _paired(
    kind: MetricKind,
    both: tuple[ArrayLike, ArrayLike],
    items: Sequence[Any] | None,
    clusters: Sequence[Any] | None,
    bounded: bool | None,  # noqa: FBT001
    seed: int,
) -> _Pair:
    tables = [_table(kind, values) for values in both]
    if tables[0].shape != tables[1].shape:
        raise ValueError(f"the models have values of the shapes {tables[0].shape} and {tables[1].shape}")
    labels = _labels(kind, *tables)
    before, after = (_units(kind, table, items, clusters, labels) for table in tables)
    inference = difference_of(_metric(kind, tables, bounded), before, after, seed=seed)
    difference = value_of_clusters(kind, after.table) - value_of_clusters(kind, before.table)
    return _Pair(before, after, difference, inference)


def _check(level: float, margin: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"the level is {level}; it lies between 0 and 1, such as 0.05 for a 95 % interval")
    if not margin >= 0:
        raise ValueError(f"the margin is {margin}; it is at least 0")


def _table(kind: MetricKind, values: ArrayLike) -> Any:
    """The values as an array that the metric is defined for."""
    table = np.asarray(values, dtype=float)
    if not len(table) or np.isnan(table).any():
        raise ValueError("there are no values, or some are not numbers")
    if kind == "proportion" and ((table < 0) | (table > 1)).any():
        raise ValueError("a proportion takes values from 0 to 1")
    if kind == "macro_f1" and ((table < 0) | (table != np.floor(table))).any():
        raise ValueError("macro_f1 takes label numbers from 0")
    return table


def _metric(kind: MetricKind, tables: Sequence[Any], bounded: bool | None) -> MetricInfo:  # noqa: FBT001
    if bounded is None:
        within = kind == "mean" and all(((table >= 0) & (table <= 1)).all() for table in tables)
        bounded = within or kind in _RANGES
    return MetricInfo(key="values", title="values", kind=kind, percent=bounded, higher_is_better=True)


def _labels(kind: MetricKind, *tables: Any) -> int:
    return 1 + int(max(table.max() for table in tables)) if kind == "macro_f1" else 0


def _units(kind: MetricKind, table: Any, items: Any, clusters: Any, labels: int) -> Clusters:
    ids = list(range(len(table))) if items is None else list(items)
    # Items without a group of their own are groups by themselves; names of items and groups do not mix.
    sources = [f"item {name}" for name in ids] if clusters is None else [f"group {name}" for name in clusters]
    if not len(ids) == len(sources) == len(table):
        raise ValueError(f"there are {len(table)} values, {len(ids)} items and {len(sources)} clusters")
    return clusters_from_values(kind, table, ids, sources, labels)
