"""Prediction-powered means: a few human ratings correct what a judge says about many answers.

The judge's mean over all judged answers is corrected by its error on the rated ones, with a weight that is tuned on the
rated answers (PPI++, Angelopoulos, Duchi and Zrnic 2023; for means this is the regression estimator of double sampling,
Cochran 1977, section 12.6). Estimate and interval are valid however bad the judge is: with a useless one the weight
goes to 0 and the ratings alone remain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.comparison.inference import Inference, Interval, critical_value
from reports.comparison.proportions import POWER
from reports.comparison.rated_sample import Labels, RatedSample, rated_sample

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MARK_LIMITS = (1.0, 5.0)
MOST_WIDENING = 1.2  # of the interval of the ratings alone by a judge that correlates less than clearly
CLEAR_CORRELATION = 0.6
_HALVINGS = 12
_SPREAD_CONFIDENCE = 0.95  # one-sided, of the upper limit of a spread that plans are made with


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
    limits: Interval = MARK_LIMITS,
    strata: Labels | None = None,
    weights: Mapping[Any, float] | None = None,
    clusters: Labels | None = None,
) -> PoweredMean:
    """The mean rating of answers of which all are judged and some are rated.

    The interval joins two, each end the farther one: Student's t around a standard error, and Wilson's limits with the
    same error, which follow the skew of ratings that gather at an end of the scale. The error counts what the judge
    does not explain, the uncertainty of its slope, and that the judged answers are a sample themselves. A judge that
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
    sample = rated_sample((rated, judged_of_rated, judged_of_others), limits, strata, weights, clusters)
    full, correlation = sample.slope()
    alone = sample.mean(0.0)
    slope, powered = _within(sample, full, correlation or 0.0, alone, 1 - confidence)
    spread, residual = sample.spread(0.0), sample.spread(slope)
    count, judged = len(sample.ratings), len(sample.judged)
    return PoweredMean(
        inference=powered,
        ratings_alone=alone,
        judge_weight=(correlation or 0.0) * slope / full * (judged - count) / judged if slope else 0.0,
        correlation=correlation,
        judge_error=float((sample.judged[:count] - sample.ratings).mean()),
        rated=count,
        judged=judged,
        confidence=confidence,
        unexplained=max(residual / spread, 1 / (count + 1)) if slope else 1.0,
    )


def _within(
    sample: RatedSample, slope: float, correlation: float, alone: Inference, level: float
) -> tuple[float, Inference]:
    """The slope and its inference, lowered until the interval is at most a fifth wider than that of the ratings alone.

    That concerns few draws, in which the slope is uncertain. A judge that clearly correlates is left as it is: if it
    widens the interval, then other answers vary far more than the rated ones, so that the ratings alone are too sure.
    """
    if not slope:
        return slope, alone
    most = MOST_WIDENING * _width(alone, level)
    powered = sample.mean(slope)
    if correlation >= CLEAR_CORRELATION or _width(powered, level) <= most:
        return slope, powered
    low, high = 0.0, slope
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _width(sample.mean(middle), level) <= most else (low, middle)
    return low, sample.mean(low)


def _width(inference: Inference, level: float) -> float:
    low, high = inference.ends(level)
    return high - low
