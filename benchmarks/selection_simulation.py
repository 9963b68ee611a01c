"""Picks the best of eight equal checkpoints: what is then reported on its own items, and what on fresh ones.

    python -m benchmarks.selection_simulation --out benchmarks/results/selection.json

Draws items (`--times` per cell) that eight checkpoints and the base answer equally well, although not alike, chooses a
checkpoint with the function that a training calls, and compares it with the base by the test that a run calls: once on
the items that chose it, once on others. Exits with 1 unless the difference is unbiased and its interval holds its level
on fresh items, and the other way of reporting is shown to be neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.evidence import run_simulation
from benchmarks.simulated_models import KEY, Simulated
from harness.runs.choosing import best_step
from reports.comparison.compare_models import compare, judge
from reports.comparison.inference import LEVEL
from reports.comparison.sums import value_of_samples
from reports.document.schema import MetricInfo
from reports.document.scores import MetricKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Draw = Callable[[np.random.Generator, int], list[Values]]

CHECKPOINTS = 8
_BASE = "base"
_ERRORS = 3  # standard errors of the simulation that a bias may have
_LEVEL_ERRORS = 2  # and that a level may be exceeded by


def right_or_wrong(share: float, changed: float) -> Draw:
    """So many answers right; each checkpoint answers a share of the items again."""

    def draw(generator: np.random.Generator, items: int) -> list[Values]:
        base = generator.random(items) < share
        again = generator.random((CHECKPOINTS, items)) < changed
        return [base * 1.0, *np.where(again, generator.random((CHECKPOINTS, items)) < share, base) * 1.0]

    return draw


def log_likelihoods(generator: np.random.Generator, items: int) -> list[Values]:
    """Negative log-likelihoods: skewed, with a few items that dominate, and small differences."""
    base = generator.lognormal(0.5, 0.9, items)
    return [base, *(base * generator.lognormal(-0.02, 0.2, (CHECKPOINTS, items)))]


def labels(generator: np.random.Generator, items: int) -> list[Values]:
    """Gold and predicted labels: three labels, the last rare; six of ten right, four of ten answered again."""
    gold = generator.choice(3, items, p=(0.5, 0.4, 0.1))

    def answers() -> Values:
        right = generator.random(items) < 0.6  # noqa: PLR2004
        return np.where(right, gold, (gold + generator.integers(1, 3, items)) % 3)

    base = answers()
    others = [np.where(generator.random(items) < 0.4, answers(), base) for _ in range(CHECKPOINTS)]  # noqa: PLR2004
    return [np.stack([gold, of], 1) for of in (base, *others)]


@dataclass(frozen=True)
class Cell:
    """One kind of data.

    Attributes:
        kind: Kind of the metric.
        draw: Draws the values of the base and of each checkpoint.
        chooses: Number of items that choose.
        fresh: Number of items that are reported.
        higher_is_better: Whether a higher score is better.
        shared: Number of items that share a source, which are all on the same side.
    """

    kind: MetricKind
    draw: Draw
    chooses: int
    fresh: int
    higher_is_better: bool = True
    shared: int = 1


CELLS = {
    "accuracy, 30 items choose": Cell("proportion", right_or_wrong(0.55, 0.3), 30, 200),
    "accuracy, 100 items choose": Cell("proportion", right_or_wrong(0.55, 0.3), 100, 400),
    "accuracy near 1, few differ": Cell("proportion", right_or_wrong(0.95, 0.1), 100, 400),
    "accuracy, 3 items a source": Cell("proportion", right_or_wrong(0.55, 0.5), 99, 300, shared=3),
    "macro-F1, rare label": Cell("macro_f1", labels, 100, 300),
    "mean, skewed, lower is better": Cell("mean", log_likelihoods, 50, 200, higher_is_better=False),
}


def _samples(cell: Cell, values: Values, model: str) -> list[Simulated]:
    rows = values.tolist() if values.ndim == 1 else list(map(tuple, values.tolist()))
    sources = [f"source {n // cell.shared}" if cell.shared > 1 else None for n in range(len(rows))]
    return [
        Simulated(str(n), {KEY: row}, model, source) for n, (row, source) in enumerate(zip(rows, sources, strict=True))
    ]


def drawn(cell: Cell, generator: np.random.Generator, items: int) -> list[list[Simulated]]:
    """Samples of the base and of each checkpoint on so many items."""
    values = cell.draw(generator, -(-items // cell.shared))
    names = [_BASE, *map(str, range(1, CHECKPOINTS + 1))]
    return [
        _samples(cell, np.repeat(of, cell.shared, axis=0)[:items], name) for name, of in zip(names, values, strict=True)
    ]


def counted(name: str, times: int) -> dict[str, Any]:
    """Mean error of the reported difference, how often its interval misses, and how often it is called better."""
    cell = CELLS[name]
    metric = MetricInfo(key=KEY, title="", kind=cell.kind, higher_is_better=cell.higher_is_better, percent=True)
    differences: dict[str, list[float]] = {"fresh": [], "chosen on": []}
    missed, better = dict.fromkeys(differences, 0), dict.fromkeys(differences, 0)
    with threadpool_limits(1):
        for draw in range(times):
            generator = np.random.default_rng([draw, cell.chooses, cell.fresh])
            chooses, fresh = drawn(cell, generator, cell.chooses), drawn(cell, generator, cell.fresh)
            scores = {
                step: value_of_samples(cell.kind, [one.metrics[KEY] for one in chooses[step]])
                for step in range(1, CHECKPOINTS + 1)
            }
            step = best_step(scores, metric.sign)
            assert step is not None
            for way, samples in (("fresh", fresh), ("chosen on", chooses)):
                (pair,) = judge([compare(metric, samples[0], samples[step], seed=draw)[0]], plan=False)
                if pair.difference is None or pair.low is None or pair.high is None:
                    continue
                differences[way].append(metric.sign * pair.difference)
                missed[way] += not pair.low <= 0.0 <= pair.high
                better[way] += pair.outcome == "better"
    ways = {
        way: {
            "draws": len(of),
            "bias": round(float(np.mean(of)), 5),
            "standard_error": round(float(np.std(of, ddof=1) / math.sqrt(len(of))), 5),
            "interval_misses": round(missed[way] / len(of), 4),
            "called_better": round(better[way] / len(of), 4),
        }
        for way, of in differences.items()
    }
    return {"cell": name, "kind": cell.kind, "chooses": cell.chooses, "reported": cell.fresh, **ways}


def violations(rows: list[dict[str, Any]]) -> list[str]:
    """Every bound that the results do not keep, in words."""
    faults = []
    for row in rows:
        fresh, reused = row["fresh"], row["chosen on"]
        if abs(fresh["bias"]) > _ERRORS * fresh["standard_error"]:
            faults.append(f"biased on fresh items: {row}")
        most = LEVEL + _LEVEL_ERRORS * math.sqrt(LEVEL * (1 - LEVEL) / fresh["draws"])
        if fresh["interval_misses"] > most:
            faults.append(f"the interval on fresh items misses too often: {row}")
        if reused["bias"] < _ERRORS * reused["standard_error"]:
            faults.append(f"no bias is seen on the items that chose: {row}")
    return faults


if __name__ == "__main__":
    run_simulation(__doc__, "selection_simulation", CELLS, counted, violations)
