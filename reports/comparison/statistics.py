"""Figures with intervals and paired comparisons, from per-sample values, by scipy and statsmodels."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reports.comparison import power
from reports.comparison.pools import Pool, pool, with_shared_values
from reports.comparison.resampling import LEVEL, averaged, finite, permuted, right_or_wrong, t_interval
from reports.comparison.sums import (
    Measured,
    Units,
    clusters_of,
    figure,
    figure_of,
    figure_of_units,
    label_count,
    units,
    with_value,
)
from reports.document.schema import Comparison, MetricInfo, Outcome, Score

_MIN_UNITS = 5
_MOST_GROWTH = 20.0  # logarithm of a factor of perplexity beyond which it is not worth telling


def score(metric: MetricInfo, samples: Sequence[Measured], reported: float | None, *, seed: int) -> Score:
    """A metric's figure with its 95 % interval.

    The interval is Wilson's for proportions, else Student's t with a bootstrap standard error over items (of the
    logarithm, for perplexity).

    Args:
        metric: What to compute.
        samples: The samples of one model on one task; several of one item are averaged.
        reported: lm-eval's own figure, which the tables show unless it is None or items were asked several times.
        seed: Of the bootstrap.
    """
    usable = with_value(metric, samples) if metric.kind != "other" else []
    found = units(metric, usable) if usable else None
    figures = _repeat_figures(metric, usable)
    if found is not None and (len(figures) > 1 or reported is None):  # lm-eval's own is of the first answers only
        reported = figure_of_units(metric.kind, found.table)
    return _score(metric, samples, reported, found, figures, seed)


def score_pool(
    metric: MetricInfo, name: str, members: Sequence[Sequence[Measured]], reported: float | None, *, seed: int
) -> Score:
    """The mean of several adapters' figures with its 95 % interval, which their spread widens.

    Args:
        metric: What to compute.
        name: Of the pool.
        members: Each adapter's samples on one task.
        reported: The mean of lm-eval's own figures, shown where items have no values to compute it from.
        seed: Of the bootstrap.
    """
    shared = with_shared_values(metric, members) if metric.kind != "other" else [[]]
    found = pool(metric, shared) if shared[0] else None
    value, figures = (found.figure, found.figures) if found is not None else (reported, [])
    scored = _score(metric, [sample for each in members for sample in each], value, found, figures, seed)
    return scored.model_copy(update={"model": name})


def _score(
    metric: MetricInfo,
    samples: Sequence[Measured],
    value: float | None,
    found: Units | Pool | None,
    figures: Sequence[float],
    seed: int,
) -> Score:
    """A figure with the interval of what it was computed from, and the spread of the figures whose mean it is."""
    low, high = (None, None) if found is None else _interval(metric, found, seed)
    return Score(
        model=samples[0].model,
        task=samples[0].task,
        metric=metric.key,
        value=None if value is None else finite(value),
        low=low,
        high=high,
        n=len({sample.id for sample in samples}) if found is None else found.items,
        repeats=max(1, len(figures)),
        spread=finite(float(np.std(figures, ddof=1))) if len(figures) > 1 else None,
    )


def _repeat_figures(metric: MetricInfo, samples: Sequence[Measured]) -> list[float]:
    """The figure of the first answers to all items, of the second, and so on."""
    values: dict[int, list[Any]] = defaultdict(list)
    for sample in samples:
        values[sample.repeat].append(sample.metrics[metric.key])
    return [figure_of(metric.kind, each) for _, each in sorted(values.items())]


def _interval(metric: MetricInfo, found: Units | Pool, seed: int) -> tuple[float | None, float | None]:
    """The 95 % interval of a figure; (None, None) where there are too few units for one."""
    from statsmodels.stats.proportion import proportion_confint

    if metric.kind == "proportion" and isinstance(found, Units) and found.are_right_or_wrong:
        low, high = proportion_confint(found.table[:, 0].sum(), found.items, LEVEL, "wilson")
        return float(low), float(high)
    if len(found.table) < _MIN_UNITS:
        return None, None
    of, members = (found.of, found.figures) if isinstance(found, Pool) else (figure(metric.kind), [])
    if metric.kind == "perplexity":
        logarithms = [math.log(member) for member in members]
        around = t_interval(lambda sums: np.log(of(sums)), found.table, seed, logarithms)
        return finite(math.exp(around.low)), finite(math.exp(around.high))
    around = t_interval(of, found.table, seed, members)
    low, high = around.low, around.high
    if metric.percent:
        low, high = max(low, 0.0), min(high, 1.0)
    elif (found.table >= 0).all():
        low = max(low, 0.0)
    return finite(low), finite(high)


def compare(
    metric: MetricInfo, baseline: Sequence[Measured], candidate: Sequence[Measured], *, seed: int
) -> tuple[Comparison, list[str]]:
    """Compare two models on the items that both answered.

    Right/wrong metrics are tested with McNemar's test (exact below 25 discordant items), with the interval of Agresti
    and Min (2005). All others, and items that share a source or were asked several times, are tested by a paired
    permutation of the two models' answers to each unit, with a t interval around a bootstrap standard error over units.
    Ratios such as perplexity are recomputed from the drawn items, so that long items weigh as they do in the figure.

    Args:
        metric: What to compare.
        baseline: One model's samples.
        candidate: The other's; several of one item are averaged.
        seed: Of bootstrap and permutation.

    Returns:
        The comparison (not yet corrected for other metrics, nor judged), and the ids of items that only one answered.
    """
    left, right, unpaired = _paired(metric, baseline, candidate)
    untested = _untested(metric, baseline[0], candidate[0].model, left)
    if untested.outcome == "not compared":
        return untested, unpaired
    labels, clusters = label_count(metric, left, right), clusters_of(left, right)
    before, after = (units(metric, each, labels=labels, clusters=clusters) for each in (left, right))

    def test() -> dict[str, Any]:
        if metric.kind == "proportion" and before.are_right_or_wrong and after.are_right_or_wrong:
            return right_or_wrong(before.table, after.table)
        return permuted(before.table, after.table, figure(metric.kind), seed)

    return _tested(metric, untested, before, figure_of_units(metric.kind, after.table), test), unpaired


def compare_pool(
    metric: MetricInfo, baseline: Sequence[Measured], name: str, members: Sequence[Sequence[Measured]], *, seed: int
) -> tuple[Comparison, list[str]]:
    """Compare a model with the mean of several adapters, by a t-test over items and adapters.

    Args:
        metric: What to compare.
        baseline: The model's samples.
        name: Of the pool.
        members: Each adapter's samples.
        seed: Of the bootstrap.

    Returns:
        As `compare`; the difference is the mean of the adapters' differences.
    """
    members = with_shared_values(metric, members)
    left, right, unpaired = _paired(metric, baseline, [sample for each in members for sample in each])
    untested = _untested(metric, baseline[0], name, left)
    if untested.outcome == "not compared":
        return untested, unpaired
    labels, clusters = label_count(metric, left, right), clusters_of(left, right)
    before = units(metric, left, labels=labels, clusters=clusters)
    asked = {sample.id for sample in left}
    members = [[sample for sample in each if sample.id in asked] for each in members]
    after = pool(metric, members, labels=labels, clusters=clusters)

    def test() -> dict[str, Any]:
        return averaged(before.table, after, figure(metric.kind), seed)

    return _tested(metric, untested, before, after.figure, test), unpaired


def _untested(metric: MetricInfo, baseline: Measured, candidate: str, paired: Sequence[Measured]) -> Comparison:
    """A comparison that is yet to be made; not to be made where nothing is paired."""
    return Comparison(
        task=baseline.task,
        metric=metric.key,
        baseline=baseline.model,
        candidate=candidate,
        n=len({sample.id for sample in paired}),
        difference=None,
        outcome="not compared" if metric.kind == "other" or not paired else "too few items",
    )


def _tested(
    metric: MetricInfo, untested: Comparison, before: Units, new: float, test: Callable[[], dict[str, Any]]
) -> Comparison:
    """A comparison with its difference, and with what `test` says of it where there are units enough."""
    old = figure_of_units(metric.kind, before.table)
    difference = finite(new - old)
    relevant = finite(metric.relevant * (1.0 if metric.is_share else abs(old or new)))
    found = {"difference": difference, "units": len(before.table), "relevant": relevant}
    if len(before.table) >= _MIN_UNITS and difference is not None:
        found |= test()
    return untested.model_copy(update=found)


def _paired(
    metric: MetricInfo, baseline: Sequence[Measured], candidate: Sequence[Measured]
) -> tuple[list[Measured], list[Measured], list[str]]:
    """The samples of both on the items that both answered unchanged, and the ids of all other items."""
    left, right = (with_value(metric, each) for each in (baseline, candidate))
    hashes, others = ({sample.id: sample.doc_hash for sample in each} for each in (left, right))
    both = {key for key, value in hashes.items() if others.get(key) == value}
    left, right = ([sample for sample in each if sample.id in both] for each in (left, right))
    return left, right, sorted((set(hashes) | set(others)) - both)


def judge(comparisons: Sequence[Comparison], metrics: dict[tuple[str, str], MetricInfo]) -> list[Comparison]:
    """Put each comparison of one pair of models in a word, after Holm's correction (1979).

    The correction runs over the primary metrics of the pair, and apart from them over the secondary ones.
    """
    judged = list(comparisons)
    for secondary in (False, True):
        family = [
            place
            for place, each in enumerate(judged)
            if each.p_value is not None and metrics[each.task, each.metric].secondary == secondary
        ]
        adjusted = holm([judged[place].p_value or 0.0 for place in family])
        # What Holm leaves to a metric, given what the others showed.
        untesteds = sum(p_adjusted >= LEVEL for p_adjusted in adjusted)
        for place, p_adjusted in zip(family, adjusted, strict=True):
            each = judged[place]
            level = LEVEL / (untesteds + (p_adjusted < LEVEL))
            judged[place] = _with_outcome(each, p_adjusted, metrics[each.task, each.metric], level)
    return judged


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values after Holm's correction (1979)."""
    from statsmodels.stats.multitest import multipletests

    return [float(each) for each in multipletests(p_values, method="holm")[1]] if p_values else []


def _with_outcome(comparison: Comparison, p_adjusted: float, metric: MetricInfo, level: float) -> Comparison:
    """The comparison with its corrected p-value, what it could have detected at `level`, and its outcome."""
    detectable = _detectable(comparison, metric, level)
    relevant, difference = comparison.relevant or 0.0, comparison.difference or 0.0
    outcome: Outcome = "too few items"
    if p_adjusted < LEVEL and comparison.is_within_noise:
        outcome = "no detectable difference"
    elif p_adjusted < LEVEL:
        outcome = "different" if not metric.sign else "better" if metric.sign * difference > 0 else "worse"
    elif detectable is not None and detectable <= relevant:
        outcome = "no detectable difference"
    needed = power.items_needed(comparison.n, detectable, relevant) if detectable and relevant else None
    update = {"p_adjusted": p_adjusted, "outcome": outcome, "detectable": detectable, "items_needed": needed}
    return comparison.model_copy(update=update)


def _detectable(comparison: Comparison, metric: MetricInfo, level: float) -> float | None:
    """The smallest difference found with 80 % power; None where not even the greatest would be."""
    count, error = comparison.units or 0, comparison.standard_error
    if comparison.discordant is not None:
        share = (sum(comparison.discordant) + 1) / (comparison.n + 2)
        return power.mcnemar_detectable(share, comparison.n, level)
    if error is None or 2.0 ** (1 - count) > level:
        return None  # with so few units even the rarest arrangement is no surprise
    found = power.detectable(error, comparison.degrees_of_freedom or count - 1, level)
    if metric.kind == "perplexity" and comparison.relevant:
        # Errors of a perplexity grow with it, so that what is detectable is a factor.
        old = comparison.relevant / metric.relevant
        return old * math.expm1(found / old) if found / old < _MOST_GROWTH else None
    return found
