"""Checks prediction-powered means against populations whose truth is known, and says how often a judge alone is wrong.

    python -m benchmarks.judge_simulation --out benchmarks/results/judging.json

Draws ratings by people and by judges (`--times` per cell) of so many answers, of which only some are rated by people,
and passes them to the function that a run calls. The judges: a good one, one whose errors favour one model, one that
stretches no scale, a noisy and a useless one. Exits with 1 unless the intervals hold their level, are no wider than
those of the ratings alone where the judge is useless, much narrower where it is good, and never of zero width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.evidence import run_simulation
from reports.comparison.calibration import MARK_LIMITS, prediction_powered_mean
from reports.comparison.inference import LEVEL, critical_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

JUDGED = 6  # answers that are only judged for each that is rated, too
RATINGS = (30, 60, 120)
COVERAGE = (0.93, 0.97)
GOOD_CORRELATION = 0.9
MOST_USELESS, MOST_SINGLE, MOST_GOOD = 1.02, 1.25, 0.6  # widths relative to that of the ratings alone
_ERRORS = 2  # standard errors of the simulation
_SOURCE = 3  # answers that share a source
_STRATA = 3
_DIFFERENCES = (-4.0, 4.0)


@dataclass(frozen=True)
class Judge:
    """How a judge's score follows from the ratings that people would give.

    Attributes:
        slope: Its change for one mark of people's.
        noise: Standard deviation of what else it depends on.
        bias: What it adds to every answer.
    """

    slope: float
    noise: float
    bias: float = 0.0


JUDGES = {
    "good": Judge(0.9, 0.4),
    "good, narrow scale": Judge(0.4, 0.17, 0.5),
    "biased": Judge(0.7, 0.7, 0.4),
    "noisy": Judge(0.5, 1.2),
    "useless": Judge(0.0, 1.0, 0.4),
}
# Chances of the marks 1 to 5; differences are those of two models with the same chances.
MARKS = {
    "marks, skewed": (0.02, 0.05, 0.13, 0.3, 0.5),
    "marks, few bad": (0.04, 0.02, 0.04, 0.1, 0.8),
    "marks, at the top": (0.0, 0.0, 0.01, 0.02, 0.97),
}


@dataclass(frozen=True)
class Cell:
    """One population and judge.

    Attributes:
        data: `differences` of two models' marks, or a key of `MARKS`.
        judge: Key of `JUDGES`.
        ratings: Number of rated answers.
        design: How these are drawn: `plain`, by `strata` of the judge's score, or with shared `sources`.
    """

    data: str
    judge: str
    ratings: int
    design: str = "plain"

    @property
    def truth(self) -> float:
        """The true mean."""
        return 0.0 if self.data == "differences" else float(np.arange(1, 6) @ MARKS[self.data])

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value."""
        return _DIFFERENCES if self.data == "differences" else MARK_LIMITS


CELLS = {
    f"{data}, {judge} judge, {ratings} ratings, {design}": Cell(data, judge, ratings, design)
    for data, design in [
        *((name, "plain") for name in ("differences", *MARKS)),
        ("differences", "strata"),
        ("differences", "sources"),
    ]
    for judge in JUDGES
    for ratings in RATINGS
}


def people(cell: Cell, generator: np.random.Generator, answers: int) -> Values:
    """What people would give to so many answers, shape [answers]."""
    from scipy import special

    latent = generator.normal(size=answers)
    if cell.design == "sources":
        shared = np.repeat(generator.normal(size=-(-answers // _SOURCE)), _SOURCE)[:answers]
        latent = math.sqrt(0.5) * (latent + shared)

    def marks(chances: tuple[float, ...], quality: Values) -> Values:
        return np.asarray(np.searchsorted(np.cumsum(chances)[:-1], special.ndtr(quality)) + 1.0)

    if cell.data != "differences":
        return marks(MARKS[cell.data], latent)
    chances = MARKS["marks, skewed"]
    return marks(chances, latent) - marks(chances, generator.normal(size=answers))


def draw(cell: Cell, generator: np.random.Generator) -> dict[str, Any]:
    """Arguments of `prediction_powered_mean`."""
    total = cell.ratings * (1 + JUDGED)
    marks, judge = people(cell, generator, total), JUDGES[cell.judge]
    scores = judge.slope * marks + generator.normal(judge.bias, judge.noise, total)
    order = generator.permutation(total)
    arguments: dict[str, Any] = {}
    if cell.design == "strata":
        stratum = np.argsort(np.argsort(scores)) * _STRATA // total
        order = np.concatenate([np.flatnonzero(stratum == one)[: cell.ratings // _STRATA] for one in range(_STRATA)])
        order = np.concatenate([order, np.setdiff1d(np.arange(total), order)])
        arguments["strata"] = stratum[order[: cell.ratings]], stratum[order[cell.ratings :]]
    if cell.design == "sources":
        source = np.arange(total) // _SOURCE
        chosen = generator.permutation(source.max() + 1)[: cell.ratings // _SOURCE]
        order = np.concatenate([np.flatnonzero(np.isin(source, chosen)), np.flatnonzero(~np.isin(source, chosen))])
        arguments["clusters"] = source[order[: cell.ratings]], source[order[cell.ratings :]]
    rated, others = order[: cell.ratings], order[cell.ratings :]
    return arguments | {
        "rated": marks[rated],
        "judged_of_rated": scores[rated],
        "judged_of_others": scores[others],
        "limits": cell.limits,
    }


def counted(name: str, times: int) -> dict[str, Any]:
    """Coverage and widths of a cell, and how often the judge's own interval excludes the truth."""
    cell = CELLS[name]
    misses = {"powered": 0, "ratings alone": 0, "judge alone": 0}
    widths, alone, correlations, zero = [], [], [], 0
    with threadpool_limits(1):
        for number in range(times):
            arguments = draw(cell, np.random.default_rng([number, cell.ratings, *map(ord, name)]))
            mean = prediction_powered_mean(**arguments)
            scores = np.concatenate([arguments["judged_of_rated"], arguments["judged_of_others"]])
            half = float(critical_value(LEVEL, len(scores) - 1)) * scores.std(ddof=1) / math.sqrt(len(scores))
            intervals = {
                "powered": mean.interval,
                "ratings alone": mean.ratings_interval,
                "judge alone": (scores.mean() - half, scores.mean() + half),
            }
            for way, (low, high) in intervals.items():
                misses[way] += not low <= cell.truth <= high
            widths.append(mean.interval[1] - mean.interval[0])
            alone.append(mean.ratings_interval[1] - mean.ratings_interval[0])
            zero += min(widths[-1], alone[-1]) <= 0
            correlations.append(mean.correlation or 0.0)
    return {
        "cell": name,
        "data": cell.data,
        "judge": cell.judge,
        "ratings": cell.ratings,
        "units": cell.ratings // _SOURCE if cell.design == "sources" else cell.ratings,
        "judged": cell.ratings * (1 + JUDGED),
        "design": cell.design,
        "draws": times,
        "correlation": round(float(np.mean(correlations)), 3),
        "coverage": {way: round(1 - count / times, 4) for way, count in misses.items()},
        "relative_width": round(float(np.mean(widths) / np.mean(alone)), 4),
        "largest_relative_width": round(float(np.max(np.divide(widths, alone))), 4),
        "zero_width": zero,
    }


def violations(rows: list[dict[str, Any]]) -> list[str]:
    """Every bound that the results do not keep, in words."""
    faults = []
    for row in rows:
        covered, name = row["coverage"]["powered"], row["cell"]
        slack = _ERRORS * math.sqrt(LEVEL * (1 - LEVEL) / row["draws"])
        most = 1.0 if row["data"] == "marks, at the top" else COVERAGE[1]  # nearly all ratings equal
        if not COVERAGE[0] - slack <= covered <= most + slack:
            faults.append(f"{name}: covers {covered}")
        if row["zero_width"]:
            faults.append(f"{name}: {row['zero_width']} intervals of zero width")
        is_useless = row["judge"] == "useless" and row["units"] >= RATINGS[0]
        if is_useless and row["relative_width"] > MOST_USELESS:
            faults.append(f"{name}: a useless judge widens the interval {row['relative_width']} times")
        if is_useless and row["largest_relative_width"] > MOST_SINGLE:
            faults.append(f"{name}: one interval is {row['largest_relative_width']} times as wide")
        is_good = row["correlation"] >= GOOD_CORRELATION and row["design"] == "plain"
        if is_good and row["relative_width"] > MOST_GOOD:
            faults.append(f"{name}: a good judge narrows the interval to {row['relative_width']} only")
    return faults


def main() -> None:
    """Run all cells, and exit with 1 if a bound does not hold."""
    run_simulation(__doc__, "judge_simulation", CELLS, counted, violations)


if __name__ == "__main__":
    main()
