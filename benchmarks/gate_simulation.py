"""Simulates candidates whose truth is known, and counts how often the default gate policy is right about them.

    python -m benchmarks.gate_simulation --out benchmarks/results/gate_simulation.json

A pilot of equal models is gated; the number of items that the gate asks for is then taken. With those, candidates equal
to the baseline and candidates worse by the margin in one metric are gated. Nothing is trained or scored. Cases that OUT
holds already are kept.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.statistics_simulation import NAT_LEVEL, accuracy, macro_f1, rouge
from reports.comparison.sums import figure_of
from reports.document.evidence import OverlapCheck
from reports.document.schema import MetricInfo, ModelInfo, Results, Score, TaskInfo
from reports.files import read_json, write_json
from reports.gate.judging import judge
from reports.gate.outcome import GateReport
from reports.gate.policy import DEFAULT, Policy
from reports.gate.sides import Side
from reports.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Draw = Callable[[np.random.Generator, int, float], tuple[Values, Values]]

MARGIN = 0.05  # of the default policy
PILOT = 60
_SEEDS = 1000


def perplexity(generator: np.random.Generator, items: int, loss: float) -> tuple[Values, Values]:
    """(log-likelihood, tokens) of documents of very different lengths; the loss is a share of the perplexity."""
    tokens = np.round(generator.lognormal(5.3, 0.5, items)) + 5
    level = generator.normal(NAT_LEVEL, 0.5, items)
    first, second = generator.normal(0, 0.15, (2, items))
    rows = -tokens * (level + first), -tokens * (level + second + np.log1p(loss))
    return np.stack([rows[0], tokens], 1), np.stack([rows[1], tokens], 1)


def losing(draw: Draw) -> Draw:
    """The same models, the second one worse by so much instead of better."""
    return lambda generator, items, loss: draw(generator, items, -loss)


METRICS: dict[str, tuple[MetricInfo, Draw]] = {
    "accuracy": (
        MetricInfo(key="accuracy", title="Accuracy", kind="proportion", higher_is_better=True, percent=True),
        losing(accuracy),
    ),
    "macro_f1": (
        MetricInfo(key="macro_f1", title="Macro-F1", kind="macro_f1", higher_is_better=True, percent=True),
        losing(macro_f1),
    ),
    "perplexity": (
        MetricInfo(key="perplexity", title="Perplexity", kind="perplexity", higher_is_better=False),
        perplexity,
    ),
    "rouge_l": (MetricInfo(key="rouge_l", title="ROUGE-L", higher_is_better=True, percent=True), losing(rouge)),
}


def gate(items: dict[str, int], losses: dict[str, float], seed: int, policy: Policy = DEFAULT) -> GateReport:
    """Gate a simulated candidate: each metric in a task of its own, with so many items and so true a loss."""
    generator = np.random.default_rng(seed)
    sides: tuple[dict[str, Values], dict[str, Values]] = ({}, {})
    for name, number in items.items():
        drawn = METRICS[name][1](generator, number, losses.get(name, 0.0))
        for side, values in zip(sides, drawn, strict=True):
            side[name] = values
    results = _results(items, sides)
    before, after = (
        Side(
            run="simulated",
            results=results,
            model=model,
            items={name: _scores(name, values) for name, values in side.items()},
        )
        for model, side in zip(("base", "adapter"), sides, strict=True)
    )
    return judge(policy, after, before)


def _results(items: dict[str, int], sides: tuple[dict[str, Values], dict[str, Values]]) -> Results:
    kinds = {name: METRICS[name][0] for name in items}
    return Results(
        medbench_version=__version__,
        name="simulated",
        created="",
        command="",
        seed=0,
        baseline="base",
        recipe={},
        environment={},
        data=[],
        tasks=[TaskInfo(name=name, title=name, metrics=[metric]) for name, metric in kinds.items()],
        models=[
            ModelInfo(name="base", kind="base", source="", sha256="", weights=""),
            ModelInfo(name="adapter", kind="adapter", source="", sha256="", weights=""),
        ],
        overlap=OverlapCheck(method="", models=["adapter"], rows=0, items=items),
        scores=[
            Score(
                model=model,
                task=name,
                metric=name,
                value=figure_of(kinds[name].kind, values.tolist()),
                n=len(values),
            )
            for model, side in zip(("base", "adapter"), sides, strict=True)
            for name, values in side.items()
        ],
    )


class _Score(NamedTuple):
    """Stands for an `ItemScore`, which takes longer to make than to judge."""

    id: str
    doc_hash: str
    metrics: dict[str, Any]
    finish_reason: None = None
    cluster: None = None


def _scores(name: str, values: Values) -> Any:
    """Items with these values, by id."""
    rows = values.tolist() if values.ndim == 1 else list(map(tuple, values.tolist()))
    return {str(number): _Score(str(number), "", {name: row}) for number, row in enumerate(rows)}


def asked(names: list[str], seed: int, pilot: int = PILOT) -> dict[str, int]:
    """How many items the gate asks for after a pilot of equal models, by metric.

    Pilots that decide a rule by luck ask for nothing and are drawn again.
    """
    needed: dict[str, int] = {}
    for draw in count():
        missing = [name for name in names if name not in needed]
        if not missing:
            return {name: needed[name] for name in names}
        report = gate(dict.fromkeys(names, pilot), {}, seed * _SEEDS + draw)
        found = {rule.metric: rule.items_needed for rule in report.rules}
        needed |= {name: wanted for name in missing if (wanted := found[name]) is not None}
    raise AssertionError


def simulate(names: list[str], times: int, worse_in: str) -> dict[str, Any]:
    """Verdicts on equal candidates and on ones that lose the margin in one metric, each after a pilot of its own."""
    counts: dict[str, Counter[str]] = {"equal": Counter(), "worse": Counter()}
    wanted: list[dict[str, int]] = []
    for number in range(times):
        items = asked(names, number)
        wanted.append(items)
        counts["equal"][gate(items, {}, times + number).verdict] += 1
        counts["worse"][gate(items, {worse_in: MARGIN}, 2 * times + number).verdict] += 1
    return {
        "metrics": names,
        "worse_in": worse_in,
        "times": times,
        "items_asked_median": {name: int(np.median([each[name] for each in wanted])) for name in names},
        "equal": _shares(counts["equal"], times),
        "worse_by_the_margin": _shares(counts["worse"], times),
    }


def _shares(counts: Counter[str], times: int) -> dict[str, float]:
    found = {verdict: counts[verdict] / times for verdict in ("pass", "fail", "inconclusive")}
    return found | {"blocked": 1 - found["pass"]}


def main() -> None:
    """Simulate policies over one metric and over all, and write down what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=1000)
    args = parser.parse_args()
    gc.freeze()  # statsmodels collects garbage at every correction, which takes longer the more is loaded
    cases = [([name], name) for name in METRICS] + [(list(METRICS), "accuracy"), (list(METRICS), "perplexity")]
    command = f"python -m benchmarks.gate_simulation --times {args.times}"
    about = {"command": command, "medbench": __version__, "pilot_items": PILOT}
    before = read_json(args.out) if args.out.is_file() else {}
    known = before.get("cases", []) if {name: before.get(name) for name in about} == about else []
    found: list[dict[str, Any]] = []
    for names, worse_in in cases:
        started = time.perf_counter()
        kept = next((each for each in known if (each["metrics"], each["worse_in"]) == (names, worse_in)), None)
        found.append(kept or simulate(names, args.times, worse_in))
        print(f"{json.dumps(found[-1])} ({time.perf_counter() - started:.0f} s)", flush=True)
        write_json(args.out, {**about, "cases": found + known[len(found) :]})


if __name__ == "__main__":
    main()
