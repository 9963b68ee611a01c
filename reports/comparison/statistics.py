"""Figures with intervals and paired comparisons, from per-sample values, by scipy and statsmodels."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
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


def score(
    metric: MetricInfo,
    samples: Sequence[Measured],
    reported: float | None,
    *,
    seed: int,
    members: Sequence[Sequence[Measured]] = (),
) -> Score:
    """A metric's figure with its 95 % interval.

    The interval is Wilson's for proportions, else Student's t with a bootstrap standard error over items (of the
    logarithm, for perplexity).

    Args:
        metric: What to compute.
        samples: The samples of one model on one task; several of one item are averaged.
        reported: lm-eval's own figure, which is what the tables show unless it is None, items were asked several times
            or the model is a pool.
        seed: Of the bootstrap.
        members: The samples of each adapter, where the model is a pool of them; the figure is the mean of theirs, and
            their spread widens the interval.
    """
    usable = with_value(metric, samples) if metric.kind != "other" else []
    if members:
        members = with_shared_values(metric, members)
        usable = [*members[0]] if usable else []
    several: list[float] = []
    low = high = None
    items = len({sample.id for sample in samples})
    if usable and members:
        pooled = pool(metric, members)
        items, several = pooled.items, pooled.figures
        low, high = _interval(metric, pooled, seed)
        reported = pooled.figure
    elif usable:
        found = units(metric, usable)
        items = found.items
        low, high = _interval(metric, found, seed)
        several = _repeat_figures(metric, usable)
        if len(several) > 1 or reported is None:  # lm-eval's own is of the first answers only
            reported = figure_of_units(metric.kind, found.table)
    return Score(
        model=samples[0].model,
        task=samples[0].task,
        metric=metric.key,
        value=None if reported is None else finite(reported),
        low=low,
        high=high,
        n=items,
        repeats=max(1, len(several)),
        spread=finite(float(np.std(several, ddof=1))) if len(several) > 1 else None,
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
    metric: MetricInfo,
    baseline: Sequence[Measured],
    candidate: Sequence[Measured],
    *,
    seed: int,
    members: Sequence[Sequence[Measured]] = (),
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
        members: The samples of each adapter, where the candidate is a pool of them; the difference is then the mean of
            theirs, and the test a t-test over items and members.

    Returns:
        The comparison (not yet corrected for other metrics, nor judged), and the ids of items that only one answered.
    """
    name = candidate[0].model
    if members:
        members = with_shared_values(metric, members)
        candidate = [sample for each in members for sample in each]
    left, right, unpaired = _paired(metric, baseline, candidate)
    names = {
        "task": baseline[0].task,
        "metric": metric.key,
        "baseline": baseline[0].model,
        "candidate": name,
        "n": len({sample.id for sample in left}),
    }
    if metric.kind == "other" or not left:
        return Comparison(**names, difference=None, outcome="not compared"), unpaired
    labels, clusters = label_count(metric, left, right), clusters_of(left, right)
    before = units(metric, left, labels=labels, clusters=clusters)
    old = figure_of_units(metric.kind, before.table)
    after: Units | Pool
    if members:
        asked = {sample.id for sample in left}
        members = [[sample for sample in each if sample.id in asked] for each in members]
        after = pool(metric, members, labels=labels, clusters=clusters)
        new = after.figure
    else:
        after = units(metric, right, labels=labels, clusters=clusters)
        new = figure_of_units(metric.kind, after.table)
    comparison = Comparison(
        **names,
        difference=finite(new - old),
        outcome="too few items",
        units=len(before.table),
        relevant=finite(metric.relevant * (1.0 if metric.is_share else abs(old or new))),
    )
    if len(before.table) < _MIN_UNITS or comparison.difference is None:
        return comparison, unpaired
    of = figure(metric.kind)
    if isinstance(after, Pool):
        found = averaged(before.table, after, of, seed)
    elif metric.kind == "proportion" and before.are_right_or_wrong and after.are_right_or_wrong:
        found = right_or_wrong(before.table, after.table)
    else:
        found = permuted(before.table, after.table, of, seed)
    return comparison.model_copy(update=found), unpaired


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
        open_ones = sum(p_adjusted >= LEVEL for p_adjusted in adjusted)
        for place, p_adjusted in zip(family, adjusted, strict=True):
            each = judged[place]
            level = LEVEL / (open_ones + (p_adjusted < LEVEL))
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
