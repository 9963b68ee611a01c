"""The quantities that a gate tests: a model's value and paired differences, with tests, bounds and items needed.

Right or wrong answers are tested by Tango's score test on the counts of items that only one model got right. All else
is tested by a t-test on the jackknife's pseudo-values (Tukey 1958), which for a mean are the items' values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from reports.comparison.proportions import (
    MAX_ITEMS,
    items_needed,
    score_interval,
    score_p_value,
    upper_discordance,
    wilson_interval,
)
from reports.comparison.sums import aggregator, value_of_clusters
from reports.document.schema import MetricKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

MIN_ITEMS = 10  # no test is trusted below, however much the items agree
# Continuity corrections, in items, that keep one-sided score tests at their level (benchmarks/gate_simulation.py): of
# a limit on the far side of 0, such as a tolerated loss, and of 0 or a limit beyond it, where the statistic is skewed.
TOLERANT, STRICT = 0.25, 0.75
SPREAD_CONFIDENCE = 0.95  # one-sided, of the discordance or spread that numbers of items are planned with
_UNRELATED = 2  # items whose answers have nothing in common, added to the spread of a difference
_ROUNDING = 1e-12  # relative; parts that differ by less are equal


class Difference(Protocol):
    """A paired difference, oriented so that more is better.

    Attributes:
        value: The difference itself.
        items: Independent units that it rests on.
        differing: Units on which the two models differ.
    """

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def items(self) -> int: ...  # noqa: D102
    @property
    def differing(self) -> int: ...  # noqa: D102

    def p_above(self, limit: float) -> float:
        """One-sided p-value of "the difference is at most `limit`"; low values show that it is above."""

    def p_below(self, limit: float) -> float:
        """One-sided p-value of "the difference is at least `limit`"."""

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bound: the limits that the two tests do not reject."""

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """Items with which `p_above(limit)` is significant with `power` if the difference is `truth`.

        Planned with the upper limit of the observed discordance or spread, never with the observed difference. None
        where no number of items suffices.
        """


@dataclass(frozen=True)
class CountedDifference:
    """A difference of two shares of right answers to the same items (Tango 1998)."""

    gained: int
    lost: int
    items: int

    @property
    def value(self) -> float:
        """Share of items gained minus share of items lost."""
        return (self.gained - self.lost) / self.items

    @property
    def differing(self) -> int:
        """Items that exactly one model got right."""
        return self.gained + self.lost

    def p_above(self, limit: float) -> float:
        """See `Difference`."""
        continuity = TOLERANT if limit < 0 else STRICT
        return score_p_value(self.gained, self.lost, self.items, limit, "greater", continuity=continuity)

    def p_below(self, limit: float) -> float:
        """See `Difference`."""
        return CountedDifference(self.lost, self.gained, self.items).p_above(-limit)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """See `Difference`."""
        (low, high), (strict_low, strict_high) = (
            score_interval(self.gained, self.lost, self.items, 2 * (1 - confidence), continuity=continuity)
            for continuity in (TOLERANT, STRICT)
        )
        return low if low < 0 else max(strict_low, 0.0), high if high > 0 else min(strict_high, 0.0)

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """See `Difference`."""
        return items_needed(
            truth,
            upper_discordance(self.differing, self.items, SPREAD_CONFIDENCE),
            1 - confidence,
            test="non_inferiority" if limit < 0 else "superiority",
            margin=abs(limit),
            target=power,
            continuity=TOLERANT if limit < 0 else STRICT,
        )


@dataclass(frozen=True)
class MeanDifference:
    """A difference that is the mean of one part for each unit.

    Units on which two models answer alike say nothing of how far answers can be apart. So the variance is that of the
    parts and, as far as units are alike, of two more units whose answers have nothing in common: what Agresti and Min
    (2005) add to a table of right and wrong answers. Both the paired t-test and the same with Hall's transformation
    (1992), which corrects for skewness, have to reject: the one overlooks rare large losses, the other is too sure of
    few items.

    Attributes:
        value: The difference itself.
        parts: Shape [units]; their mean is `value`.
        differing: Units on which the two models differ.
        unrelated: Variance of the difference between unrelated answers, times the share of units that are alike.
    """

    value: float
    parts: Values
    differing: int
    unrelated: float

    @property
    def items(self) -> int:
        """Units."""
        return len(self.parts)

    def p_above(self, limit: float) -> float:
        """See `Difference`; 1 where all answers of both models have one value, which shows no spread."""
        from scipy import stats

        return float(stats.t.sf(min(self._statistics(limit)), self.items - 1)) if self._error else 1.0

    def p_below(self, limit: float) -> float:
        """See `Difference`."""
        from scipy import stats

        return float(stats.t.cdf(max(self._statistics(limit)), self.items - 1)) if self._error else 1.0

    def bounds(self, confidence: float) -> tuple[float, float]:
        """See `Difference`; infinite where all answers of both models have one value."""
        from scipy import stats

        error, skew = self._error, self._skew
        if not error:
            return -math.inf, math.inf
        quantile = float(stats.t.ppf(confidence, self.items - 1))
        ends = [quantile, -quantile]
        if skew:
            ends += [3 * (math.cbrt(1 + skew * (end - skew / 6)) - 1) / skew for end in ends]
        return self.value - error * max(ends), self.value - error * min(ends)

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """See `Difference`."""
        variance = _upper_variance(self.parts)
        if truth <= limit or not (variance or self.unrelated):
            return None
        return t_items_needed(truth - limit, variance, self.unrelated, confidence, power)

    def _statistics(self, limit: float) -> tuple[float, float]:
        """Student's t of the distance from `limit`, plain and transformed so that skewness cancels."""
        plain, skew = (self.value - limit) / self._error, self._skew
        return plain, ((1 + skew * plain / 3) ** 3 - 1) / skew + skew / 6 if skew else plain

    @property
    def _error(self) -> float:
        """Standard error of the value; 0 where nothing is known of it."""
        added = _UNRELATED * self.unrelated / max(1, self.items - 1)
        return math.sqrt((_variance(self.parts) + added) / self.items)

    @property
    def _skew(self) -> float:
        """Skewness of the parts over the root of their number; 0 where it does not count."""
        if self.items < MIN_ITEMS or not _variance(self.parts):
            return 0.0
        third = float(((self.parts - self.parts.mean()) ** 3).sum()) / ((self.items - 1) * (self.items - 2))
        skew = third / self._error**3 / self.items
        return skew if abs(skew) > _ROUNDING else 0.0


def t_items_needed(distance: float, variance: float, unrelated: float, confidence: float, power: float) -> int | None:
    """Units with which a one-sided t-test shows that a mean lies `distance` from a limit (noncentral t).

    Args:
        distance: Above 0.
        variance: Of the parts.
        unrelated: See `MeanDifference`.
        confidence: One-sided.
        power: The wanted power.

    Returns:
        None where 10^9 units do not suffice.
    """
    from scipy import stats

    def is_enough(units: int) -> bool:
        error = math.sqrt((variance + _UNRELATED * unrelated / (units - 1)) / units)
        critical = stats.t.ppf(confidence, units - 1)
        return error == 0 or bool(stats.nct.sf(critical, units - 1, min(distance / error, 30.0)) >= power)

    too_few, enough = MIN_ITEMS - 1, MIN_ITEMS
    while not is_enough(enough):
        too_few, enough = enough, 2 * enough
        if too_few > MAX_ITEMS:
            return None
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if is_enough(middle) else (middle, enough)
    return enough


def _upper_variance(parts: Values) -> float:
    """Upper limit of the parts' variance: as of normal parts or, where that is more, by their fourth moment."""
    from scipy import stats

    units, variance = len(parts), _variance(parts)
    if variance == 0:
        return 0.0
    normal = variance * (units - 1) / stats.chi2.ppf(1 - SPREAD_CONFIDENCE, units - 1)
    error = math.sqrt(max(float(np.mean((parts - parts.mean()) ** 4)) - variance**2, 0.0) / units)
    return float(max(normal, variance + stats.norm.ppf(SPREAD_CONFIDENCE) * error))


def paired(kind: MetricKind, before: Values, after: Values, *, sign: int = 1, share: float = 0.0) -> Difference:
    """The candidate's value minus (1 + `share`) times the baseline's, times `sign`.

    Args:
        kind: Of the metric.
        before: What each unit adds to the baseline's value, shape [units, columns].
        after: The same of the candidate.
        sign: -1 where lower is better, so that more is always better.
        share: A change relative to the baseline; the difference is then 0 where the change is just that.
    """
    if share == 0 and kind == "proportion":
        change = sign * (after[:, 0] - before[:, 0])
        return CountedDifference(int((change > 0).sum()), int((change < 0).sum()), len(before))
    if share == 0 and kind in ("mean", "proportion") and np.array_equal(before, after) and _are_shares(before):
        return CountedDifference(0, 0, len(before))  # the rarest change that could be is one of a whole answer
    old, new = (1 + share) * pseudo_values(kind, before), pseudo_values(kind, after)
    value = sign * (value_of_clusters(kind, after) - (1 + share) * value_of_clusters(kind, before))
    differing = int((before != after).any(1).sum())
    alike = 1 - differing / len(before) if _variance(new - old) else 1.0
    return MeanDifference(value, sign * (new - old), differing, alike * (_variance(old) + _variance(new)))


def _variance(parts: Values) -> float:
    """Sample variance; 0 where the parts are equal but for rounding."""
    if len(parts) < 2 or np.ptp(parts) <= _ROUNDING * max(1.0, float(np.abs(parts).max())):  # noqa: PLR2004
        return 0.0
    return float(np.var(parts, ddof=1))


def _are_shares(table: Values) -> bool:
    """Whether each unit adds at most as much to the sum as to the count."""
    return bool(((table[:, 0] >= 0) & (table[:, 0] <= table[:, 1])).all())


@dataclass(frozen=True)
class Single:
    """A model's own value: a share of right answers with Wilson's interval, or the mean of one part for each unit."""

    value: float
    items: int
    right: float | None
    difference: MeanDifference

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bound."""
        if self.right is not None:
            return wilson_interval(self.right, self.items, 2 * (1 - confidence))
        return self.difference.bounds(confidence)

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """As of a `Difference`."""
        return self.difference.items_to_exceed(limit, truth, confidence, power)


def single(kind: MetricKind, table: Values) -> Single:
    """A model's own value, from what each unit adds to it, shape [units, columns]."""
    parts, value = pseudo_values(kind, table), value_of_clusters(kind, table)
    right = float(table[:, 0].sum()) if kind == "proportion" else None
    if right is not None:  # a share of 0 or 1 has no spread that one could see; two right and two wrong are added
        parts = np.concatenate([parts, [0.0, 0.0, 1.0, 1.0]])
    elif kind == "mean" and np.ptp(parts) == 0 and _are_shares(table):
        right = value * len(table)
    return Single(value, len(table), right, MeanDifference(value, parts, len(parts), 0.0))


def pseudo_values(kind: MetricKind, table: Values) -> Values:
    """The jackknife's pseudo-values, moved so that their mean is the value of the metric; shape [units]."""
    whole, items = value_of_clusters(kind, table), len(table)
    if items == 1:
        return np.array([whole])
    parts = items * whole - (items - 1) * aggregator(kind)(table.sum(0) - table)
    return np.asarray(parts - parts.mean() + whole)
