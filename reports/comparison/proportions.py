"""Proportions and paired differences of proportions: score tests and intervals, exact power, items needed.

All functions take counts. In a paired comparison `gained` items are right for the candidate only, `lost` items for the
baseline only; the difference is p_gained - p_lost, the discordance p_gained + p_lost.

`level` is two-sided for intervals, for the tests of a difference and of equivalence (0.05 belongs to a 95 % interval),
and one-sided for the tests of non-inferiority and superiority.

Sources:
    Wilson (1927), JASA 22, 209-212; Clopper and Pearson (1934), Biometrika 26, 404-413.
    Tango (1998), Statistics in Medicine 17, 891-908: score test and interval for paired proportions.
    Liu, Hsueh, Hsieh and Chen (2002), Statistics in Medicine 21, 231-245: the same test for non-inferiority and
    equivalence, with its sample sizes.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

Alternative = Literal["two-sided", "greater", "less"]
Test = Literal["difference", "equivalence", "non_inferiority", "superiority"]

POWER = 0.8
MAX_ITEMS = 10**9  # more than any benchmark has
_SPREAD = 8.0  # standard deviations of the number of discordant items that are enumerated
_SKEW = 10  # and so many more, for rare discordant items
_SECTIONS = np.linspace(0, 1, 65)  # of what is left of the way to a limit, at once
_SECTIONINGS = 9  # 2 / 64^9 is below the spacing of doubles
_ENUMERATED = 100_000  # items up to which sample sizes are solved by enumeration
_STEPS = 400  # resolution of that search: 1 item up to this number of items, else this share of them
_CHUNK = 32
_CRUDE = 200  # items below which the asymptotic formula is a crude guess
_SAWTOOTH = 1.1  # power is kept up to this multiple of the number of items


def wilson_interval(successes: float, items: float, level: float = 0.05) -> tuple[float, float]:
    """Wilson's score interval of one proportion; never of zero width.

    Args:
        successes: Number of right items; need not be whole where `items` is an effective sample size.
        items: Number of items, above 0.
        level: 0.05 for a 95 % interval.
    """
    from scipy import stats

    low, high = wilson_limits(successes / items, items, stats.norm.isf(level / 2))
    return float(low), float(high)


def wilson_limits(shares: ArrayLike, items: ArrayLike, quantile: ArrayLike) -> tuple[Values, Values]:
    """Wilson's limits of several proportions at once; all arguments broadcast.

    Args:
        shares: Observed proportions.
        items: Numbers of items, which may be effective sample sizes.
        quantile: Quantile of the normal, or of Student's t distribution, for the wanted level.
    """
    share, count, square = np.asarray(shares), np.asarray(items), np.asarray(quantile) ** 2
    center = (share + square / (2 * count)) / (1 + square / count)
    half = np.sqrt(square * (share * (1 - share) / count + square / (4 * count**2))) / (1 + square / count)
    return np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)


def score_statistic(
    gained: ArrayLike, lost: ArrayLike, items: ArrayLike, difference: ArrayLike = 0.0, *, continuity: float = 0.0
) -> Values:
    """Tango's signed score statistic of H0: p_gained - p_lost = `difference`; standard normal under H0.

    At a difference of 0 it is McNemar's (gained - lost) / sqrt(gained + lost), and 0 where no item is discordant. It
    falls as `difference` rises and rises with `gained` at a fixed number of discordant items. All arguments broadcast.

    Args:
        gained: Items that only the candidate got right.
        lost: Items that only the baseline got right.
        items: All items, discordant or not.
        difference: The hypothetical difference, in [-1, 1].
        continuity: Items by which the numerator is moved towards 0. A quarter of an item keeps one-sided tests with a
            margin at or below their level, where the plain statistic reaches 0.069 at 0.05 (52 items, 5 % discordant).
    """
    up, down, total, delta = (np.asarray(value, dtype=float) for value in (gained, lost, items, difference))
    # Positive differences only, by exchanging the models, so that both directions round alike.
    is_negative = delta < 0
    up, down, delta = np.where(is_negative, down, up), np.where(is_negative, up, down), np.abs(delta)
    numerator = up - down - total * delta
    numerator = np.sign(numerator) * np.maximum(np.abs(numerator) - continuity, 0.0)
    p_lost = _constrained_p_lost(up, down, total, delta)
    variance = total * np.maximum(2 * p_lost + delta * (1 - delta), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(numerator == 0, 0.0, numerator / np.sqrt(variance))
    return np.asarray(np.where(is_negative, -statistic, statistic))


def _constrained_p_lost(gained: Values, lost: Values, items: Values, difference: Values) -> Values:
    """Maximum-likelihood estimate of p_lost where p_gained = p_lost + `difference` >= p_lost (Tango 1998, eq. 11)."""
    linear = (2 * items - gained + lost) * difference - (gained + lost)
    product = 8 * items * lost * difference * (1 - difference)  # -4 times quadratic times constant coefficient
    root = np.sqrt(linear**2 + product)
    # Of the two forms of the same root, the one that does not subtract nearly equal numbers.
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(linear + root > 0, product / (4 * items * (linear + root)), 0.0)
    return np.where(linear >= 0, below, (root - linear) / (4 * items))


def score_p_value(
    gained: float,
    lost: float,
    items: float,
    difference: float = 0.0,
    alternative: Alternative = "two-sided",
    *,
    continuity: float = 0.0,
) -> float:
    """P-value of Tango's score test of H0: p_gained - p_lost = `difference`.

    Args:
        gained: Items that only the candidate got right.
        lost: Items that only the baseline got right.
        items: All items.
        difference: The hypothetical difference; minus the margin for non-inferiority.
        alternative: "greater" is evidence that the true difference lies above `difference`.
        continuity: See `score_statistic`.
    """
    from scipy import stats

    statistic = float(score_statistic(gained, lost, items, difference, continuity=continuity))
    if alternative == "two-sided":
        return min(1.0, 2 * float(stats.norm.sf(abs(statistic))))
    return float(stats.norm.sf(statistic if alternative == "greater" else -statistic))


def score_interval(
    gained: float, lost: float, items: float, level: float = 0.05, *, continuity: float = 0.0
) -> tuple[float, float]:
    """Tango's score interval of p_gained - p_lost: every difference that the two-sided score test does not reject.

    A difference lies outside exactly if its p-value is below `level`. The interval is never of zero width and lies
    within [-1, 1]; it is [-x, x] where no item is discordant.
    """
    from scipy import stats

    critical = float(stats.norm.isf(level / 2))
    sides = np.array([[1.0], [-1.0]])  # lower and upper limit
    inside, outside = np.full((2, 1), (gained - lost) / items), -sides
    for _ in range(_SECTIONINGS):
        points = outside + (inside - outside) * _SECTIONS
        accepted = sides * score_statistic(gained, lost, items, points, continuity=continuity) <= critical
        accepted[:, -1] = True  # the observed difference, whatever rounding says
        first = accepted.argmax(1)[:, None]
        inside = np.take_along_axis(points, first, 1)
        outside = np.take_along_axis(points, np.maximum(first - 1, 0), 1)
    return float(inside[0, 0]), float(inside[1, 0])


def upper_discordance(discordant: int, items: int, confidence: float = 0.95) -> float:
    """Clopper and Pearson's exact one-sided upper limit of a share; 1 where every item, or no item at all, is counted.

    Args:
        discordant: Items that exactly one of the two models got right.
        items: All items.
        confidence: One-sided.
    """
    from scipy import stats

    if discordant >= items:
        return 1.0
    return float(stats.beta.ppf(confidence, discordant + 1, items - discordant))


def power(
    items: int,
    difference: float,
    discordance: float,
    level: float,
    *,
    test: Test = "difference",
    margin: float = 0.0,
    continuity: float = 0.0,
) -> float:
    """Exact probability that a score test rejects, by enumeration of the trinomial distribution.

    Args:
        items: Number of items.
        difference: True p_gained - p_lost.
        discordance: True p_gained + p_lost, at least the size of `difference`.
        level: Two-sided for "difference" and "equivalence", one-sided for the others.
        test: "difference": against 0, in either direction. "equivalence": the interval at `level` lies within
            +-`margin`. "non_inferiority": the difference is shown to be above -`margin`. "superiority": above
            +`margin`.
        margin: Not negative; not used by "difference".
        continuity: See `score_statistic`.

    Raises:
        ValueError: The difference is larger than the discordance, or the discordance is not in [0, 1].
    """
    if not abs(difference) <= discordance <= 1:
        raise ValueError(f"a difference of {difference} needs a discordance between {abs(difference)} and 1")
    return float(_powers(np.array([items]), difference, discordance, (level, test, margin, continuity))[0])


_Rule = tuple[float, Test, float, float]  # level, test, margin, continuity


def _powers(items: NDArray[np.int64], difference: float, discordance: float, rule: _Rule) -> Values:
    """The power at each number of items, over the numbers of discordant items that are at all likely."""
    from scipy import stats

    level, test, margin, continuity = rule
    total = items[:, None]
    discordant, weights = likely_discordant(items, discordance)
    share = (1 + difference / discordance) / 2 if discordance else 0.5
    two_sided = test in ("difference", "equivalence")
    critical = float(stats.norm.isf(level / 2 if two_sided else level))
    limit = {"difference": 0.0, "superiority": margin}.get(test, -margin)
    least = least_gained(discordant, total, limit, critical, continuity)
    rejects = stats.binom.sf(least - 1, discordant, share)
    if test == "difference":
        rejects = rejects + stats.binom.sf(least - 1, discordant, 1 - share)
    elif test == "equivalence":
        rejects = np.maximum(rejects - stats.binom.sf(discordant - least, discordant, share), 0.0)
    return np.asarray((weights * rejects).sum(1))


def likely_discordant(items: NDArray[np.int64], discordance: float) -> tuple[Values, Values]:
    """The numbers of discordant items that are at all likely, and their probabilities; shape [items, numbers] each."""
    from scipy import stats

    total = items[:, None]
    middle = total * discordance
    reach = _SPREAD * np.sqrt(middle * (1 - discordance)) + _SKEW
    start = np.maximum(0, np.floor(middle - reach))
    width = int((np.minimum(total, np.ceil(middle + reach)) - start).max()) + 1
    discordant = start + np.arange(width)
    weights = stats.binom.pmf(discordant, total, discordance)
    return np.minimum(discordant, total), weights  # those beyond have no weight


def least_gained(discordant: Values, items: Any, limit: float, critical: float, continuity: float) -> Values:
    """The smallest `gained` at which the statistic exceeds `critical`; one more than all where none does."""
    below, least = np.full(discordant.shape, -1.0), discordant + 1
    while (least - below > 1).any():
        middle = np.floor((below + least) / 2)
        statistic = score_statistic(middle, discordant - middle, items, limit, continuity=continuity)
        is_open = least - below > 1
        exceeds = statistic > critical
        least, below = np.where(is_open & exceeds, middle, least), np.where(is_open & ~exceeds, middle, below)
    return least


@functools.lru_cache(maxsize=10_000)
def items_needed(
    difference: float,
    discordance: float,
    level: float,
    *,
    test: Test = "difference",
    margin: float = 0.0,
    target: float = POWER,
    continuity: float = 0.0,
) -> int | None:
    """The number of items with which a test has the wanted power, by the same enumeration as `power`.

    Power over the number of items is a sawtooth. The result is the smallest number that reaches `target` or, where a
    number at most 10 % larger keeps it from there up to 10 % more items, the smallest such number. Above 100,000 items
    it is the asymptotic formula (Liu et al. 2002), where both agree.

    Args:
        difference: True difference to plan for: the relevance margin for "difference", usually 0 for the others.
        discordance: True discordance; an upper limit is on the safe side. Raised to the size of `difference`.
        level: As for `power`.
        test: As for `power`.
        margin: As for `power`.
        target: The wanted power.
        continuity: See `score_statistic`.

    Returns:
        None where no number of items up to 10^9 suffices.
    """
    discordance = min(1.0, max(discordance, abs(difference)))
    rule: _Rule = (level, test, margin, continuity)
    guess = _asymptotic_items(difference, discordance, rule, target)
    if guess > MAX_ITEMS:
        return None
    if guess > _ENUMERATED:
        return math.ceil(guess)
    step = max(1, math.floor(guess / _STEPS))
    start = max(1, math.floor((0.8 if guess > _CRUDE else 0.5) * guess))
    while start > 1 and _powers(np.array([start]), difference, discordance, rule)[0] >= target:
        start //= 2
    while True:
        numbers = start + step * np.arange(_CHUNK)
        reached = _powers(numbers, difference, discordance, rule) >= target
        if reached.any():
            break
        start = int(numbers[-1]) + step
    smallest = int(numbers[reached.argmax()])
    numbers = np.arange(smallest, math.floor(_SAWTOOTH**2 * smallest) + 1, step)
    reached = _powers(numbers, difference, discordance, rule) >= target
    for number in numbers[numbers <= _SAWTOOTH * smallest]:
        if reached[(numbers >= number) & (numbers <= _SAWTOOTH * number)].all():
            return int(number)
    return smallest


def _asymptotic_items(difference: float, discordance: float, rule: _Rule, target: float) -> float:
    """Items by the normal approximation of the score statistic; infinite where the truth is not on the test's side."""
    from scipy import stats

    level, test, margin, continuity = rule
    if test == "difference":
        limit, distance = 0.0, abs(difference)
    elif test == "equivalence":
        limit, distance = -margin, margin - abs(difference)
        target = (1 + target) / 2 if difference == 0 else target
    else:
        limit = margin if test == "superiority" else -margin
        distance = difference - limit
    if distance <= 0:
        return math.inf
    two_sided = test in ("difference", "equivalence")
    effect = -abs(difference) if test == "equivalence" else abs(difference) if test == "difference" else difference
    gained, lost = (discordance + effect) / 2, (discordance - effect) / 2
    spread = distance / abs(float(score_statistic(gained, lost, 1, limit)))
    quantiles = stats.norm.isf([level / 2 if two_sided else level, 1 - target])
    need = quantiles[0] * spread + quantiles[1] * math.sqrt(max(discordance - difference**2, 0.0))
    return float(((need + math.sqrt(need**2 + 4 * distance * continuity)) / (2 * distance)) ** 2)
