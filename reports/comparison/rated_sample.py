"""Ratings by people and scores by a judge of the same answers: the judge's slope, and a mean with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison.inference import LEVEL, Inference, Interval, critical_value
from reports.comparison.proportions import wilson_interval, wilson_limits

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]
    Codes = NDArray[np.intp]

Labels = tuple[Sequence[Any], Sequence[Any]]  # of each rated and of each other answer
ENOUGH_RATINGS = 30  # from which on the simulation shows that intervals hold their level
_ROUNDING = 1e-9


@dataclass(frozen=True)
class RatedSample:
    """Ratings and judgements; the first judged answers are the rated ones.

    Attributes:
        ratings: Shape [rated].
        judged: Shape [judged].
        stratum: Stratum of each judged answer, counted from 0.
        cluster: Cluster of each judged answer, counted from 0.
        shares: Share of each stratum in the population.
        are_known: Whether the shares are known, not estimated by the judged answers.
        limits: Smallest and largest possible rating.
    """

    ratings: Values
    judged: Values
    stratum: Codes
    cluster: Codes
    shares: Values
    are_known: bool
    limits: Interval

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

    def mean(self, slope: float) -> Inference:
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
        return self._inference(estimate, influence, len(self.shares) + bool(slope), test)

    def _inference(self, estimate: float, influence: Values, parameters: int, test: str) -> Inference:
        """Student's t around the standard error of independent clusters, joined with Wilson's limits.

        Args:
            estimate: The mean.
            influence: How much each judged answer moves it, shape [judged].
            parameters: Number of means and slopes that were fitted to the ratings.
            test: Name of the test.
        """
        count = len(self.ratings)
        sums = np.bincount(self.cluster, influence)
        has_rating = np.bincount(self.cluster[:count], minlength=len(sums)) > 0
        units, others = int(has_rating.sum()), int((~has_rating).sum())
        if np.ptp(self.ratings) <= _ROUNDING:
            return _of_equal_ratings(estimate, units, self.limits)
        degrees = max(units - parameters, 1)
        within = max(units - len(self.shares), 1) / degrees
        if units < count:  # degrees of freedom are lost among clusters, not among answers
            within = units / degrees * (count - len(self.shares)) / count
        least = (self.spread(0.0) or float(self.ratings.var())) / (count - 1) / (count + 1)
        first = max(float((sums[has_rating] ** 2).sum()) * within, least)
        second = float((sums[~has_rating] ** 2).sum()) * others / max(others - 1, 1)
        error = math.sqrt(first + second)
        freedom = error**4 / (first**2 / degrees + second**2 / max(others - 1, 1))

        ratings_mean = float(self.weights(self.rated_stratum) @ self.ratings)
        few = f"only {units} {'ratings' if units == count else 'independent groups of ratings'}"
        return Inference(
            estimate=min(max(estimate, self.limits[0]), self.limits[1]),
            ends=_joined(estimate, error, freedom, ratings_mean, self.limits),
            test=test,
            standard_error=error,
            degrees_of_freedom=freedom,
            caution=few if units < ENOUGH_RATINGS else "",
            is_over_items=False,
        )


def _joined(
    estimate: float, error: float, freedom: float, ratings_mean: float, limits: Interval
) -> Callable[[float], Interval]:
    """Student's t joined with Wilson's limits on as many effective ratings as have the same standard error.

    The spread of a bounded rating grows away from its limits, which Wilson's interval follows and t does not.
    """
    low, size = limits[0], limits[1] - limits[0]
    center, share = (ratings_mean - low) / size, min(max((estimate - low) / size, 0.0), 1.0)
    effective = max(center * (1 - center) * (size / error) ** 2, 1.0)

    def ends(level: float) -> Interval:
        quantile = float(critical_value(level, freedom))
        first, last = (low + size * float(end) for end in wilson_limits(share, effective, quantile))
        half = quantile * error
        return max(min(estimate - half, first), limits[0]), min(max(estimate + half, last), limits[1])

    return ends


def _of_equal_ratings(estimate: float, units: int, limits: tuple[float, float]) -> Inference:
    """All ratings are equal: a share of answers that these ratings may have missed can have any value."""

    def ends(level: float) -> Interval:
        missed = wilson_interval(0, units, level)[1]
        return estimate - missed * (estimate - limits[0]), estimate + missed * (limits[1] - estimate)

    low, high = ends(LEVEL)
    error = (high - low) / 2 / float(critical_value(LEVEL, max(units - 1, 1)))
    return Inference(
        estimate,
        ends,
        "all ratings alike",
        error,
        max(units - 1.0, 1.0),
        caution="all ratings are equal",
        is_over_items=False,
    )


def rated_sample(
    values: tuple[ArrayLike, ArrayLike, ArrayLike],
    limits: Interval,
    strata: Labels | None,
    weights: Mapping[Any, float] | None,
    clusters: Labels | None,
) -> RatedSample:
    """Check and number what `calibration.prediction_powered_mean` was given: ratings, judgements of these, of others.

    Raises:
        ValueError: As there.
    """
    ratings, first, others = (np.asarray(of, dtype=float) for of in values)
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
    return RatedSample(ratings, judged, stratum, cluster, shares / shares.sum(), weights is not None, limits)


def _codes(labels: Labels | None, rated: int, judged: int, what: str) -> tuple[list[Any], Codes]:
    """The distinct labels and the number of each answer's; each answer by itself where there are none."""
    if labels is None:
        return [], np.arange(judged)
    flat = [*labels[0], *labels[1]]
    if len(labels[0]) != rated or len(flat) != judged:
        raise ValueError(f"there are {len(labels[0])} and {len(labels[1])} {what} for {rated} and {judged - rated}")
    places = {name: place for place, name in enumerate(dict.fromkeys(flat))}
    return list(places), np.array([places[name] for name in flat], dtype=np.intp)
