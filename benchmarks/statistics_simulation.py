"""Checks medbench's intervals, tests and outcomes against comparisons whose truth is known, and exits 1 if one fails.

    python -m benchmarks.statistics_simulation --out benchmarks/results/statistics.json [--only CELL ...]

With `--only` the other cells of `drawn` stay as OUT has them; `drawn_at` has the commit of each cell.
Right/wrong answers are enumerated exactly; everything else is drawn (`--times` per cell) and goes through the functions
that a run calls. What each cell draws: `benchmarks/simulated_models.py`. What must hold: `violations` below.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.evidence import environment, simulation_arguments
from benchmarks.simulated_models import CELLS, Cell, adapters
from reports.comparison import compare_models
from reports.comparison.counts import share
from reports.comparison.inference import LEVEL
from reports.comparison.proportions import score_statistic
from reports.document.schema import Comparison, Score
from reports.files import read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

ITEMS = (10, 20, 50, 200, 500)
SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)
DISCORDANCES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 0.98)
MARGIN = 0.05
ADAPTERS = 8
_NORMAL_QUANTILE = 1.959963984540054
_ABOUT = 0.999  # true differences of a population are known to so much
_ERRORS = 2  # simulation standard errors that are allowed
_FEW = 0.05  # of the draws; so few, chosen by the sample, have no coverage of their own
_SMALL = 50  # items from which on the narrower range holds


def single_shares(items: int) -> dict[str, Any]:
    """Exact coverage of the interval of one share: the minimum over true shares."""
    from scipy import stats

    rights = np.arange(items + 1)
    ends = np.array([share(float(right), items).ends(LEVEL) for right in rights])
    coverage = {
        truth: float(stats.binom.pmf(rights, items, truth)[(ends[:, 0] <= truth) & (truth <= ends[:, 1])].sum())
        for truth in SHARES
    }
    worst = min(coverage, key=coverage.__getitem__)
    return {"items": items, "least_coverage": coverage[worst], "at_share": worst}


def paired_shares(items: int) -> dict[str, Any]:
    """Exact properties of the comparison of two shares over all numbers of gained and lost items.

    Coverage over differences from 0 to all discordant items; false alarms where the difference is 0; false equivalence
    where it is the margin.
    """
    gained, lost = (side.ravel() for side in np.meshgrid(np.arange(items + 1), np.arange(items + 1)))
    possible = gained + lost <= items
    gained, lost = gained[possible], lost[possible]
    inside = [np.abs(score_statistic(gained, lost, items, limit)) > _NORMAL_QUANTILE for limit in (-MARGIN, MARGIN)]
    equivalent = inside[0] & inside[1] & (np.abs(gained - lost) < MARGIN * items)
    rejected = np.abs(score_statistic(gained, lost, items, 0.0)) > _NORMAL_QUANTILE
    equivalent &= ~rejected
    coverage, alarms, false_equivalence = {}, {}, {}
    for discordance in DISCORDANCES:
        for part in (0.0, 0.25, 0.5, 0.75, 1.0):
            truth = part * discordance
            weights = _trinomial(gained, lost, items, discordance, truth)
            holds = np.abs(score_statistic(gained, lost, items, truth)) <= _NORMAL_QUANTILE
            coverage[discordance, truth] = float(weights[holds].sum())
        alarms[discordance] = float(_trinomial(gained, lost, items, discordance, 0.0)[rejected].sum())
        if discordance >= MARGIN:
            weights = _trinomial(gained, lost, items, discordance, MARGIN)
            false_equivalence[discordance] = float(weights[equivalent].sum())
    worst = min(coverage, key=coverage.__getitem__)
    return {
        "items": items,
        "least_coverage": coverage[worst],
        "at_discordance_and_difference": list(worst),
        "most_false_alarms": max(alarms.values()),
        "most_false_equivalence": max(false_equivalence.values()),
    }


def _trinomial(gained: Any, lost: Any, items: int, discordance: float, difference: float) -> Values:
    from scipy import stats

    discordant, part = gained + lost, (1 + difference / discordance) / 2
    return np.asarray(stats.binom.pmf(discordant, items, discordance) * stats.binom.pmf(gained, discordant, part))


def drawn(cell: Cell, items: int, truth: str, times: int) -> dict[str, Any]:
    """Coverage of difference and of one model's score, outcomes and cautions, over so many draws."""
    rows = []
    with threadpool_limits(1):
        for draw in range(times):
            before, after = cell.draw(np.random.default_rng([draw, items]), items, truth)
            tested, _ = compare_models.compare(cell.metric, before, after, seed=draw)
            (judged,) = compare_models.judge([tested], plan=False)
            single = compare_models.score(cell.metric, before, None, seed=draw)
            single_truth, difference = cell.truths(truth, before)
            rows.append(_row(judged, difference, single, single_truth))
    table = np.array(rows)
    cautious, single_cautious = table[:, 3] > 0, table[:, 5] > 0
    counted = {
        "cell": cell.name,
        "kind": cell.metric.kind,
        "items": items,
        "truth": truth,
        "draws": times,
        "flagged": table[:, 3].mean(),
        "coverage": _mean(table[~cautious, 0]),
        "coverage_flagged": _mean(table[cautious, 0]),
        "different": table[:, 1].mean(),
        "equivalent": table[:, 2].mean(),
        "false_equivalence": table[:, 6].mean(),
        "single_flagged": table[:, 5].mean(),
        "single_coverage": _mean(table[~single_cautious, 4]),
        "single_coverage_flagged": _mean(table[single_cautious, 4]),
    }
    if truth != "equal":  # the first model is another one than `cell.single` stands for
        counted = {key: value for key, value in counted.items() if not key.startswith("single_")}
    return {key: round(float(value), 4) if isinstance(value, float) else value for key, value in counted.items()}


def _row(judged: Comparison, truth: float, single: Score, single_truth: float) -> tuple[float, ...]:
    covers = judged.low is not None and judged.high is not None and judged.low <= truth <= judged.high
    single_covers = single.low is not None and single.high is not None and single.low <= single_truth <= single.high
    return (
        covers or judged.outcome == "identical",
        judged.outcome in ("better", "worse", "different"),
        judged.outcome == "equivalent",
        bool(judged.caution),
        single_covers,
        bool(single.caution),
        judged.outcome == "equivalent" and abs(truth) >= (judged.relevant or 0.0) * _ABOUT,
    )


def _mean(values: Values) -> float | None:
    return float(values.mean()) if len(values) else None


def family(items: int, times: int) -> dict[str, Any]:
    """How often any of eight adapters equal to the base is better or worse, or the best one better than another."""
    any_word = any_best = 0
    with threadpool_limits(1):
        for draw in range(times):
            base, others = adapters(np.random.default_rng([draw, items]), items, ADAPTERS)
            pairs = [(metric, base[key], other[key]) for other in others for key, metric in adapters.metrics.items()]
            judged = compare_models.judge([compare_models.compare(*pair, seed=draw)[0] for pair in pairs], plan=False)
            any_word += any(each.outcome in ("better", "worse") for each in judged)
            any_best += _claims_a_best(others, draw)
    return {
        "items": items,
        "adapters": ADAPTERS,
        "metrics": list(adapters.metrics),
        "draws": times,
        "any_better_or_worse": round(any_word / times, 4),
        "best_claimed_better_than_another": round(any_best / times, 4),
    }


def _claims_a_best(others: Sequence[dict[str, Any]], seed: int) -> bool:
    """Whether the adapter of the highest accuracy is called better than any other, as `medbench compare` does it."""
    metric = adapters.metrics["accuracy"]
    scores = [np.mean([sample.metrics["m"] for sample in other["accuracy"]]) for other in others]
    best = others[int(np.argmax(scores))]["accuracy"]
    rivals = [other["accuracy"] for place, other in enumerate(others) if place != int(np.argmax(scores))]
    tested = [compare_models.compare(metric, rival, best, seed=seed)[0] for rival in rivals]
    judged = compare_models.judge(tested, others=math.comb(len(others), 2) - len(rivals), plan=False)
    return any(each.outcome == "better" for each in judged)


def violations(results: dict[str, Any]) -> list[str]:
    """Every bound that the results do not keep, in words."""
    faults = []
    for kind in ("single_shares", "paired_shares"):
        faults += [f"{kind}: {each}" for each in results[kind] if each["least_coverage"] < 0.91]  # noqa: PLR2004
    faults += [
        f"paired_shares: {each}"
        for each in results["paired_shares"]
        if max(each["most_false_alarms"], each["most_false_equivalence"]) > _rate(LEVEL, 2000)
    ]
    for each in results["drawn"]:
        faults += [f"{fault}: {each}" for fault in _faults(each)]
    for each in results["family"]:
        rates = each["any_better_or_worse"], each["best_claimed_better_than_another"]
        if max(rates) > _rate(LEVEL, each["draws"]):
            faults.append(f"family-wise error: {each}")
    return faults


def _faults(each: dict[str, Any]) -> list[str]:
    faults = []
    cell = next(cell for cell in CELLS if cell.name == each["cell"])
    for key in ("", "single_") if each["truth"] == "equal" else ("",):
        flagged, draws = each[f"{key}flagged"], each["draws"]
        is_ordinary = each["items"] >= _SMALL and not cell.may_be_flagged(each["items"])
        if is_ordinary and flagged >= 0.02:  # noqa: PLR2004
            faults.append(f"{key}flagged")
        low, high = (0.93, 0.97) if each["items"] >= _SMALL else (0.90, 0.98)
        if cell.is_share:
            low, high = 0.91, 1.0
        sure, unsure = each[f"{key}coverage"], each[f"{key}coverage_flagged"]
        if flagged <= 1 - _FEW and not _may_be(sure, round(draws * (1 - flagged)), low, high):
            faults.append(f"{key}coverage")
        if flagged >= _FEW and not _may_be(unsure, round(draws * flagged), 0.85, 1.0):
            faults.append(f"{key}coverage of flagged intervals")
        if not _may_be((sure or 0.0) * (1 - flagged) + (unsure or 0.0) * flagged, draws, 0.85, 1.0):
            faults.append(f"{key}coverage of all intervals")
    is_fair = cell.flags is not None  # a skewed difference with mean 0 is no pair of equal models
    if is_fair and each["truth"] == "equal" and each["different"] > _rate(LEVEL, each["draws"]):
        faults.append("false alarms")
    if each["truth"] != "equal" and each["false_equivalence"] > _rate(LEVEL, each["draws"]):
        faults.append("false equivalence")
    return faults


def _may_be(coverage: float | None, draws: int, low: float, high: float) -> bool:
    """Whether a coverage counted over so many draws may be that of a true one in a range: within two standard errors.

    The standard errors are those of the exact binomial distribution, so that few draws are no reason to object.
    """
    from scipy import stats

    if coverage is None or not draws:
        return True
    covered, rare = round(coverage * draws), float(stats.norm.sf(_ERRORS))
    return bool(stats.binom.cdf(covered, draws, low) >= rare and stats.binom.sf(covered - 1, draws, high) >= rare)


def _error(rate: float, draws: int) -> float:
    return math.sqrt(max(rate * (1 - rate), 0.0) / max(draws, 1))


def _rate(level: float, draws: int) -> float:
    return level + _ERRORS * _error(level, draws)


def _task(arguments: tuple[str, int, str, int]) -> dict[str, Any]:
    name, items, truth, times = arguments
    return drawn(next(cell for cell in CELLS if cell.name == name), items, truth, times)


def simulate(
    times: int, items: Sequence[int] = ITEMS, processes: int = 1, cells: Sequence[str] | None = None
) -> dict[str, Any]:
    """Some of the cells, all if none are named."""
    names = [cell.name for cell in CELLS if cells is None or cell.name in cells]
    tasks = list(itertools.product(names, items, ("equal", "margin", "worse"), (times,)))
    tasks.sort(key=lambda task: -task[1])
    with multiprocessing.Pool(processes) as workers:
        rows = []
        for row in workers.imap_unordered(_task, tasks):
            rows.append(row)
            print(f"{len(rows)} of {len(tasks)}: {row}", flush=True)
        families = workers.starmap(family, [(count, times) for count in items if count >= _SMALL and count <= 200])  # noqa: PLR2004
    return {
        "single_shares": [single_shares(count) for count in items],
        "paired_shares": [paired_shares(count) for count in items],
        "drawn": rows,
        "family": families,
    }


def main() -> None:
    """Run all cells, write what was counted, and fail if a bound does not hold."""
    args = simulation_arguments(__doc__, [cell.name for cell in CELLS])
    facts = environment(allow_dirty=args.allow_dirty)
    results = simulate(args.times, processes=args.processes, cells=args.only)
    drawn_at = dict.fromkeys((row["cell"] for row in results["drawn"]), facts["git_commit"])
    if args.only:
        kept = read_json(args.out)
        results["drawn"] += [row for row in kept["drawn"] if row["cell"] not in args.only]
        drawn_at = kept["drawn_at"] | drawn_at
    order = {cell.name: place for place, cell in enumerate(CELLS)}
    results["drawn"].sort(key=lambda row: (order[row["cell"]], row["items"], row["truth"]))
    faults = violations(results)
    only = "".join(f" --only {name!r}" for name in args.only or ())
    about = {
        "command": f"python -m benchmarks.statistics_simulation --times {args.times}{only}",
        "environment": facts,
        "violations": faults,
        "drawn_at": drawn_at,
    }
    write_json(args.out, about | results)
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()
