"""Intervals and tests of ratios of sums over units: means, perplexity, bits per byte, and differences of these.

The interval joins two: Student's t around a jackknife standard error, with the degrees of freedom of the units' weights
(Kish 1965), which holds where a few units weigh most; and the studentised bootstrap (Efron 1979, Hall 1988), which
follows skew. Each end is the farther of the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reports.comparison.counts import exact_share, few_units, scaled, score_test
from reports.comparison.inference import Inference, Interval, critical_value
from reports.comparison.proportions import wilson_interval
from reports.comparison.resampling import resampled
from reports.comparison.sums import MAX_LOG

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_RESAMPLES = 4_000
_LEAST_RESAMPLES = 1_000
_CELLS = 1_000_000  # drawn units over all resamples, at most
_ERROR_FLOOR = 0.35  # of the standard error: resamples that drew nothing but equal units have none of their own
_MOST_SIGNS = 60  # 2**-59 is below every level in use
_SKEW = 4.0
_FEW = 5
_MANY = 50
_SELDOM = 0.3  # share of the rarer of two values
_SKEWED_FROM = 20  # items from which on a sample can tell its skewness


@dataclass(frozen=True)
class Ratios:
    """A weighted sum of functions of ratios: one model's metric, or the difference of two.

    Attributes:
        tops: What each unit adds to each numerator, shape [units, ratios].
        bottoms: What it adds to each denominator, shape [units, ratios].
        weights: The weight of each ratio in the sum: (1,) for one model, (-1, 1) for a difference.
        link: From a ratio to the metric: `identity`, `exp` of minus it (perplexity), or minus it in `bits`.
    """

    tops: Values
    bottoms: Values
    weights: tuple[float, ...]
    link: str = "identity"

    def value(self, tops: Values, bottoms: Values) -> Values:
        """The quantity from sums over units, shape [..., ratios]."""
        return np.asarray(self.link_of(tops / bottoms) @ np.asarray(self.weights))

    @property
    def is_difference(self) -> bool:
        """Whether it compares models."""
        return len(self.weights) > 1

    @property
    def has_equal_weights(self) -> bool:
        """Whether it is a mean over units, or a difference of two such means."""
        return self.link == "identity" and bool((self.bottoms == self.bottoms[0, 0]).all())

    @property
    def differing(self) -> int:
        """How many units have a value that is not 0; for a difference those that differ between the models."""
        return int((self.unit_values() != 0).sum())

    @property
    def estimate(self) -> float:
        """The quantity of all units."""
        return float(self.value(self.tops.sum(0), self.bottoms.sum(0)))

    def unit_values(self) -> Values:
        """The quantity of each unit alone, rounded so that equal ones are equal; shape [units]."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a unit may have no denominator
            return np.round(self.value(self.tops, self.bottoms), 12)

    def influence(self) -> Values:
        """How much each unit moves the quantity, to first order; shape [units], the sum is 0."""
        ratio = self.tops.sum(0) / self.bottoms.sum(0)
        slope = self._slope(ratio) * np.asarray(self.weights) / self.bottoms.sum(0)
        return np.asarray((self.tops - ratio * self.bottoms) @ slope)

    def jackknife_error(self) -> float:
        """Standard error from leaving out one unit at a time."""
        count = len(self.tops)
        left = self.value(self.tops.sum(0) - self.tops, self.bottoms.sum(0) - self.bottoms)
        return math.sqrt((count - 1) / count * float(((left - left.mean()) ** 2).sum()))

    def shares(self) -> Values:
        """Each unit's share of the denominators, shape [units]."""
        return np.asarray((self.bottoms / self.bottoms.sum(0)).mean(1))

    def reversed(self) -> Ratios:
        """The same quantity with the opposite sign."""
        return Ratios(
            self.tops[:, ::-1], self.bottoms[:, ::-1], tuple(-weight for weight in self.weights[::-1]), self.link
        )

    def in_fixed_order(self) -> Ratios:
        """The same units, sorted by what they add, so that their order cannot matter."""
        order = np.lexsort(np.concatenate([self.tops, self.bottoms], axis=1).T)
        return Ratios(self.tops[order], self.bottoms[order], self.weights, self.link)

    def precedes(self, other: Ratios) -> bool:
        """Whether its first value that is not the same in the other is the smaller one; an order without meaning."""
        own, others = (np.concatenate([side.tops, side.bottoms], axis=1).ravel() for side in (self, other))
        different = np.flatnonzero(own != others)
        return bool(len(different)) and bool(own[different[0]] < others[different[0]])

    def studentised(self, seed: int) -> Values:
        """Sorted bootstrap draws of (resampled minus observed quantity) over its standard error, shape [resamples]."""
        count, ratios = self.tops.shape
        ratio = self.tops.sum(0) / self.bottoms.sum(0)
        # Numerators without what the observed ratio explains: then no digits cancel in the sums of squares.
        columns = np.concatenate([self.tops - ratio * self.bottoms, self.bottoms], axis=1)
        pairs = [(a, b) for a in range(2 * ratios) for b in range(a, 2 * ratios)]
        products = np.stack([columns[:, a] * columns[:, b] for a, b in pairs], axis=1)
        least = _ERROR_FLOOR**2 * float((self.influence() ** 2).sum())
        observed, drawn = self.estimate, []
        resamples = int(np.clip(_CELLS // count, _LEAST_RESAMPLES, _RESAMPLES))
        for times in resampled(count, resamples, seed):
            sums, squares = times @ columns, times @ products
            extra, bottoms = sums[:, :ratios] / sums[:, ratios:], sums[:, ratios:]
            slope = self._slope(ratio + extra) * np.asarray(self.weights) / bottoms
            gradient = np.concatenate([slope, -slope * extra], axis=1)
            variance = sum(
                (1 + (a != b)) * gradient[:, a] * gradient[:, b] * squares[:, place]
                for place, (a, b) in enumerate(pairs)
            )
            error = np.sqrt(np.maximum(variance, least) * count / (count - 1))
            drawn.append((self.value(ratio * bottoms + sums[:, :ratios], bottoms) - observed) / error)
        draws = np.concatenate(drawn)
        return np.sort(draws[np.isfinite(draws)])  # a resample may have no denominator

    def link_of(self, ratio: Values) -> Values:
        """The metric of each ratio."""
        if self.link == "exp":
            return np.exp(np.minimum(-ratio, MAX_LOG))
        return -ratio / math.log(2) if self.link == "bits" else ratio

    def _slope(self, ratio: Values) -> Values:
        if self.link == "exp":
            return -np.exp(np.minimum(-ratio, MAX_LOG))
        return np.full_like(ratio, -1 / math.log(2) if self.link == "bits" else 1.0)


def infer(ratios: Ratios, *, seed: int, lowest: float, highest: float, clustered: bool = False) -> Inference:
    """The inference about a quantity of ratios.

    Args:
        ratios: The quantity, of at least two units.
        seed: Seed of the bootstrap.
        lowest: The least that the quantity can be.
        highest: The most that it can be.
        clustered: Whether units are groups of items, so that few of them deserve a caution.
    """
    ratios, swapped = ratios.in_fixed_order(), ratios.reversed().in_fixed_order()
    if ratios.is_difference and swapped.precedes(ratios):  # the same draws whichever model comes first
        return infer(swapped, seed=seed, lowest=-highest, highest=-lowest, clustered=clustered).mirrored()
    is_own_mirror = ratios.is_difference and not ratios.precedes(swapped)
    influence, shares = ratios.influence(), ratios.shares()
    exact = _of_few_values(ratios, lowest, highest)
    if exact is not None:
        groups = caution(influence, shares, clustered=clustered) if clustered else ""
        return replace(exact, caution=groups or exact.caution)
    error, degrees = ratios.jackknife_error(), max(1.0, 1 / float((shares**2).sum()) - 1)
    own_error = math.sqrt(float((influence**2).sum()) * len(influence) / (len(influence) - 1))
    draws, estimate = ratios.studentised(seed), ratios.estimate

    def ends(level: float) -> Interval:
        half, place = float(critical_value(level, degrees)) * error, int(level / 2 * len(draws))
        low = min(estimate - half, estimate - draws[len(draws) - 1 - place] * own_error)
        high = max(estimate + half, estimate - draws[place] * own_error)
        if is_own_mirror:
            low, high = min(low, -high), max(high, -low)
        return max(float(low), lowest), min(float(high), highest)

    inference = Inference(
        estimate=estimate,
        ends=ends,
        test="studentised bootstrap and t",
        standard_error=error,
        degrees_of_freedom=degrees,
        caution=caution(influence, shares, clustered=clustered),
    )
    # Even if all differing units pointed one way, a sign-flip test would not reject below this level.
    return inference.with_least_p(_sign_flip_p(ratios.differing)) if ratios.is_difference else inference


def _sign_flip_p(differing: int) -> float:
    """The smallest p-value of a two-sided sign-flip test; 1 where nothing differs."""
    return min(1.0, 2.0 ** (1 - min(differing, _MOST_SIGNS)))


def caution(influence: Values, shares: Values, *, clustered: bool) -> str:
    """Why an interval over these units is unreliable; empty where it is not.

    Args:
        influence: How much each unit moves the quantity, shape [units].
        shares: Each unit's share of the denominators, shape [units].
        clustered: Whether units are groups of items.
    """
    if few := few_units(shares, clustered=clustered):
        return few
    count = len(influence)
    spread = math.sqrt(float((influence**2).mean()))
    skew = abs(float((influence**3).mean())) / spread**3 if spread else 0.0
    is_skewed = count >= _SKEWED_FROM and skew > _SKEW
    return "the values are very skewed: a few items decide" if is_skewed else ""


def _of_few_values(ratios: Ratios, lowest: float, highest: float) -> Inference | None:
    """The inference where the units take so few values that they are counts in disguise; None where they do not.

    All alike: an unseen share of units may be anything (Wilson's limit of a share of 0). Two values: the share of the
    greater one, scaled (Clopper and Pearson, since the skew of such a share is the skew of the data). A gain and a loss
    of one size: scaled right and wrong (Tango).
    """
    values = ratios.unit_values()
    distinct = np.unique(values)
    if len(distinct) == 1 or not ratios.influence().any():
        return _of_equal_units(ratios, lowest, highest)
    if not ratios.has_equal_weights or len(distinct) > 3:  # noqa: PLR2004
        return None
    count, size = len(values), float(np.abs(distinct).max())
    if ratios.is_difference and np.isin(distinct, (-size, 0.0, size)).all():
        gained, lost = (float((values == sign * size).sum()) for sign in (1, -1))
        return scaled(score_test(gained, lost, count), size)
    if len(distinct) > 2 or (ratios.is_difference and distinct[0] * distinct[1] > 0):  # noqa: PLR2004
        return None
    bottom, width = float(distinct[0]), float(distinct[1] - distinct[0])
    greater = int((values > bottom).sum())
    rarer = min(greater, count - greater)
    if rarer < 2:  # noqa: PLR2004 - a value seen once is no bound of what there is
        return None
    is_skewed = rarer < _FEW or (count < _MANY and rarer <= _SELDOM * count)
    unusual = f"{rarer} of {count} items differ from all others" if is_skewed else ""
    return replace(scaled(exact_share(greater, count), width, bottom), caution=unusual)


def _of_equal_units(ratios: Ratios, lowest: float, highest: float) -> Inference:
    estimate, count = ratios.estimate, len(ratios.tops)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = float(np.nanmax(np.abs(ratios.link_of(ratios.tops / ratios.bottoms))))
    below, above = (abs(end - estimate) if math.isfinite(end) else reach for end in (lowest, highest))

    def ends(level: float) -> Interval:
        unseen = wilson_interval(0, count, level)[1]
        return estimate - unseen * below, estimate + unseen * above

    inference = Inference(estimate, ends, "all items alike", 0.0, caution="all items have the same value")
    return inference.with_least_p(_sign_flip_p(ratios.differing)) if ratios.is_difference else inference
