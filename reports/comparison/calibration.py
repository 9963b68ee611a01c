"""Prediction-powered means: a few human ratings correct what a judge says about many answers.

The judge's mean over all judged answers is corrected by its error on the rated ones, with a weight that is tuned on the
rated answers (PPI++, Angelopoulos, Duchi and Zrnic 2023; for means this is the regression estimator of double sampling,
Cochran 1977, section 12.6). Estimate and interval are valid however bad the judge is: with a useless one the weight
goes to 0 and the ratings alone remain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison.inference import LEVEL, Inference, Interval, critical_value
from reports.comparison.proportions import POWER, wilson_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]
    Codes = NDArray[np.intp]

MARK_LIMITS = (1.0, 5.0)
ENOUGH_RATINGS = 30  # from which on the simulation shows that intervals hold their level
_SPREAD_CONFIDENCE = 0.95  # one-sided, of the upper limit of a spread that plans are made with
_ROUNDING = 1e-9


@dataclass(frozen=True)
class PoweredMean:
    """The mean rating of all judged answers, from the ratings of some of them.

    Attributes:
        inference: Estimate and intervals from ratings and judge.
        ratings_alone: The same from the ratings only.
        judge_weight: Weight of the judge in [0, 1], its scores scaled to the spread of the ratings; 0 if unused.
        correlation: Of judge and ratings within strata; None if either does not vary.
        judge_error: Mean of the judge's scores minus the ratings of the same answers.
        rated: Number of rated answers.
        judged: Number of judged answers, rated or not.
        confidence: Of `interval` and `ratings_interval`.
        unexplained: Share of the ratings' variance that the judge does not explain.
    """

    inference: Inference
    ratings_alone: Inference
    judge_weight: float
    correlation: float | None
    judge_error: float
    rated: int
    judged: int
    confidence: float
    unexplained: float

    @property
    def interval(self) -> Interval:
        """The interval from ratings and judge."""
        return self.inference.ends(1 - self.confidence)

    @property
    def ratings_interval(self) -> Interval:
        """The interval from the ratings alone."""
        return self.ratings_alone.ends(1 - self.confidence)

    def further_ratings(self, margin: float) -> int | None:
        """How many more of the judged answers to rate, so that a true difference of the margin is detected.

        With 80 % power, and where that many are rated already, so that two equal models are shown to be equivalent. The
        variance is that of these ratings and this judge at its upper 95 % limit; the estimate is not used.

        Args:
            margin: The smallest relevant difference, above 0.

        Returns:
            0 if the interval excludes 0 or lies within the margin already; None if rating all judged answers does not
            suffice.
        """
        low, high = self.interval
        if low > 0 or high < 0 or (-margin < low and high < margin):
            return 0
        for power in (POWER, (1 + POWER) / 2):
            needed = next((n for n in range(2, self.judged + 1) if self._detects(margin, n, power)), None)
            if needed is None or needed > self.rated:
                return None if needed is None else needed - self.rated
        return 1 if self.rated < self.judged else None

    def _detects(self, margin: float, ratings: int, power: float) -> bool:
        """Whether a difference of the margin is detected with so many ratings."""
        from scipy import special

        now = self.unexplained / self.rated + (1 - self.unexplained) / self.judged
        then = self.unexplained / ratings + (1 - self.unexplained) / self.judged
        degrees = self.inference.degrees_of_freedom
        limit = degrees / float(special.chdtri(degrees, _SPREAD_CONFIDENCE))
        error = self.inference.standard_error * math.sqrt(then / now * limit)
        shift = margin - float(critical_value(1 - self.confidence, degrees + ratings - self.rated)) * error
        return shift >= float(special.ndtri(power)) * error


def prediction_powered_mean(
    rated: ArrayLike,
    judged_of_rated: ArrayLike,
    judged_of_others: ArrayLike,
    confidence: float = 0.95,
    *,
    limits: tuple[float, float] = MARK_LIMITS,
    strata: tuple[Sequence[Any], Sequence[Any]] | None = None,
    weights: Mapping[Any, float] | None = None,
    clusters: tuple[Sequence[Any], Sequence[Any]] | None = None,
) -> PoweredMean:
    """The mean rating of answers of which all are judged and some are rated.

    The interval is Student's t around a standard error that counts three things: the ratings that the judge does not
    explain, the uncertainty of the judge's slope, and that the judged answers are a sample themselves. A judge that
    reproduces all n ratings is taken to miss one more by their standard deviation, so its interval is never of zero
    width. If all ratings are equal, a share of answers that n ratings may have missed (Wilson's upper limit of 0 of n)
    may be anything within `limits`, as in the other comparisons.

    Args:
        rated: Mean human rating of each rated answer, or the difference of the ratings of two models' answers to an
            item; shape [rated].
        judged_of_rated: The judge's score of the same, shape [rated].
        judged_of_others: The judge's scores of all that were not rated, shape [others]; may be empty.
        confidence: 0.95 for a 95 % interval.
        limits: Smallest and largest possible value: (1, 5) for marks, (-4, 4) for their differences.
        strata: Stratum of each rated and of each other answer, if answers to rate were drawn by stratum, such as by
            ranges of the judge's score; the draw within a stratum is random. Each stratum has a rating.
        weights: Known share of each stratum in the population; by default that among the judged answers, whose own
            uncertainty then counts.
        clusters: Source of each rated and of each other answer, if some share one.

    Raises:
        ValueError: There are fewer than two ratings, lengths differ, a value is no number or a rating is beyond the
            limits, or a stratum has no rating.
    """
    sample = _sample(rated, judged_of_rated, judged_of_others, limits, strata, weights, clusters)
    slope, correlation = sample.slope()
    alone = sample.mean(0.0, limits)
    powered = sample.mean(slope, limits) if slope else alone
    spread, residual = sample.spread(0.0), sample.spread(slope)
    count, judged = len(sample.ratings), len(sample.judged)
    return PoweredMean(
        inference=powered,
        ratings_alone=alone,
        judge_weight=(correlation or 0.0) * (judged - count) / judged if slope else 0.0,
        correlation=correlation,
        judge_error=float((sample.judged[:count] - sample.ratings).mean()),
        rated=count,
        judged=judged,
        confidence=confidence,
        unexplained=max(residual / spread, 1 / (count + 1)) if slope else 1.0,
    )


@dataclass(frozen=True)
class _Sample:
    """Ratings and judgements; the first judged answers are the rated ones.

    Attributes:
        ratings: Shape [rated].
        judged: Shape [judged].
        stratum: Stratum of each judged answer, counted from 0.
        cluster: Cluster of each judged answer, counted from 0.
        shares: Share of each stratum in the population.
        are_known: Whether the shares are known, not estimated by the judged answers.
    """

    ratings: Values
    judged: Values
    stratum: Codes
    cluster: Codes
    shares: Values
    are_known: bool

    @property
    def rated_stratum(self) -> Codes:
        """Stratum of each rated answer."""
        return self.stratum[: len(self.ratings)]

    def weights(self, stratum: Codes) -> Values:
        """Weight of each answer in the mean over strata, shape as given; the sum is 1."""
        return np.asarray((self.shares / np.bincount(stratum, minlength=len(self.shares)))[stratum])

    def centered(self, values: Values) -> Values:
        """Values of rated answers minus the mean of their stratum; minus that of all in a stratum of one answer."""
        sizes = np.bincount(self.rated_stratum)
        means = np.bincount(self.rated_stratum, values) / sizes
        return np.asarray(values - np.where(sizes > 1, means, values.mean())[self.rated_stratum])

    def spread(self, slope: float) -> float:
        """Mean square of what the judge leaves of the ratings within strata."""
        return float((self.centered(self.ratings - slope * self.judged[: len(self.ratings)]) ** 2).mean())

    def slope(self) -> tuple[float, float | None]:
        """Slope of the ratings on the judge, never below 0, and their correlation within strata."""
        weights = self.weights(self.rated_stratum) ** 2
        rating, judge = self.centered(self.ratings), self.centered(self.judged[: len(self.ratings)])
        squares, products = weights @ judge**2, weights @ (judge * rating)
        if min(squares, weights @ rating**2) <= _ROUNDING * weights.sum():
            return 0.0, None
        correlation = float(products / math.sqrt(squares * (weights @ rating**2)))
        has_others = len(self.judged) > len(self.ratings)
        return max(float(products / squares), 0.0) if has_others else 0.0, correlation

    def mean(self, slope: float, limits: tuple[float, float]) -> Inference:
        """The mean with a slope of the ratings on the judge; with 0, that of the ratings alone."""
        count = len(self.ratings)
        rated, every = self.weights(self.rated_stratum), self.weights(self.stratum)
        left, judge = self.ratings - slope * self.judged[:count], slope * self.judged
        estimate = float(rated @ left + every @ judge)
        centers = np.bincount(self.stratum, judge) / np.bincount(self.stratum)
        parts = np.bincount(self.rated_stratum, left) / np.bincount(self.rated_stratum) + centers
        sampled = judge - centers[self.stratum] + (0.0 if self.are_known else parts[self.stratum] - estimate)
        influence = every * sampled
        residual = self.centered(left)
        sizes = np.bincount(self.rated_stratum)
        lost = np.sqrt(sizes / np.maximum(sizes - 1, 1))[self.rated_stratum]  # a degree of freedom in each stratum
        influence[:count] += rated * residual * lost
        if slope:
            centered = self.centered(self.judged[:count])
            distance = float(every @ self.judged - rated @ self.judged[:count])
            influence[:count] += distance * rated**2 * centered * residual / float(rated**2 @ centered**2)
        test = "prediction-powered t" if slope else "t of ratings"
        return self._inference(estimate, influence, len(self.shares) + bool(slope), limits, test)

    def _inference(
        self,
        estimate: float,
        influence: Values,
        fitted: int,
        limits: tuple[float, float],
        test: str,
    ) -> Inference:
        """Student's t around the standard error of independent clusters.

        Args:
            estimate: The mean.
            influence: How much each judged answer moves it, shape [judged].
            fitted: Number of means and slopes that were fitted to the ratings.
            limits: Smallest and largest possible value.
            test: Name of the test.
        """
        count = len(self.ratings)
        sums = np.bincount(self.cluster, influence)
        has_rating = np.bincount(self.cluster[:count], minlength=len(sums)) > 0
        units, others = int(has_rating.sum()), int((~has_rating).sum())
        if np.ptp(self.ratings) <= _ROUNDING:
            return _of_equal_ratings(estimate, units, limits)
        degrees = max(units - fitted, 1)
        within = max(units - len(self.shares), 1) / degrees
        if units < count:  # degrees of freedom are lost among clusters, not among answers
            within = units / degrees * (count - len(self.shares)) / count
        least = float(self.ratings.var(ddof=1)) / units / (units + 1)
        first = max(float((sums[has_rating] ** 2).sum()) * within, least)
        second = float((sums[~has_rating] ** 2).sum()) * others / max(others - 1, 1)
        error = math.sqrt(first + second)
        freedom = error**4 / (first**2 / degrees + second**2 / max(others - 1, 1))

        def ends(level: float) -> Interval:
            half = float(critical_value(level, freedom)) * error
            return max(estimate - half, limits[0]), min(estimate + half, limits[1])

        few = f"only {units} {'ratings' if units == count else 'independent groups of ratings'}"
        return Inference(
            estimate=min(max(estimate, limits[0]), limits[1]),
            ends=ends,
            test=test,
            standard_error=error,
            degrees_of_freedom=freedom,
            caution=few if units < ENOUGH_RATINGS else "",
            is_over_items=False,
        )


def _of_equal_ratings(estimate: float, units: int, limits: tuple[float, float]) -> Inference:
    """All ratings are equal: a share of answers that these ratings may have missed can have any value."""

    def ends(level: float) -> Interval:
        missed = wilson_interval(0, units, level)[1]
        return estimate - missed * (estimate - limits[0]), estimate + missed * (limits[1] - estimate)

    low, high = ends(LEVEL)
    error = (high - low) / 2 / float(critical_value(LEVEL, max(units - 1, 1)))
    few = "all ratings are equal"
    return replace(
        Inference(estimate, ends, "all ratings alike", error, max(units - 1.0, 1.0)), caution=few, is_over_items=False
    )


def _sample(
    rated: ArrayLike,
    judged_of_rated: ArrayLike,
    judged_of_others: ArrayLike,
    limits: tuple[float, float],
    strata: tuple[Sequence[Any], Sequence[Any]] | None,
    weights: Mapping[Any, float] | None,
    clusters: tuple[Sequence[Any], Sequence[Any]] | None,
) -> _Sample:
    ratings, first, others = (np.asarray(of, dtype=float) for of in (rated, judged_of_rated, judged_of_others))
    judged = np.concatenate([first, others])
    if len(ratings) != len(first) or len(ratings) < 2:  # noqa: PLR2004
        raise ValueError(f"there are {len(ratings)} ratings and {len(first)} judgements of the same; two at least")
    if not (np.isfinite(ratings).all() and np.isfinite(judged).all()):
        raise ValueError("some values are not numbers")
    if ratings.min() < limits[0] or ratings.max() > limits[1]:
        raise ValueError(f"ratings from {ratings.min():g} to {ratings.max():g} are beyond the limits {limits}")
    names, stratum = _codes(strata, len(ratings), len(judged), "strata")
    _, cluster = _codes(clusters, len(ratings), len(judged), "clusters")
    if strata is None:
        stratum = np.zeros(len(judged), dtype=np.intp)
    sizes = np.bincount(stratum).astype(float)
    empty = np.flatnonzero(np.bincount(stratum[: len(ratings)], minlength=len(sizes)) == 0)
    if len(empty):
        raise ValueError(f"no answer of the stratum {names[empty[0]]} is rated; join it with another before drawing")
    shares = sizes if weights is None or strata is None else np.array([weights[name] for name in names], dtype=float)
    return _Sample(ratings, judged, stratum, cluster, shares / shares.sum(), weights is not None)


def _codes(
    labels: tuple[Sequence[Any], Sequence[Any]] | None, rated: int, judged: int, what: str
) -> tuple[list[Any], Codes]:
    """The distinct labels and the number of each answer's; each answer by itself where there are none."""
    if labels is None:
        return [], np.arange(judged)
    flat = [*labels[0], *labels[1]]
    if len(labels[0]) != rated or len(flat) != judged:
        raise ValueError(f"there are {len(labels[0])} and {len(labels[1])} {what} for {rated} and {judged - rated}")
    places = {name: place for place, name in enumerate(dict.fromkeys(flat))}
    return list(places), np.array([places[name] for name in flat], dtype=np.intp)
