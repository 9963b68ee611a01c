"""The unweighted mean of shares over independent sets of items (strata), such as the benchmarks of a suite.

The variance of the mean of k parts is the sum of the parts' variances over k squared. Score tests are not additive, and
a normal interval fails where a part is small or an event rare, so the mean is tested like one share on an effective
number of items: the k squared over sum(1 / n) items that the mean would rest on if all parts were alike. Its degrees of
freedom are those of the summed variance (Satterthwaite 1946), where each part's variance is as certain as its rarer
events are many. `tests/reports/comparison/test_strata.py` simulates the coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.comparison.counts import score_test, share
from reports.comparison.inference import Inference


@dataclass(frozen=True)
class Stratum:
    """One part of a mean.

    Attributes:
        estimate: Its share, or difference of shares.
        variance: Variance of the estimate.
        items: How many independent items have that variance.
        degrees: Degrees of freedom of the variance.
        caution: Why its own interval is unreliable; empty if it is not.
    """

    estimate: float
    variance: float
    items: float
    degrees: float
    caution: str = ""


def share_stratum(part: Inference, units: int) -> Stratum:
    """A part of a mean of shares of right answers, from the share's own inference and its number of units."""
    variance, spread = part.standard_error**2, part.estimate * (1 - part.estimate)
    items = spread / variance if variance > 0 else float(units)
    return _stratum(part, items, min(part.estimate, 1 - part.estimate) * items)


def difference_stratum(part: Inference) -> Stratum:
    """A part of a mean of paired differences, from the difference's own inference."""
    return _stratum(part, part.effective, (part.standard_error**2 * part.effective + part.estimate**2) * part.effective)


def _stratum(part: Inference, items: float, events: float) -> Stratum:
    degrees = max(1.0, min(events, part.degrees_of_freedom))
    return Stratum(part.estimate, part.standard_error**2, items, degrees, part.caution)


def mean_of_shares(strata: Sequence[Stratum]) -> Inference:
    """The mean of shares of right answers, with Wilson's interval."""
    mean, variance, items, degrees = _joined(strata)
    if variance > 0:
        items = min(items, mean * (1 - mean) / variance)
    return _described(share(mean * items, items, degrees), variance, strata)


def mean_of_differences(strata: Sequence[Stratum]) -> Inference:
    """The mean of paired differences of shares, with Tango's score test and interval."""
    return _described(score_test(*effective_counts(strata)), _joined(strata)[1], strata)


def effective_counts(strata: Sequence[Stratum]) -> tuple[float, float, float, float]:
    """Items gained, lost and compared that have the mean and variance of the paired differences, and their degrees.

    The degrees of freedom are infinite where no part has any variance.
    """
    mean, variance, items, degrees = _joined(strata)
    discordance = max(variance * items + mean**2, abs(mean))
    gained, lost = (items * (discordance + mean) / 2, items * (discordance - mean) / 2)
    return max(gained, 0.0), max(lost, 0.0), items, degrees


def _joined(strata: Sequence[Stratum]) -> tuple[float, float, float, float]:
    """Estimate and variance of the mean, its effective number of items and its degrees of freedom."""
    count = len(strata)
    variances = [part.variance for part in strata]
    total = math.fsum(variances)
    spread = math.fsum(part.variance**2 / part.degrees for part in strata)
    return (
        math.fsum(part.estimate for part in strata) / count,
        total / count**2,
        count**2 / math.fsum(1 / part.items for part in strata),
        total**2 / spread if spread > 0 else math.inf,
    )


def _described(mean: Inference, variance: float, strata: Sequence[Stratum]) -> Inference:
    caution = next((part.caution for part in strata if part.caution), "")
    return replace(mean, standard_error=math.sqrt(variance), caution=caution)
