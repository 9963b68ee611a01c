"""Simulates comparisons whose truth is known, and counts how often medbench's statistics are right about them.

    python -m benchmarks.statistics_simulation --out benchmarks/results/statistics.json

For each kind of metric and number of items: how often the 95 % interval of the difference holds the true one, how often
two equal models are called different at 5 %, and how often a difference of the stated detectable size is found.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from reports.comparison.resampling import LEVEL
from threadpoolctl import threadpool_limits

from reports.comparison import statistics
from reports.document.schema import Comparison, MetricInfo, Sample
from reports.files import write_json
from reports.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Draw = Callable[[np.random.Generator, int, float], tuple[Values, Values]]

KEY = "m"
LABEL_SHARES = (0.55, 0.34, 0.11)  # as in PubMedQA's test set
HALF = 0.5
NAT_LEVEL = 2.5  # mean negative log-likelihood of a token
STATED_BY = 200  # comparisons whose stated detectable difference is averaged


def accuracy(generator: np.random.Generator, items: int, difference: float) -> tuple[Values, Values]:
    """Right or wrong; the models disagree on a fifth of the items, or on as many as the difference takes."""
    share = max(0.2, abs(difference))
    change = generator.choice((-1, 0, 1), items, p=[(share - difference) / 2, 1 - share, (share + difference) / 2])
    same = generator.random(items) < HALF
    return np.where(change, change < 0, same).astype(float), np.where(change, change > 0, same).astype(float)


def rouge(generator: np.random.Generator, items: int, difference: float) -> tuple[Values, Values]:
    """Skewed values between 0 and 1, half of them shared by the models."""
    first, second, shared = generator.beta(1.2, 6, (3, items))
    same = generator.random(items) < HALF
    return np.where(same, shared, first), np.where(same, shared, second) + difference


def perplexity(generator: np.random.Generator, items: int, difference: float) -> tuple[Values, Values]:
    """(log-likelihood, tokens) of documents of very different lengths; length is independent of difficulty."""
    tokens = np.round(generator.lognormal(5.3, 0.5, items)) + 5
    level = generator.normal(NAT_LEVEL, 0.5, items)
    shift = np.log1p(difference / np.exp(NAT_LEVEL))
    first, second = generator.normal(0, 0.15, (2, items))
    rows = (-tokens * (level + first), -tokens * (level + second + shift))
    return np.stack([rows[0], tokens], 1), np.stack([rows[1], tokens], 1)


def macro_f1(generator: np.random.Generator, items: int, difference: float) -> tuple[Values, Values]:
    """(gold, predicted) labels: the gold one, else one drawn by the labels' shares.

    With a share q of the first kind, the F1 of a label is q + (1 - q) times its share, and macro-F1 q + (1 - q) / 3.
    """
    gold, guess, other = generator.choice(3, (3, items), p=LABEL_SHARES)
    luck, own = generator.random((2, items))
    shared = generator.random(items) < HALF
    first = np.where(luck < HALF, gold, guess)
    second = np.where(np.where(shared, luck, own) < HALF + 1.5 * difference, gold, np.where(shared, guess, other))
    return np.stack([gold, first], 1).astype(float), np.stack([gold, second], 1).astype(float)


METRICS: dict[str, tuple[MetricInfo, Draw]] = {
    "accuracy": (MetricInfo(key=KEY, title="accuracy", kind="proportion", higher_is_better=True), accuracy),
    "rouge_l": (MetricInfo(key=KEY, title="rouge", kind="mean", higher_is_better=True, percent=True), rouge),
    "perplexity": (MetricInfo(key=KEY, title="perplexity", kind="perplexity", higher_is_better=False), perplexity),
    "macro_f1": (MetricInfo(key=KEY, title="macro-F1", kind="macro_f1", higher_is_better=True), macro_f1),
}


def one_comparison(name: str, items: int, difference: float, seed: int) -> Comparison:
    """A comparison of two simulated models."""
    metric, draw = METRICS[name]
    before, after = draw(np.random.default_rng(seed), items, difference)
    return statistics.compare(metric, _samples(before, "base"), _samples(after, "new"), seed=seed)[0]


def _samples(values: Values, model: str) -> list[Sample]:
    """Samples with these values; not validated, which takes longer than comparing them."""
    fields: dict[str, Any] = {"doc_hash": "", "model": model, "task": "t", "prompt": "", "output": "", "gold": ""}
    return [
        Sample.model_construct(id=str(number), metrics={KEY: row}, **fields)
        for number, row in enumerate(values.tolist())
    ]


def simulate(name: str, items: int, times: int) -> dict[str, float]:
    """Coverage, false alarms, the stated detectable difference, and how often it is found."""
    with threadpool_limits(1):  # several threads only get into each other's way at this size
        return _simulate(name, items, times)


def _simulate(name: str, items: int, times: int) -> dict[str, float]:
    null = [one_comparison(name, items, 0.0, seed) for seed in range(times)]
    metrics = {("t", KEY): METRICS[name][0]}
    stated = [statistics.judge([each], metrics)[0].detectable for each in null[:STATED_BY]]
    truth = float(np.mean([each for each in stated if each is not None]))
    moved = [one_comparison(name, items, truth, times + seed) for seed in range(times)]
    found = {
        "items": items,
        "comparisons": times,
        "coverage": _covered(null, 0.0),
        "coverage_of_the_detectable": _covered(moved, truth),
        "false_alarms": _found(null),
        "detectable": truth,
        "detected": _found(moved),
    }
    return {key: round(value, 4) for key, value in found.items()}


def _covered(comparisons: Sequence[Comparison], truth: float) -> float:
    ends = np.asarray([(each.low, each.high) for each in comparisons], dtype=float)
    return float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())


def _found(comparisons: Sequence[Comparison]) -> float:
    return float((np.asarray([each.p_value for each in comparisons], dtype=float) < LEVEL).mean())


def main() -> None:
    """Simulate every kind at 50 and 500 items, and write down what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=2000)
    args = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for name in METRICS:
        for items in (50, 500):
            started = time.perf_counter()
            found.setdefault(name, []).append(simulate(name, items, args.times))
            print(f"{name}: {json.dumps(found[name][-1])} ({time.perf_counter() - started:.0f} s)", flush=True)
    command = f"python -m benchmarks.statistics_simulation --times {args.times}"
    write_json(args.out, {"command": command, "medbench": __version__, "metrics": found})


if __name__ == "__main__":
    main()
