"""Compares the planned chances of verdicts with the verdicts themselves: all tables up to 60 items, drawn ones above.

    python -m benchmarks.power_check --out benchmarks/results/power.json

Up to 60 items every table of right and wrong answers is judged by the functions that a run calls, and weighted by its
probability. With more items, tables are drawn (`--times` per cell) and judged the same way, alone and together with
equal metrics, as one family with its correction. Exits with 1 if a chance is off by more than one point.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.evidence import run_simulation
from reports.comparison.counts import score_test
from reports.comparison.multiplicity import corrected
from reports.comparison.outcome import outcome_of
from reports.comparison.power import Chances, items_to_decide, level_of, outcome_chances
from reports.document.scores import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENUMERATED = 60  # items up to which all tables are judged
ALLOWED = 0.01
_EXACT = 1e-9
_ERRORS = 3  # standard errors of the simulation, if these are more than a point


@dataclass(frozen=True)
class Cell:
    """A true difference and a number of items.

    Attributes:
        items: Number of items.
        difference: True difference.
        discordance: True share of items that one model gets right.
        margin: The smallest relevant difference.
        family: Number of comparisons that are corrected together; the others are of equal models.
    """

    items: int
    difference: float
    discordance: float
    margin: float = 0.05
    family: int = 1


CELLS = {
    f"{cell.items} items, {cell.difference} of {cell.discordance}, {cell.family} together": cell
    for cell in [
        *(
            Cell(items, difference, discordance, 0.25, family)
            for items in (5, 20, 41, ENUMERATED)
            for difference, discordance in ((0.0, 0.1), (0.0, 0.4), (0.2, 0.3), (-0.2, 0.3), (0.3, 0.3))
            for family in (1, 4)
        ),
        *(
            Cell(items, difference, discordance, 0.05, family)
            for items in (100, 500, 1000, 4000)
            for difference, discordance in ((0.0, 0.1), (0.0, 0.2), (0.05, 0.2), (-0.05, 0.1))
            for family in (1, 4)
        ),
    ]
}


@functools.lru_cache(maxsize=200_000)
def judged(items: int, gained: int, lost: int, level: float, margin: float) -> Outcome:
    """The outcome of a table at a level, as a run gives it."""
    if not gained + lost:
        return "identical"
    low, high = score_test(gained, lost, items).ends(level)
    return outcome_of(low, high, sign=1, margin=margin)


@functools.lru_cache(maxsize=200_000)
def tested(items: int, gained: int, lost: int) -> tuple[float, float]:
    """P-value of a table, and the smallest that it could have had."""
    inference = score_test(gained, lost, items)
    return inference.p_value(), inference.least_p


def _probabilities(cell: Cell) -> NDArray[np.float64]:
    shares = [(cell.discordance + cell.difference) / 2, (cell.discordance - cell.difference) / 2, 1 - cell.discordance]
    clipped = np.clip(shares, 0, 1)
    return np.asarray(clipped / clipped.sum())


def enumerated(cell: Cell) -> dict[Outcome, float]:
    """The chance of each outcome over all tables, at the level of the first step."""
    from scipy import stats

    tables = [(gained, lost) for gained in range(cell.items + 1) for lost in range(cell.items + 1 - gained)]
    counts = [(gained, lost, cell.items - gained - lost) for gained, lost in tables]
    weights = stats.multinomial.pmf(counts, cell.items, _probabilities(cell))
    chances: dict[Outcome, float] = {}
    for (gained, lost), weight in zip(tables, weights.tolist(), strict=True):
        outcome = judged(cell.items, gained, lost, level_of(cell.family), cell.margin)
        chances[outcome] = chances.get(outcome, 0.0) + weight
    return chances


def drawn(cell: Cell, times: int) -> dict[Outcome, float]:
    """The share of each outcome among drawn tables; in a family, at the level that the correction gives it."""
    generator = np.random.default_rng([cell.items, round(1000 * cell.discordance), cell.family])
    tables = generator.multinomial(cell.items, _probabilities(cell), times)
    equal = _probabilities(replace(cell, difference=0.0))
    others = generator.multinomial(cell.items, equal, (times, cell.family - 1))
    chances: dict[Outcome, float] = {}
    for own, rest in zip(tables[:, :2].tolist(), others[:, :, :2].tolist(), strict=True):
        family = [tested(cell.items, gained, lost) for gained, lost in (own, *rest)]
        results = corrected([p_value for p_value, _ in family], [least for _, least in family])
        outcome = judged(cell.items, *own, results[0][1], cell.margin)
        chances[outcome] = chances.get(outcome, 0.0) + 1 / times
    return chances


def counted(name: str, times: int) -> dict[str, Any]:
    """Planned and observed chances of a cell, and the numbers of items that decide it."""
    cell = CELLS[name]
    level = level_of(cell.family)
    with threadpool_limits(1):
        planned = outcome_chances(cell.items, cell.difference, cell.discordance, level, cell.margin)
        is_exact = cell.items <= ENUMERATED
        observed = enumerated(cell) if is_exact else drawn(cell, times)
        row = {"cell": name, "items": cell.items, "margin": cell.margin, "family": cell.family}
        row |= {"how": "all tables" if is_exact else f"{times} drawn"}
        row |= {"planned": _rounded(vars(planned)), "observed": _rounded(observed)}
        row |= {"difference": _largest(planned, observed), "draws": 0 if is_exact else times}
        if cell.difference > 0:
            row["items_needed"] = items_to_decide(cell.difference, cell.discordance, level, cell.margin)
    return row


def _rounded(chances: dict[Any, float]) -> dict[str, float]:
    return {str(outcome): round(chance, 5) for outcome, chance in chances.items()}


def _largest(planned: Chances, observed: dict[Outcome, float]) -> float:
    return max(abs(chance - observed.get(outcome, 0.0)) for outcome, chance in _named(planned).items())


def _named(chances: Chances) -> dict[Outcome, float]:
    return {"better": chances.better, "worse": chances.worse, "equivalent": chances.equivalent}


def violations(rows: list[dict[str, Any]]) -> list[str]:
    """Every bound that the results do not keep, in words."""
    return [
        f"{row['cell']}: a chance is off by {row['difference']:.4f}"
        for row in rows
        if row["difference"] > (max(ALLOWED, _ERRORS * math.sqrt(0.25 / row["draws"])) if row["draws"] else _EXACT)
    ]


def main() -> None:
    """Run all cells, and exit with 1 if a bound does not hold."""
    run_simulation(__doc__, "power_check", CELLS, counted, violations)


if __name__ == "__main__":
    main()
