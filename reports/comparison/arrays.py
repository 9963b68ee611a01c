"""The statistics of medbench on plain arrays, for notebooks and for whoever wants to check them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison import statistics
from reports.comparison.inference import LEVEL
from reports.comparison.outcome import outcome_of, units_needed
from reports.comparison.sums import Units, figure_of_units, units_of_values
from reports.document.scores import MetricInfo, MetricKind, Outcome

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Estimate", "PairedComparison", "compare", "equivalence", "interval"]

_RANGES = {"proportion", "macro_f1", "batch_calibrated"}


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

    Example:
        >>> interval([1] * 10).low is not None
        True
    """
    table = np.asarray(values, dtype=float)
    metric, mine = _metric(kind, [table], bounded), _units(kind, table, items, clusters, _labels(kind, table))
    inference = statistics.one_model(metric, mine, seed=seed)
    low, high = statistics.finite_ends(inference, level)
    caution = inference.caution if inference is not None else ""
    return Estimate(figure_of_units(kind, mine.table), low, high, caution)


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

    Example:
        >>> compare([0] * 30 + [1] * 30, [1] * 60).outcome
        'better'
    """
    tables = [np.asarray(values, dtype=float) for values in (baseline, candidate)]
    metric = _metric(kind, tables, bounded).model_copy(update={"higher_is_better": higher_is_better})
    labels = _labels(kind, *tables)
    before, after = (_units(kind, table, items, clusters, labels) for table in tables)
    difference = figure_of_units(kind, after.table) - figure_of_units(kind, before.table)
    inference = statistics.difference(metric, before, after, seed=seed)
    same = bool((before.by_item == after.by_item).all())
    low, high = statistics.finite_ends(inference, level)
    outcome = "identical" if same else outcome_of(low, high, sign=metric.sign, margin=margin)
    if inference is None:
        return PairedComparison(difference, None, None, level, None, "", outcome, caution="too few items")
    needed = units_needed(inference, len(before.table), margin, level) if outcome == "inconclusive" else None
    scale = before.items / len(before.table)
    return PairedComparison(
        difference=difference,
        low=low,
        high=high,
        level=level,
        p_value=inference.p_value(),
        test=inference.test,
        outcome=outcome,
        items_needed=None if needed is None else int(np.ceil(needed * scale)),
        caution="" if same else inference.caution,
    )


def equivalence(baseline: ArrayLike, candidate: ArrayLike, margin: float, **options: Any) -> tuple[bool, float]:
    """Whether two models are equivalent within a margin, and the p-value of the two one-sided tests (TOST).

    Equivalent means that the interval at `level` lies inside the margin; the p-value is the larger of the two one-sided
    ones, so that with the default level of 0.05 it is below 0.025 (Schuirmann 1987).

    Args:
        baseline: As for `compare`.
        candidate: As for `compare`.
        margin: The smallest relevant difference.
        options: As for `compare`.
    """
    tables = [np.asarray(values, dtype=float) for values in (baseline, candidate)]
    kind, level = options.get("kind", "proportion"), options.get("level", LEVEL)
    labels = _labels(kind, *tables)
    groups = (options.get("items"), options.get("clusters"))
    before, after = (_units(kind, table, *groups, labels) for table in tables)
    metric = _metric(kind, tables, options.get("bounded"))
    inference = statistics.difference(metric, before, after, seed=options.get("seed", 0))
    if inference is None:
        return False, 1.0
    low, high = inference.ends(level)
    one_sided = [
        inference.p_value(limit) / 2 if inside else 1 - inference.p_value(limit) / 2
        for limit, inside in ((-margin, inference.estimate > -margin), (margin, inference.estimate < margin))
    ]
    return -margin < low and high < margin, max(one_sided)


def _metric(kind: MetricKind, tables: Sequence[Any], bounded: bool | None) -> MetricInfo:  # noqa: FBT001
    if bounded is None:
        within = kind == "mean" and all(((table >= 0) & (table <= 1)).all() for table in tables)
        bounded = within or kind in _RANGES
    return MetricInfo(key="values", title="values", kind=kind, percent=bounded, higher_is_better=True)


def _labels(kind: MetricKind, *tables: Any) -> int:
    return 1 + int(max(table.max() for table in tables)) if kind == "macro_f1" else 0


def _units(kind: MetricKind, table: Any, items: Any, clusters: Any, labels: int) -> Units:
    ids = list(range(len(table))) if items is None else list(items)
    # Items without a group of their own are groups by themselves; names of items and groups do not mix.
    sources = [f"item {each}" for each in ids] if clusters is None else [f"group {each}" for each in clusters]
    return units_of_values(kind, table, ids, sources, labels)
