"""The exact chances of the gate's rules on right and wrong answers, by enumeration of the trinomial distribution."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from reports.comparison.proportions import POWER, score_statistic, upper_discordance
from reports.gate.estimate import STRICT, TOLERANT, CountedDifference
from reports.gate.mean_difference import MIN_ITEMS, SPREAD_CONFIDENCE
from reports.gate.policy import NonInferiority, NoRegression, Superiority

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MARGIN = 0.05  # of the default policy
PILOT = 60
DISCORDANCES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
LEVELS = {
    "non_inferiority": 1 - float(NonInferiority(metric="t/m", margin=MARGIN).confidence),
    "no_regression": 1 - float(NoRegression(metric="t/m").confidence),
    "superiority": 1 - float(Superiority(metric="t/m").confidence),
}
_SPREAD = 8.0  # standard deviations that are enumerated
_SKEW = 10  # and so many items more
_SAWTOOTH = 400  # items below which the exact power jumps by more than a few points
_UNLIKELY = 1e-4  # pilots that are left out


def passes(items: int, gained: ArrayLike, lost: ArrayLike) -> dict[str, NDArray[np.bool_]]:
    """Which tables of right and wrong answers pass each rule with the default margin and no other rules."""
    tolerated = score_statistic(gained, lost, items, -MARGIN, continuity=TOLERANT)
    plain = score_statistic(gained, lost, items, continuity=STRICT)
    critical = {rule: float(stats.norm.isf(level)) for rule, level in LEVELS.items()}
    return {
        "non_inferiority": tolerated > critical["non_inferiority"],
        "no_regression": (tolerated > critical["no_regression"]) & (plain > -critical["no_regression"]),
        "superiority": plain > critical["superiority"],
    }


def exact_passes(items: int, difference: float, discordance: float) -> dict[str, float]:
    """The exact probability that a candidate with this truth passes each rule."""
    spread = _SPREAD * math.sqrt(items * discordance * (1 - discordance)) + _SKEW
    discordant = np.arange(
        max(0, math.floor(items * discordance - spread)), min(items, math.ceil(items * discordance + spread)) + 1
    )[:, None]
    share = (1 + difference / discordance) / 2
    reach = _SPREAD * np.sqrt(discordant * share * (1 - share)) + _SKEW
    first = max(0, math.floor((discordant * share - reach).min()))
    gained = np.arange(first, math.ceil((discordant * share + reach).max()) + 1)[None, :]
    weights = stats.binom.pmf(discordant, items, discordance) * stats.binom.pmf(gained, discordant, share)
    lost = np.maximum(discordant - gained, 0)  # tables with more gained than discordant items have no weight
    result = passes(items, np.minimum(gained, discordant), lost)
    return {rule: float(weights[passed].sum()) for rule, passed in result.items()}


def false_passes(numbers: Iterable[int], discordances: Sequence[float]) -> dict[str, Any]:
    """The largest exact probability of a false pass of each rule, and where it is.

    At the margin for non-inferiority and no regression, of an equal candidate for superiority.
    """
    largest: dict[str, dict[float, tuple[float, int]]] = {rule: {} for rule in LEVELS}
    for items in numbers:
        for discordance in discordances:
            worse = exact_passes(items, -MARGIN, discordance)
            equal = exact_passes(items, 0.0, discordance)
            for rule, cells in largest.items():
                share = (equal if rule == "superiority" else worse)[rule]
                cells[discordance] = max(cells.get(discordance, (0.0, 0)), (share, items))
    return {
        rule: {
            "largest": round(max(cells.values())[0], 5),
            "by_discordance": {
                str(key): {"share": round(share, 5), "items": items} for key, (share, items) in cells.items()
            },
        }
        for rule, cells in largest.items()
    }


def items_asked(discordant: int, pilot: int = PILOT) -> int:
    """How many items `no_regression` asks for after a pilot with so many discordant items."""
    confidence = 1 - LEVELS["no_regression"]
    needed = CountedDifference(discordant, 0, pilot).items_to_exceed(-MARGIN, 0.0, confidence, POWER)
    if needed is None:
        raise ValueError(f"no number of items is enough at {discordant} discordant items of {pilot}")
    return max(needed, MIN_ITEMS)


def smallest_sufficient(discordance: float, near: int) -> int:
    """The smallest number of items with which an equal candidate passes `no_regression` with the wanted power."""
    return next(
        items
        for items in range(MIN_ITEMS if near < _SAWTOOTH else int(0.85 * near), 2 * near)
        if exact_passes(items, 0.0, discordance)["no_regression"] >= POWER
    )


def planning(discordant: Sequence[int]) -> list[dict[str, float]]:
    """The number asked for after a pilot with so many discordant items, and the exact one at the upper discordance."""
    rows = []
    for number in discordant:
        upper = upper_discordance(number, PILOT, SPREAD_CONFIDENCE)
        asked = items_asked(number)
        exact = smallest_sufficient(upper, asked)
        power = exact_passes(asked, 0.0, upper)["no_regression"]
        rows.append(
            {
                "discordant": number,
                "pilot_items": PILOT,
                "upper_discordance": round(upper, 5),
                "asked": asked,
                "exact": exact,
                "ratio": round(asked / exact, 4),
                "power": round(power, 4),
            }
        )
    return rows


def power_when_asked(discordances: Sequence[float]) -> dict[str, float]:
    """How often an equal candidate passes `no_regression` with the items asked for after a pilot, over all pilots."""
    result = {}
    for discordance in discordances:
        counts = np.arange(PILOT + 1)
        weights = stats.binom.pmf(counts, PILOT, discordance)
        likely = counts[weights > _UNLIKELY]
        shares = [exact_passes(items_asked(int(number)), 0.0, discordance)["no_regression"] for number in likely]
        result[str(discordance)] = round(float(np.dot(weights[likely], shares) / weights[likely].sum()), 4)
    return result
