"""A figure or a paired difference as the mean of one part for each item, and the tests and bounds on it.

Parts are the jackknife's pseudo-values (Tukey 1958), which for a mean are the values themselves: so one t-test serves
means, ratios such as perplexity, and macro-F1. Right or wrong is counted in the four cells of its table instead, half
an item added to each (Agresti and Min 2005), and tested exactly against no difference (McNemar).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison.sums import figure, figure_of_units
from reports.document.schema import MetricKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

MIN_ITEMS = 10  # below these no test is trusted, however equal the items are
_SPREAD_CONFIDENCE = 0.99  # one-sided, of the spread that items are asked by
_SURE_EFFECT = 2.0  # standard deviations that MIN_ITEMS show at any level in use
_LEAST_EFFECT = 1e-4
_MOST_ITEMS = 10**9  # at that effect; a number to say that no data will do
_ADDED = 2.0  # right and wrong items added to a single share (Agresti and Coull 1998)


@dataclass(frozen=True)
class Estimate:
    """A quantity, made of independent parts.

    Attributes:
        value: The quantity itself.
        parts: What it is the mean of, shape [parts].
        counts: How often each part occurs; the tests rest on these.
        items: How many items there are, or groups of items that share a source.
        spread_high: Upper bound of the parts' standard deviation.
        signs: Items that only the candidate and that only the baseline got right; None for what is not right or wrong.
    """

    value: float
    parts: Values
    counts: Values
    items: int
    spread_high: float
    signs: tuple[int, int] | None = None

    @property
    def spread(self) -> float:
        """Standard deviation of the parts."""
        return float(self._stats.std) if self.items > 1 else 0.0

    def p_above(self, limit: float) -> float:
        """One-sided p-value against "the quantity is at most `limit`"."""
        from scipy import stats

        if self.signs is not None and limit == 0:
            gained, lost = self.signs
            return float(stats.binomtest(gained, gained + lost, alternative="greater").pvalue) if gained + lost else 1.0
        if self.spread == 0:
            return 0.0 if self.value > limit else 1.0
        return float(self._stats.ttest_mean(limit, "larger")[1])

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bound."""
        if self.spread == 0:
            return self.value, self.value
        low, high = self._stats.tconfint_mean(2 * (1 - confidence))
        return float(low), float(high)

    @property
    def _stats(self) -> Any:
        from statsmodels.stats.weightstats import DescrStatsW

        return DescrStatsW(self.parts, self.counts, ddof=1)

    def items_needed(self, distance: float, confidence: float, power: float) -> int:
        """How many items show with `power` that the quantity lies `distance` from a limit, as far as these tell."""
        return _items_needed(distance, self.spread, confidence, power)

    def items_to_ask(self, distance: float, confidence: float, power: float) -> int:
        """The same, more than there are and so many that asking once is enough: of the parts' largest likely spread."""
        return max(self.items + 1, _items_needed(distance, self.spread_high, confidence, (1 + power) / 2))


def _items_needed(distance: float, spread: float, confidence: float, power: float) -> int:
    from statsmodels.stats.power import TTestPower

    effect = distance / spread if spread else math.inf
    if effect >= _SURE_EFFECT:
        return MIN_ITEMS
    if effect < _LEAST_EFFECT:
        return _MOST_ITEMS
    found = TTestPower().solve_power(effect, alpha=1 - confidence, power=power, alternative="larger")
    return max(MIN_ITEMS, math.ceil(float(np.asarray(found).item())))


def single(kind: MetricKind, table: Values) -> Estimate:
    """A model's own figure."""
    if kind == "proportion":
        hits, items = float(table[:, 0].sum()), len(table)
        counts = np.array([hits, items - hits]) + _ADDED
        share = counts[0] / counts.sum()
        return Estimate(hits / items, np.array([1.0, 0.0]), counts, items, math.sqrt(share * (1 - share)))
    return _from_parts(figure_of_units(kind, table), pseudo_values(kind, table))


def paired(kind: MetricKind, before: Values, after: Values, *, sign: int = 1, share: float = 0.0) -> Estimate:
    """Candidate's figure minus (1 + share) times the baseline's, times `sign`.

    Args:
        kind: Of the metric.
        before: What each item adds to the baseline's figure, shape [items, columns].
        after: The same of the candidate.
        sign: -1 where lower is better, so that more is always better.
        share: A change relative to the baseline; the quantity is then zero where the change is just that.
    """
    value = sign * (figure_of_units(kind, after) - (1 + share) * figure_of_units(kind, before))
    if kind != "proportion":
        return _from_parts(value, sign * (pseudo_values(kind, after) - (1 + share) * pseudo_values(kind, before)))
    from statsmodels.stats.proportion import proportion_confint

    cells = [(b, a) for b in (0.0, 1.0) for a in (0.0, 1.0)]
    seen = [int(((before[:, 0] == b) & (after[:, 0] == a)).sum()) for b, a in cells]
    items, (_, gained, lost, _) = len(before), seen
    parts = np.array([sign * (a - (1 + share) * b) for b, a in cells])
    unequal = proportion_confint(gained + lost, items, 2 * (1 - _SPREAD_CONFIDENCE), "wilson")[1]
    signs = (gained, lost) if sign > 0 else (lost, gained)
    return Estimate(value, parts, np.array(seen) + 0.5, items, math.sqrt(float(unequal)), signs if share == 0 else None)


def pseudo_values(kind: MetricKind, table: Values) -> Values:
    """The jackknife's pseudo-values of a figure, moved so that their mean is the figure; shape [items]."""
    whole, items = figure_of_units(kind, table), len(table)
    if items == 1:
        return np.array([whole])
    parts = items * whole - (items - 1) * figure(kind)(table.sum(0) - table)
    return np.asarray(parts - parts.mean() + whole)


def _from_parts(value: float, parts: Values) -> Estimate:
    items = len(parts)
    spread = float(np.std(parts, ddof=1)) if items > 1 else 0.0
    if spread <= 1e-12 * max(1.0, abs(value)):  # equal but for rounding
        parts, spread = np.full(items, value), 0.0
    return Estimate(value, parts, np.ones(items), items, _spread_high(parts) if spread else 0.0)


def _spread_high(parts: Values) -> float:
    """Upper bound of the standard deviation: as of normal parts or, where that is more, as their fourth moment says."""
    from scipy import stats

    items, variance = len(parts), float(np.var(parts, ddof=1))
    normal = variance * (items - 1) / stats.chi2.ppf(1 - _SPREAD_CONFIDENCE, items - 1)
    of_variance = math.sqrt(max(float(np.mean((parts - parts.mean()) ** 4)) - variance**2, 0.0) / items)
    return math.sqrt(max(normal, variance + stats.norm.ppf(_SPREAD_CONFIDENCE) * of_variance))
