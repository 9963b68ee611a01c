"""A paired difference tested by a t-test on one part for each unit, and the number of units that such a test needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reports.comparison.proportions import MAX_ITEMS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

MIN_ITEMS = 10  # no test is trusted below, however much the items agree
SPREAD_CONFIDENCE = 0.95  # one-sided, of the discordance or spread that numbers of items are planned with
_UNRELATED = 2  # units with unrelated answers, added to the spread of a difference
_ROUNDING = 1e-12  # relative; parts that differ by less are equal


@dataclass(frozen=True)
class MeanDifference:
    """A difference that is the mean of one part for each unit.

    Units that both models answer alike do not show how far answers can differ. So two units with unrelated answers
    are added to the variance of the parts, weighted by the share of units that are alike: what Agresti and Min (2005)
    add to a table of right and wrong answers. Both the plain t-test, which overlooks rare large losses, and that with
    Hall's correction for skewness (1992), which is too confident with few items, have to reject.

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
    caution: str = ""

    @property
    def items(self) -> int:
        """Number of units."""
        return len(self.parts)

    def p_above(self, limit: float) -> float:
        """See `Difference`; 1 if all answers of both models have the same value, which shows no spread."""
        from scipy import stats

        return float(stats.t.sf(min(self._statistics(limit)), self.items - 1)) if self._error else 1.0

    def p_below(self, limit: float) -> float:
        """See `Difference`."""
        from scipy import stats

        return float(stats.t.cdf(max(self._statistics(limit)), self.items - 1)) if self._error else 1.0

    def bounds(self, confidence: float) -> tuple[float, float]:
        """See `Difference`; infinite if all answers of both models have the same value."""
        from scipy import stats

        error, skew = self._error, self._skew
        if not error:
            return -math.inf, math.inf
        quantile = float(stats.t.ppf(confidence, self.items - 1))
        ends = [quantile, -quantile]
        if skew:
            ends += [3 * (math.cbrt(1 + skew * (end - skew / 6)) - 1) / skew for end in ends]
        return self.value - error * max(ends), self.value - error * min(ends)

    def mirrored(self) -> MeanDifference:
        """The same with the opposite sign."""
        return replace(self, value=-self.value, parts=-self.parts)

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """See `Difference`."""
        variance = _upper_variance(self.parts)
        if truth <= limit or not (variance or self.unrelated):
            return None
        return t_items_needed(truth - limit, variance, self.unrelated, confidence, power)

    def _statistics(self, limit: float) -> tuple[float, float]:
        """Student's t of the distance from `limit`, plain and corrected for skewness."""
        plain, skew = (self.value - limit) / self._error, self._skew
        return plain, ((1 + skew * plain / 3) ** 3 - 1) / skew + skew / 6 if skew else plain

    @property
    def _error(self) -> float:
        """Standard error of the value; 0 if the answers show no spread."""
        added = _UNRELATED * self.unrelated / max(1, self.items - 1)
        return math.sqrt((sample_variance(self.parts) + added) / self.items)

    @property
    def _skew(self) -> float:
        """Skewness of the parts over the root of their number; 0 if there are too few to correct for it."""
        if self.items < MIN_ITEMS or not sample_variance(self.parts):
            return 0.0
        third = float(((self.parts - self.parts.mean()) ** 3).sum()) / ((self.items - 1) * (self.items - 2))
        skew = third / self._error**3 / self.items
        return skew if abs(skew) > _ROUNDING else 0.0


def t_items_needed(distance: float, variance: float, unrelated: float, confidence: float, power: float) -> int | None:
    """Units with which a one-sided t-test shows that a mean lies `distance` from a limit (noncentral t).

    Args:
        distance: Above 0.
        variance: Variance of the parts.
        unrelated: See `MeanDifference`.
        confidence: One-sided.
        power: Target power.

    Returns:
        None if 10^9 units are not enough.
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
    """Upper limit of the parts' variance: for normal parts or from their fourth moment, whichever is larger."""
    from scipy import stats

    units, variance = len(parts), sample_variance(parts)
    if variance == 0:
        return 0.0
    normal = variance * (units - 1) / stats.chi2.ppf(1 - SPREAD_CONFIDENCE, units - 1)
    error = math.sqrt(max(float(np.mean((parts - parts.mean()) ** 4)) - variance**2, 0.0) / units)
    return float(max(normal, variance + stats.norm.ppf(SPREAD_CONFIDENCE) * error))


def sample_variance(parts: Values) -> float:
    """Sample variance; 0 if the parts are equal up to rounding."""
    if len(parts) < 2 or np.ptp(parts) <= _ROUNDING * max(1.0, float(np.abs(parts).max())):  # noqa: PLR2004
        return 0.0
    return float(np.var(parts, ddof=1))
