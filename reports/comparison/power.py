"""The chances of each outcome before a run, by the rule that verdicts follow.

For right or wrong answers the chances are exact: those of all numbers of items that only one of the models gets right
are enumerated, with the outcome that the score interval of each gives (`proportions`, `outcome`). Other metrics are
planned by the noncentral t distribution, which is approximate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports.comparison.inference import LEVEL
from reports.comparison.outcome import t_power
from reports.comparison.proportions import POWER, items_needed, least_gained, likely_discordant, power

if TYPE_CHECKING:
    from collections.abc import Callable

_PRECISION = 1e-3  # of a smallest detectable difference, relative to it

_LEAST_UNITS = 2
_MOST_SPREADS = 100.0


@dataclass(frozen=True)
class Chances:
    """Probability of each outcome of a comparison; what is missing to 1 is inconclusive or identical."""

    better: float
    worse: float
    equivalent: float


def outcome_chances(items: int, difference: float, discordance: float, level: float, margin: float) -> Chances:
    """Exact chances of the outcomes of a comparison of right or wrong answers.

    Args:
        items: Number of items.
        difference: True difference of the shares of right answers, candidate minus baseline.
        discordance: True share of items that exactly one of the models gets right, at least the size of `difference`.
        level: Two-sided level of the interval after the correction for other comparisons.
        margin: The smallest relevant difference.

    Raises:
        ValueError: The difference is larger than the discordance, or the discordance is not in [0, 1].
    """
    from scipy import stats

    if not abs(difference) <= discordance <= 1:
        raise ValueError(f"a difference of {difference} needs a discordance between {abs(difference)} and 1")
    discordant, weights = (values[0] for values in likely_discordant(np.array([items]), discordance))
    critical = float(stats.norm.isf(level / 2))
    gained = stats.binom(discordant, (1 + difference / discordance) / 2 if discordance else 0.5)
    decisive = least_gained(discordant, items, 0.0, critical, 0.0)  # so many or more gained: better
    tolerable = least_gained(discordant, items, -margin, critical, 0.0)  # so many or more: not worse by the margin
    first = np.maximum(tolerable, discordant - decisive + 1)
    last = np.minimum(discordant - tolerable, decisive - 1)
    within = np.maximum(gained.cdf(last) - gained.cdf(first - 1), 0.0) * (discordant > 0)
    better, worse = gained.sf(decisive - 1), gained.cdf(discordant - decisive)
    return Chances(float(weights @ better), float(weights @ worse), float(weights @ within))


def items_to_decide(
    difference: float, discordance: float, level: float, margin: float
) -> tuple[int | None, int | None]:
    """Items with which a difference is called better or worse, and none is called equivalent, with 80 % power.

    Args:
        difference: The difference to detect, above 0.
        discordance: As for `outcome_chances`; for the first number raised to the difference.
        level: As for `outcome_chances`.
        margin: The smallest relevant difference, for the second number.

    Returns:
        Two numbers, None above 10^9.
    """
    detecting = items_needed(difference, discordance, level / 2, test="superiority")
    return detecting, items_needed(0.0, discordance, level, test="equivalence", margin=margin)


def detectable_share(items: int, discordance: float, level: float) -> float | None:
    """The smallest difference of two shares that so many items call better with 80 % power; None if they show none."""

    def reached(difference: float) -> bool:
        return (
            items > 0 and power(items, difference, max(discordance, difference), level / 2, test="superiority") >= POWER
        )

    return _smallest(reached, 1.0, most=1.0)


def detectable_mean(spread: float, units: int, level: float) -> float | None:
    """The smallest difference of two means that so many units detect with 80 % power; None if they show none.

    Args:
        spread: Standard deviation of the units' differences.
        units: Number of units.
        level: Two-sided level.
    """
    if units < _LEAST_UNITS or not 0 < spread < math.inf:
        return None

    def reached(difference: float) -> bool:
        return t_power(difference / spread, units, level) >= POWER

    return _smallest(reached, spread / math.sqrt(units), most=_MOST_SPREADS * spread)


def most_discordance(share: float, difference: float) -> float:
    """The most items of which exactly one model can be right, given the baseline's share of right answers.

    Args:
        share: The baseline's share.
        difference: Size of the true difference, in either direction.
    """
    if_better = min(share, 1 - share - difference)  # what a better candidate can lose
    if_worse = min(1 - share, share - difference)  # what a worse one can gain
    return min(1.0, difference + 2 * max(if_better, if_worse, 0.0))


def level_of(hypotheses: int) -> float:
    """Level of the first step of Holm's correction: that of a true difference beside equal metrics, to a sliver."""
    return LEVEL / max(hypotheses, 1)


def _smallest(reached: Callable[[float], bool], start: float, *, most: float) -> float | None:
    """The smallest value that is enough, where all larger ones are, too; None above `most`."""
    low, high = 0.0, start
    while not reached(high):
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
