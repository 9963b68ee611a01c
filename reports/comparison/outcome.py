"""The outcome of a comparison, read off its interval, and how many items would decide an inconclusive one."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Literal

from reports.comparison.inference import Inference, critical_value
from reports.comparison.proportions import POWER, items_needed, upper_discordance
from reports.document.scores import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

Planned = Literal["difference", "equivalence"]
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
    """How many units like these decide an inconclusive comparison with 80 % power; None where no number does.

    The number at which a difference of the margin is detected; where these units are as many already, the number at
    which two equal models are shown to be equivalent.

    Args:
        inference: The comparison so far.
        units: Independent units that were compared.
        margin: The smallest relevant difference, above 0.
        level: Two-sided level of the test after the correction.
    """
    if not inference.is_over_items:
        return None
    detecting = _units_needed(inference, units, margin, level, "difference")
    if detecting is None or detecting > units:
        return detecting
    equivalent = _units_needed(inference, units, margin, level, "equivalence")
    return None if equivalent is None else max(equivalent, units + 1)


def _units_needed(inference: Inference, units: int, margin: float, level: float, test: Planned) -> float | None:
    items = inference.effective
    if math.isnan(items):
        return mean_items_needed(inference, units, margin, level, test) if units > 1 else None
    # The variance of one item's difference is the share of discordant items less the squared difference.
    discordance = (inference.standard_error**2 * items + inference.estimate**2) / inference.size**2
    needed = proportion_items_needed(discordance * items, items, min(margin / inference.size, 1.0), level, test)
    return None if needed is None else needed * units / items


@functools.cache
def proportion_items_needed(
    discordant: float, items: float, margin: float, level: float, test: Planned = "difference"
) -> int | None:
    """Items at which the score test detects a difference of the margin, or shows equivalence, with exactly 80 % power.

    The share of discordant items is taken at its upper 95 % limit, never the difference as observed.

    Args:
        discordant: Items that only one of the models got right.
        items: Items that were compared.
        margin: The smallest relevant difference.
        level: Two-sided level of the test after the correction.
        test: `difference`: the true difference is the margin. `equivalence`: it is 0.
    """
    count = max(1, round(items))
    discordance = upper_discordance(min(count, math.ceil(round(discordant, 6))), count)
    if test == "equivalence":
        return items_needed(0.0, discordance, level, test="equivalence", margin=margin, target=POWER)
    return items_needed(margin, max(discordance, margin), level, target=POWER)


def mean_items_needed(
    inference: Inference, units: int, margin: float, level: float, test: Planned = "difference"
) -> int | None:
    """Units at which a t-test detects a difference of the margin, or shows equivalence, with 80 % power.

    The spread of the units is that of the standard error or of the interval, whichever is larger, at its upper 95 %
    limit (of the chi-squared distribution), never the difference as observed.

    Args:
        inference: The comparison so far.
        units: Independent units that were compared.
        margin: The smallest relevant difference, above 0.
        level: Two-sided level of the test after the correction.
        test: `difference`: the true difference is the margin. `equivalence`: it is 0, and both one-sided tests succeed.
    """
    low, high = inference.ends(level)
    width = (high - low) / 2 / float(critical_value(level, inference.degrees_of_freedom))
    error = max(inference.standard_error, width) if inference.standard_error else 0.0
    spread = upper_spread(error, units)
    if not spread or not math.isfinite(spread):
        return None
    power = POWER if test == "difference" else (1 + POWER) / 2

    def reached(count: int) -> bool:
        return t_power(margin / spread, count, level) >= power

    return _smallest(reached, _LEAST)


def upper_spread(error: float, units: int) -> float:
    """Upper 95 % limit of the standard deviation of units (chi-squared distribution), from their mean's standard error.

    Args:
        error: Standard error of the mean.
        units: How many there are, at least 2.
    """
    from scipy import stats

    return error * math.sqrt(units) * math.sqrt((units - 1) / float(stats.chi2.ppf(1 - _SPREAD_CONFIDENCE, units - 1)))


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


def _smallest(reached: Callable[[int], bool], least: int) -> int | None:
    """The smallest number that is enough, where all larger ones are, too; None above 10^9."""
    high = least
    while not reached(high):
        high *= 2
        if high > _MOST:
            return None
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle + 1, high)
    return low
