"""The smallest difference that a comparison would detect with 80 % power, and how many items a smaller one takes."""

from __future__ import annotations

import math

import numpy as np

POWER = 0.8
EXACT_BELOW = 25  # discordant pairs; the usual limit for McNemar's exact test
_SPREAD = 8.0  # standard deviations of the number of discordant pairs that are looked at


def detectable(standard_error: float, degrees_of_freedom: float, level: float) -> float:
    """Minimum detectable difference of a two-sided t-test: multiples of the standard error (Bloom 1995)."""
    from scipy import stats

    quantiles = stats.t.ppf([1 - level / 2, POWER], degrees_of_freedom)
    return float(standard_error * quantiles.sum())


def mcnemar_power(difference: float, discordant: float, items: int, level: float) -> float:
    """Probability that McNemar's test finds a difference of two paired shares.

    Args:
        difference: True difference, not negative.
        discordant: True share of items that only one of the two gets right; at least `difference`.
        items: Number of items.
        level: Of the two-sided test, exact below 25 discordant items.
    """
    from scipy import stats

    spread = _SPREAD * math.sqrt(items * discordant * (1 - discordant)) + 1
    middle = items * discordant
    counts = np.arange(max(0, math.floor(middle - spread)), min(items, math.ceil(middle + spread)) + 1)
    # Rejected when at most `limit` of the discordant items go one way.
    exact = stats.binom.ppf(level / 2, counts, 0.5) - 1
    exact += 2 * stats.binom.cdf(exact + 1, counts, 0.5) <= level
    normal = np.floor((counts - stats.norm.ppf(1 - level / 2) * np.sqrt(counts)) / 2)
    limit = np.where(counts < EXACT_BELOW, exact, normal)
    towards = 0.5 * (1 + difference / discordant)
    found = stats.binom.cdf(limit, counts, 1 - towards) + stats.binom.cdf(limit, counts, towards)
    return float((stats.binom.pmf(counts, items, discordant) * np.where(limit >= 0, found, 0.0)).sum())


def mcnemar_detectable(discordant: float, items: int, level: float) -> float | None:
    """Minimum detectable difference of two paired shares at the given share of discordant items; None if there is none.

    A difference needs at least as many discordant items as it has, so their share grows with it where it must.
    """
    from scipy import optimize

    def missing(difference: float) -> float:
        return mcnemar_power(difference, max(discordant, difference), items, level) - POWER

    if missing(1.0) < 0:
        return None
    return float(optimize.brentq(missing, 1e-9, 1.0, xtol=1e-5))


def items_needed(items: int, detectable_now: float, wanted: float) -> int:
    """How many items would detect the wanted difference: what is detectable shrinks with the root of their number."""
    return math.ceil(items * (detectable_now / wanted) ** 2)
