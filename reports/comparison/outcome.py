"""The outcome of a comparison, read off its interval, and how many items would decide an inconclusive one."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from reports.comparison.inference import Inference
from reports.comparison.proportions import POWER, items_needed, upper_discordance
from reports.document.scores import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

_SPREAD_CONFIDENCE = 0.95  # one-sided, of the upper limit of a spread
_LEAST = 5
_MOST = 10**9


def outcome_of(low: float | None, high: float | None, *, sign: int, margin: float) -> Outcome:
    """The word for an interval of a difference, and nothing else decides it.

    Args:
        low: Lower end, None where no interval could be computed.
        high: Upper end.
        sign: 1 where higher is better, -1 where lower is, 0 where neither.
        margin: The smallest relevant difference.

    Returns:
        `better`, `worse` or `different` where the interval excludes 0; else `equivalent` where it lies inside the
        margin (two one-sided tests, Schuirmann 1987, Lakens 2017); else `inconclusive`.
    """
    if low is None or high is None:
        return "inconclusive"
    if low > 0 or high < 0:
        direction = sign * (1 if low > 0 else -1)
        return "better" if direction > 0 else "worse" if direction < 0 else "different"
    return "equivalent" if -margin < low and high < margin else "inconclusive"


def units_needed(inference: Inference, units: int, margin: float, level: float) -> float | None:
    """How many units like these detect a difference of the margin with 80 % power; None where no number does.

    Args:
        inference: The comparison so far.
        units: Independent units that were compared.
        margin: The smallest relevant difference, above 0.
        level: Two-sided level of the test after the correction.
    """
    items = inference.effective
    if math.isnan(items):
        return mean_items_needed(inference, units, margin, level) if units > 1 else None
    # The variance of one item's difference is the share of discordant items less the squared difference.
    discordance = (inference.standard_error**2 * items + inference.estimate**2) / inference.size**2
    needed = proportion_items_needed(discordance * items, items, min(margin / inference.size, 1.0), level)
    return None if needed is None else needed * units / items


@functools.cache
def proportion_items_needed(discordant: float, items: float, margin: float, level: float) -> int | None:
    """Items at which the score test detects a difference of the margin with 80 % power, by exact power.

    The share of discordant items is taken at its upper 95 % limit, never the difference as observed.

    Args:
        discordant: Items that only one of the models got right.
        items: Items that were compared.
        margin: The smallest relevant difference.
        level: Two-sided level of the test after the correction.
    """
    count = max(1, round(items))
    discordance = max(upper_discordance(min(count, math.ceil(round(discordant, 6))), count), margin)
    return items_needed(margin, discordance, level, target=POWER)


def mean_items_needed(inference: Inference, units: int, margin: float, level: float) -> int | None:
    """Units at which a t-test detects a difference of the margin with 80 % power.

    The spread of the units is taken at its upper 95 % limit (of the chi-squared distribution), never the difference as
    observed.

    Args:
        inference: The comparison so far.
        units: Independent units that were compared.
        margin: The smallest relevant difference, above 0.
        level: Two-sided level of the test after the correction.
    """
    from scipy import stats

    spread = inference.standard_error * math.sqrt(units)
    spread *= math.sqrt((units - 1) / float(stats.chi2.ppf(1 - _SPREAD_CONFIDENCE, units - 1)))
    if not spread or not math.isfinite(spread):
        return None

    def reached(count: int) -> float:
        return t_power(margin / spread, count, level)

    return _smallest(reached, _LEAST)


def t_power(effect: float, units: int, level: float) -> float:
    """Power of a two-sided one-sample t-test: the noncentral t distribution beyond the critical values.

    Args:
        effect: True mean over standard deviation of the units.
        units: How many there are, at least 2.
        level: Two-sided level.
    """
    from scipy import stats

    degrees, shift = units - 1, effect * math.sqrt(units)
    critical = float(stats.t.isf(level / 2, degrees))
    return float(stats.nct.sf(critical, degrees, shift) + stats.nct.cdf(-critical, degrees, shift))


def _smallest(power: Callable[[int], float], least: int) -> int | None:
    """The smallest number with a power of 80 %, where power rises with the number; None above 10^9."""
    high = least
    while power(high) < POWER:
        high *= 2
        if high > _MOST:
            return None
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle + 1, high)
    return low
