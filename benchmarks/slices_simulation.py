"""Checks how often slices of equal and of unequal models are named, and exits 1 if a bound does not hold.

    python -m benchmarks.slices_simulation --out benchmarks/results/slices.json

Draws items in slices (`--times` per cell) and judges them with the function that a run calls. In the cells without a
planted slice both models are equal in all slices; `named` counts the draws in which any slice is called worse.
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
from reports.comparison.inference import LEVEL
from reports.comparison.slices import SlicedTask, compare_slices
from reports.comparison.slicing import Grouping
from reports.document.schema import MetricInfo
from reports.document.scores import MetricKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Draw = Callable[[np.random.Generator, int, float], tuple[Values, Values]]

UNEVEN = (10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 96, 112, 128)
TWENTY, EIGHT = 20, 8
_LEAST_POWER = 0.8
_ERRORS = 2  # standard errors of the simulation that are allowed


def right_or_wrong(discordance: float) -> Draw:
    """Half of the answers right; the models disagree on a share of the items, or more if the second is that bad."""

    def draw(generator: np.random.Generator, items: int, loss: float) -> tuple[Values, Values]:
        most = max(discordance, loss)
        change = generator.choice((-1, 0, 1), items, p=[(most + loss) / 2, 1 - most, (most - loss) / 2])
        same = generator.random(items) < 0.5  # noqa: PLR2004
        return np.where(change, change < 0, same) * 1.0, np.where(change, change > 0, same) * 1.0

    return draw


def overlaps(generator: np.random.Generator, items: int, loss: float) -> tuple[Values, Values]:
    """Values from 0 to 1 like ROUGE-L: skewed, half of the items tied, and answers of 0."""
    base = generator.beta(2, 6, items)
    other = np.where(generator.random(items) < 0.5, base, generator.beta(2, 6, items))  # noqa: PLR2004
    other = np.where(generator.random(items) < loss / 0.25, 0.0, other)
    return np.round(base, 3).astype(np.float64), np.round(other, 3).astype(np.float64)


def labels(generator: np.random.Generator, items: int, loss: float) -> tuple[Values, Values]:
    """Gold and predicted labels: three labels of which the last is rare; both right in seven of ten items."""
    gold = generator.choice(3, items, p=(0.5, 0.38, 0.12))
    wrong = (gold + generator.integers(1, 3, (3, items))) % 3
    first, second = (np.where(generator.random(items) < 0.7, gold, wrong[place]) for place in (0, 1))  # noqa: PLR2004
    second = np.where(generator.random(items) < 0.6, first, second)  # noqa: PLR2004
    second = np.where(generator.random(items) < loss, wrong[2], second)
    return np.stack([gold, first], 1), np.stack([gold, second], 1)


@dataclass(frozen=True)
class Cell:
    """One kind of data.

    Attributes:
        kind: Kind of the metric.
        draw: Draws the values of both models in a slice; the second loses so much.
        sizes: Number of items of each slice.
        planted: How many slices are bad, the last ones.
        loss: How much the second model loses in these.
        shared: Number of items that share a source.
        is_crossed: Whether a second column divides the same items at random.
    """

    kind: MetricKind
    draw: Draw
    sizes: tuple[int, ...]
    planted: int = 0
    loss: float = 0.0
    shared: int = 1
    is_crossed: bool = False


CELLS = {
    "accuracy, 20 equal slices of 10 to 128": Cell("proportion", right_or_wrong(0.2), UNEVEN),
    "accuracy, 20 equal slices of 10": Cell("proportion", right_or_wrong(0.4), (10,) * TWENTY),
    "accuracy, 20 equal slices of 50, few differ": Cell("proportion", right_or_wrong(0.04), (50,) * TWENTY),
    "accuracy, 20 equal slices of 200, most differ": Cell("proportion", right_or_wrong(0.8), (200,) * TWENTY),
    "accuracy, 20 equal slices of 60, 3 items a source": Cell(
        "proportion", right_or_wrong(0.3), (60,) * TWENTY, shared=3
    ),
    "accuracy, 20 equal slices of 60 by two columns": Cell(
        "proportion", right_or_wrong(0.2), (60,) * (TWENTY // 2), is_crossed=True
    ),
    "mean, 20 equal slices of 10 to 128": Cell("mean", overlaps, UNEVEN),
    "mean, 20 equal slices of 10": Cell("mean", overlaps, (10,) * TWENTY),
    "macro-F1, 20 equal slices of 10 to 128": Cell("macro_f1", labels, UNEVEN),
    "macro-F1, 20 equal slices of 100": Cell("macro_f1", labels, (100,) * TWENTY),
    "accuracy, 1 bad slice of 8": Cell("proportion", right_or_wrong(0.15), (80,) * EIGHT, 1, 0.25),
    "mean, 1 bad slice of 8": Cell("mean", overlaps, (80,) * EIGHT, 1, 0.15),
    "macro-F1, 1 bad slice of 8": Cell("macro_f1", labels, (120,) * EIGHT, 1, 0.35),
    "accuracy, 8 slices all equally bad": Cell("proportion", right_or_wrong(0.2), (80,) * EIGHT, EIGHT, 0.15),
}


def _samples(values: Values, model: str, first: int, shared: int) -> list[Simulated]:
    rows = values.tolist() if values.ndim == 1 else list(map(tuple, values.tolist()))
    return [
        Simulated(str(first + n), {KEY: row}, model, f"source {(first + n) // shared}" if shared > 1 else None)
        for n, row in enumerate(rows)
    ]


def drawn_task(cell: Cell, generator: np.random.Generator) -> SlicedTask:
    """Both models' samples of one draw; slices are named by their place."""
    samples: dict[str, list[Simulated]] = {"base": [], "new": []}
    groups: dict[str | None, list[str]] = {}
    for place, size in enumerate(cell.sizes):
        loss = cell.loss if place >= len(cell.sizes) - cell.planted else 0.0
        values = cell.draw(generator, -(-size // cell.shared), loss)
        first = len(samples["base"])
        for model, side in zip(samples, values, strict=True):
            samples[model] += _samples(np.repeat(side, cell.shared, axis=0)[:size], model, first, cell.shared)
        groups[str(place)] = [str(first + n) for n in range(size)]
    metric = MetricInfo(key=KEY, title="", kind=cell.kind, higher_is_better=True, percent=True)
    groupings = {"speciality": Grouping("value", groups)}
    if cell.is_crossed:
        order = iter(generator.permutation(sum(cell.sizes)).astype(str).tolist())
        crossed = {name: [next(order) for _ in items] for name, items in groups.items()}
        groupings["year"] = Grouping("value", crossed)
    return SlicedTask("t", [metric], samples, groupings)


def true_loss(cell: Cell) -> float:
    """The true loss in a bad slice, from a large sample where there is no formula."""
    if cell.kind == "proportion":
        return cell.loss
    from reports.comparison.sums import value_of_samples

    sides = cell.draw(np.random.default_rng(1), 400_000, cell.loss)
    before, after = (value_of_samples(cell.kind, side.tolist()) for side in sides)
    return before - after


def counted(name: str, times: int) -> dict[str, Any]:
    """How often slices are called worse, which are named, and how often the named one's interval misses its loss."""
    cell = CELLS[name]
    bad = {str(place) for place in range(len(cell.sizes) - cell.planted, len(cell.sizes))}
    truth = -true_loss(cell) if bad else 0.0
    called = named = right = wrong = missed = tests = 0
    false_share = 0.0
    with threadpool_limits(1):
        for draw in range(times):
            task = drawn_task(cell, np.random.default_rng([draw, len(cell.sizes)]))
            results = compare_slices([task], "base", seed=draw)
            pairs = [(one.value, pair) for of in results.slices for one in of.slices for pair in one.comparisons]
            decided = [value for value, pair in pairs if pair.outcome in ("worse", "better")]
            false = sum(value not in bad for value in decided)
            called += false > 0
            false_share += false / max(len(decided), 1)
            tests += sum(pair.p_value is not None for _, pair in pairs)
            for worst in results.worst:
                named += 1
                right += worst.value in bad
                wrong += worst.value not in bad
                missed += not worst.low <= (truth if worst.value in bad else 0.0) <= worst.high
    counts = {
        "any_equal_slice_called": called,
        "share_of_called_that_are_equal": false_share,
        "named": named,
        "named_bad": right,
        "named_equal": wrong,
        "interval_of_named_misses": missed,
    }
    rates = {key: round(value / times, 4) for key, value in counts.items()}
    facts = {"cell": name, "kind": cell.kind, "slices": len(cell.sizes), "planted": cell.planted, "draws": times}
    return facts | {"tested_slices": round(tests / times, 2)} | rates


def violations(rows: list[dict[str, Any]]) -> list[str]:
    """Every bound that the results do not keep, in words."""
    faults = []
    for row in rows:
        most = LEVEL + _ERRORS * math.sqrt(LEVEL * (1 - LEVEL) / row["draws"])
        if row["share_of_called_that_are_equal"] > most:  # without a bad slice: any is called better or worse
            faults.append(f"equal slices are called better or worse: {row}")
        if row["named_equal"] > LEVEL:
            faults.append(f"an equal slice is named the worst: {row}")
        if row["interval_of_named_misses"] > most:
            faults.append(f"the interval of the named slice: {row}")
        if row["planted"] == 1 and row["named_bad"] < _LEAST_POWER:
            faults.append(f"the bad slice is not named: {row}")
    return faults


if __name__ == "__main__":
    run_simulation(__doc__, "slices_simulation", CELLS, counted, violations)
