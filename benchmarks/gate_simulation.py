"""How often the gate's tests are right about candidates whose truth is known; checks its own bounds.

    python -m benchmarks.gate_simulation --out benchmarks/results/gate_simulation.json

Accuracy is enumerated exactly: candidates at the margin and equal ones for every number of items and discordance, the
power at the number of items that the gate asks for, and that number against the smallest one that has the power.
Perplexity, macro-F1 and ROUGE-L are drawn `--times` times. Repeated use is simulated as well. Ends with 1 where a bound
is violated, and with 2 where the working tree has changes that no commit holds, unless --allow-dirty is given.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from benchmarks.evidence import environment
from benchmarks.gate_exact import (
    DISCORDANCES,
    LEVELS,
    MARGIN,
    PILOT,
    exact_passes,
    false_passes,
    passes,
    planning,
    power_when_asked,
)
from reports.comparison.proportions import POWER
from reports.comparison.sums import Clusters
from reports.document.schema import MetricInfo
from reports.files import write_json
from reports.gate.estimate import Difference, paired
from reports.gate.label_difference import label_difference
from reports.gate.units import units_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Draw = Callable[[np.random.Generator, int, float], tuple[Values, Values]]

LIMIT = 0.05  # of false passes
NEAR = 1.1  # the gate asks for at most this multiple of the smallest sufficient number of items
ITEMS = range(20, 1001)
SIMULATED_ITEMS = (20, 50, 200)
_LABEL_SHARES = (0.55, 0.34, 0.11)  # as in PubMedQA's test set
_RARE_SHARES = (0.6, 0.35, 0.05)
_RECALL = 0.9
_NO_LABEL = 3
_HALF = 0.5
_NAT_LEVEL = 2.5  # mean negative log-likelihood of a token


# Other metrics, drawn


def perplexity(generator: np.random.Generator, items: int, loss: float) -> tuple[Values, Values]:
    """(log-likelihood, tokens) of documents of very different lengths; the loss is a share of the perplexity."""
    tokens = np.round(generator.lognormal(5.3, 0.5, items)) + 5
    level = generator.normal(_NAT_LEVEL, 0.5, items)
    first, second = generator.normal(0, 0.15, (2, items))
    rows = -tokens * (level + first), -tokens * (level + second + np.log1p(loss))
    return np.stack([rows[0], tokens], 1), np.stack([rows[1], tokens], 1)


def macro_f1(generator: np.random.Generator, items: int, loss: float) -> tuple[Values, Values]:
    """(gold, predicted) labels: the gold one, else one drawn by the labels' shares.

    With a share q of the first kind, the F1 of a label is q + (1 - q) times its share, and macro-F1 q + (1 - q) / 3.
    """
    gold, guess, other = generator.choice(3, (3, items), p=_LABEL_SHARES)
    luck, own = generator.random((2, items))
    shared = generator.random(items) < _HALF
    first = np.where(luck < _HALF, gold, guess)
    second = np.where(np.where(shared, luck, own) < _HALF - 1.5 * loss, gold, np.where(shared, guess, other))
    return np.stack([gold, first], 1).astype(float), np.stack([gold, second], 1).astype(float)


def rare_label(generator: np.random.Generator, items: int, loss: float) -> tuple[Values, Values]:
    """(gold, predicted) labels of a model that is right or gives no label, and of one that is worse on a rare label.

    With a recall r and nothing else predicted as a label, its F1 is 2 r / (1 + r). The rare label occurs at least once:
    macro-F1 counts only labels that do.
    """
    gold = generator.choice(3, items, p=_RARE_SHARES)
    gold[0] = len(_RARE_SHARES) - 1
    right, own = generator.random((2, items))
    f1 = 2 * _RECALL / (1 + _RECALL) - len(_RARE_SHARES) * loss
    lower = f1 / (2 - f1)
    first = np.where(right < _RECALL, gold, _NO_LABEL)
    lost = (gold == len(_RARE_SHARES) - 1) & (own >= lower / _RECALL)
    return np.stack([gold, first], 1).astype(float), np.stack([gold, np.where(lost, _NO_LABEL, first)], 1).astype(float)


def rouge(generator: np.random.Generator, items: int, loss: float) -> tuple[Values, Values]:
    """Skewed values between 0 and 1, half of them shared by the models."""
    first, second, shared = generator.beta(1.2, 6, (3, items))
    same = generator.random(items) < _HALF
    return np.where(same, shared, first), np.where(same, shared, second) - loss


METRICS: dict[str, tuple[MetricInfo, Draw]] = {
    "perplexity": (MetricInfo(key="m", title="Perplexity", kind="perplexity", higher_is_better=False), perplexity),
    "macro_f1": (MetricInfo(key="m", title="Macro-F1", kind="macro_f1", higher_is_better=True, percent=True), macro_f1),
    "macro_f1_of_a_rare_label": (
        MetricInfo(key="m", title="Macro-F1", kind="macro_f1", higher_is_better=True, percent=True),
        rare_label,
    ),
    "rouge_l": (MetricInfo(key="m", title="ROUGE-L", higher_is_better=True, percent=True), rouge),
}


class _Item(NamedTuple):
    """What the gate needs of an item; stands for an `ItemScore`, which takes longer to make than to judge."""

    id: str
    metrics: dict[str, Any]
    cluster: None = None


def differences(name: str, items: int, loss: float, seed: int) -> tuple[Difference, Difference, float]:
    """A drawn candidate's gain, the same less the tolerated loss, and the limit of that."""
    metric, draw = METRICS[name]
    sides = draw(np.random.default_rng(seed), items, loss)
    if metric.kind == "macro_f1":
        gain = label_difference(*(_labelled(metric, values) for values in sides))
        return gain, gain, -MARGIN
    tables = [_table(metric, values) for values in sides]
    plain = paired(metric.kind, *tables, sign=metric.sign)
    if metric.is_share:
        return plain, plain, -MARGIN
    return plain, paired(metric.kind, *tables, sign=metric.sign, share=-metric.sign * MARGIN), 0.0


def _table(metric: MetricInfo, values: Values) -> Values:
    """What each item adds to a metric, shape [items, columns]."""
    if metric.kind == "mean":
        return np.stack([values, np.ones(len(values))], 1)
    return values


def _labelled(metric: MetricInfo, values: Values) -> Clusters:
    items = [_Item(f"{number:06}", {metric.key: value}) for number, value in enumerate(values.tolist())]
    return units_of(metric, cast("Any", items), labels=_NO_LABEL + 1)


def drawn_passes(name: str, items: int, loss: float, seed: int) -> dict[str, bool]:
    """Whether a drawn candidate passes each rule with the default margin and no other rules."""
    plain, tolerated, limit = differences(name, items, loss, seed)
    p_tolerated = tolerated.p_above(limit)
    return {
        "non_inferiority": p_tolerated < LEVELS["non_inferiority"],
        "no_regression": p_tolerated < LEVELS["no_regression"] and plain.p_below(0.0) >= LEVELS["no_regression"],
        "superiority": plain.p_above(0.0) < LEVELS["superiority"],
    }


def simulate(name: str, items: int, times: int) -> dict[str, float]:
    """Shares of false passes by rule: at the margin, or of equal candidates for superiority."""
    worse = [drawn_passes(name, items, MARGIN, seed) for seed in range(times)]
    equal = [drawn_passes(name, items, 0.0, times + seed) for seed in range(times)]
    shares = {
        rule: float(np.mean([draw[rule] for draw in (equal if rule == "superiority" else worse)])) for rule in LEVELS
    }
    return {"items": items, "times": times, **shares}


def simulate_power(name: str, times: int) -> dict[str, float]:
    """How often an equal candidate passes `no_regression` with the items asked for after a pilot of its own."""
    confidence = 1 - LEVELS["no_regression"]
    asked, passed = [], []
    for seed in range(times):
        plain, tolerated, limit = differences(name, PILOT, 0.0, seed)
        offset = tolerated.value - plain.value
        needed = tolerated.items_to_exceed(limit, offset, confidence, POWER)
        if needed is not None:
            asked.append(needed)
            passed.append(drawn_passes(name, needed, 0.0, times + seed)["no_regression"])
    return {"times": len(asked), "median_asked": float(np.median(asked)), "power": float(np.mean(passed))}


# Repeated use


def repeated_use(times: int, items: int = 1000, discordance: float = 0.1) -> dict[str, float]:
    """What many candidates, many looks, and a moving baseline do to the rules' promises, for accuracy.

    Each of five releases loses one point, so that the last one has lost the margin; all differ from their baseline on
    as many items.
    """
    generator = np.random.default_rng(0)
    someone, looked, moving, frozen = 0, 0, 0, 0
    for _ in range(times):
        someone += bool(_passes_of(generator, items, 0.0, discordance, 20)["superiority"].any())
        shares = [discordance / 2, discordance / 2, 1 - discordance]
        looks = generator.multinomial(items // 10, shares, 10).cumsum(0)
        looked += any(passes(int(look.sum()), look[0], look[1])["superiority"] for look in looks)
        moving += bool(_passes_of(generator, items, -0.01, discordance, 5)["no_regression"].all())
        frozen += all(
            _passes_of(generator, items, -0.01 * release, discordance, 1)["no_regression"][0] for release in range(1, 6)
        )
    return {
        "times": times,
        "items": items,
        "discordance": discordance,
        "one_of_20_equal_candidates_passes_superiority": someone / times,
        "an_equal_candidate_passes_superiority_at_one_of_10_looks": looked / times,
        "a_release_that_loses_1_point_passes": round(exact_passes(items, -0.01, discordance)["no_regression"], 4),
        "5_releases_that_lose_1_point_each_pass_against_the_last_one": moving / times,
        "5_releases_that_lose_1_point_each_pass_against_the_first_one": frozen / times,
    }


def _passes_of(
    generator: np.random.Generator, items: int, difference: float, discordance: float, candidates: int
) -> dict[str, NDArray[np.bool_]]:
    """Which of several candidates with fresh answers pass each rule."""
    shares = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    counts = generator.multinomial(items, shares, candidates)
    return passes(items, counts[:, 0], counts[:, 1])


# The file


def violations(result: dict[str, Any]) -> list[str]:
    """Which bounds a result violates."""
    broken = [
        f"accuracy: {rule} passes falsely in {cells['largest']:.2%}"
        for rule, cells in result["accuracy"]["false_passes"].items()
        if cells["largest"] > LIMIT
    ]
    broken += [
        f"accuracy: {row['asked']} items asked, {row['exact']} needed, power {row['power']}"
        for row in result["accuracy"]["planning"]
        if row["power"] < POWER or not 1 <= row["ratio"] <= NEAR
    ]
    broken += [
        f"accuracy: power {power} with the items asked for at a discordance of {discordance}"
        for discordance, power in result["accuracy"]["power_when_asked"].items()
        if power < POWER
    ]
    for name, metric in result["simulated"].items():
        for row in metric["false_passes"]:
            most = LIMIT + 2 * math.sqrt(LIMIT * (1 - LIMIT) / row["times"])
            broken += [
                f"{name}, {row['items']} items: {rule} passes falsely in {row[rule]:.2%}"
                for rule in LEVELS
                if row[rule] > most
            ]
        least = POWER - 2 * math.sqrt(POWER * (1 - POWER) / metric["when_asked"]["times"])
        if metric["when_asked"]["power"] < least:
            broken.append(f"{name}: power {metric['when_asked']['power']} with the items asked for")
    return broken


def measure(times: int, numbers: Iterable[int] = ITEMS, simulated: Sequence[int] = SIMULATED_ITEMS) -> dict[str, Any]:
    """Everything that the file holds but where it comes from."""
    return {
        "margin": MARGIN,
        "levels": {rule: round(level, 4) for rule, level in LEVELS.items()},
        "accuracy": {
            "false_passes": false_passes(numbers, DISCORDANCES),
            "planning": planning((0, 1, 3, 6, 12, 20)),
            "power_when_asked": power_when_asked(DISCORDANCES),
        },
        "simulated": {
            name: {
                "false_passes": [simulate(name, items, times) for items in simulated],
                "when_asked": simulate_power(name, max(100, times // 4)),
            }
            for name in METRICS
        },
        "repeated_use": repeated_use(times),
    }


def main() -> None:
    """Measure, check the bounds, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--allow-dirty", action="store_true")
    args = parser.parse_args()
    started = time.perf_counter()
    about = {
        "command": f"python -m benchmarks.gate_simulation --times {args.times}",
        "environment": environment(allow_dirty=args.allow_dirty),
    }
    result = measure(args.times)
    broken = violations(result)
    write_json(args.out, {**about, **result, "violations": broken})
    print(json.dumps(result, indent=1))
    print(f"{time.perf_counter() - started:.0f} s; {len(broken)} bounds violated", *broken, sep="\n")
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
