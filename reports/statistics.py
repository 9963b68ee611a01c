"""Figures with intervals and paired comparisons, from per-sample values, by scipy and statsmodels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.schema import Comparison, MetricInfo, MetricKind, Outcome, Sample, Score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

LEVEL = 0.05
_RESAMPLES = 2000
_PERMUTATIONS = 10_000
_MIN_PAIRS = 5
_CELLS = 1_000_000  # resampled values held at once, so that memory stays bounded for any number of samples
_MAX_LOG = 700.0  # exp of more overflows a double


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _figure(kind: MetricKind) -> Callable[..., Any]:
    """The function from per-sample columns to the figure; works along the last axis, as scipy's bootstrap wants."""
    if kind == "perplexity":
        return lambda a, b, axis=-1: np.exp(np.minimum(-a.sum(axis=axis) / b.sum(axis=axis), _MAX_LOG))
    if kind == "bits_per_byte":
        return lambda a, b, axis=-1: -a.sum(axis=axis) / b.sum(axis=axis) / math.log(2)
    if kind == "macro_f1":
        return _macro_f1
    return lambda a, axis=-1: a.mean(axis=axis)


def _macro_f1(gold: Values, predicted: Values, axis: int = -1) -> Any:
    """Macro-F1 over the labels that occur as gold or prediction; vectorised over resamples."""
    total: Any = 0.0
    present: Any = 0
    for label in (0, 1, 2):
        is_gold, is_predicted = gold == label, predicted == label
        size = is_gold.sum(axis=axis) + is_predicted.sum(axis=axis)
        hits = (is_gold & is_predicted).sum(axis=axis)
        total = total + np.where(size > 0, 2 * hits / np.maximum(size, 1), 0.0)
        present = present + (size > 0)
    return total / np.maximum(present, 1)


def _columns(samples: Sequence[Sample], metric: str) -> tuple[Values, ...]:
    """The metric's values as one column, or two for metrics made of pairs; shape [samples] each."""
    table = np.asarray([sample.metrics[metric] for sample in samples], dtype=float)
    return (table,) if table.ndim == 1 else tuple(table.T)


def _has(metric: str) -> Callable[[Sample], bool]:
    return lambda sample: sample.metrics.get(metric) is not None


def score(metric: MetricInfo, samples: Sequence[Sample], reported: float | None, *, seed: int) -> Score:
    """A metric's figure with its 95 % interval: Wilson's for proportions, else a percentile bootstrap over samples.

    Args:
        metric: What to compute.
        samples: The samples of one model on one task.
        reported: lm-eval's own figure, which is what the tables show.
        seed: Of the bootstrap.
    """
    from scipy import stats
    from statsmodels.stats.proportion import proportion_confint

    with_value = list(filter(_has(metric.key), samples))
    first = samples[0]
    low = high = None
    if metric.kind == "proportion" and with_value:
        hits = float(_columns(with_value, metric.key)[0].sum())
        low, high = (float(end) for end in proportion_confint(hits, len(with_value), LEVEL, "wilson"))
    elif metric.kind != "other" and len(with_value) >= _MIN_PAIRS:
        columns = _columns(with_value, metric.key)
        interval = stats.bootstrap(
            columns,
            _figure(metric.kind),
            paired=True,
            vectorized=True,
            n_resamples=_RESAMPLES,
            method="percentile",
            rng=seed,
            batch=max(1, _CELLS // len(with_value)),
        ).confidence_interval
        low, high = _finite(interval.low), _finite(interval.high)
    value = None if reported is None else _finite(reported)
    return Score(
        model=first.model,
        task=first.task,
        metric=metric.key,
        value=value,
        low=low,
        high=high,
        n=len(with_value) or len(samples),
    )


def compare(
    metric: MetricInfo, baseline: Sequence[Sample], candidate: Sequence[Sample], *, seed: int
) -> tuple[Comparison, list[str]]:
    """Compare two models on the items that both answered.

    Right/wrong metrics are tested with McNemar's exact test; all others by a paired permutation of the two models'
    answers to each item. The interval is a percentile bootstrap over items, which keeps pairs together. Ratios such as
    perplexity are recomputed from the resampled items, so that long items weigh as they do in the figure.

    Returns:
        The comparison (not yet corrected for other metrics), and the ids of items that only one of them answered.
    """
    from scipy import stats

    left = {sample.id: sample for sample in filter(_has(metric.key), baseline)}
    right = {sample.id: sample for sample in filter(_has(metric.key), candidate)}
    both = [key for key, sample in left.items() if key in right and right[key].doc_hash == sample.doc_hash]
    unpaired = sorted((set(left) | set(right)) - set(both))
    before, after = (_columns([side[key] for key in both], metric.key) if both else () for side in (left, right))
    names = {
        "task": baseline[0].task,
        "metric": metric.key,
        "baseline": baseline[0].model,
        "candidate": candidate[0].model,
        "n": len(both),
    }
    if metric.kind == "other" or not both:
        return Comparison(**names, difference=None, outcome="not compared"), unpaired
    figure = _figure(metric.kind)
    difference = float(figure(*after)) - float(figure(*before))
    if len(both) < _MIN_PAIRS:
        return Comparison(**names, difference=difference, outcome="not compared"), unpaired

    width = len(before)

    def change(*columns: Values, axis: int = -1) -> Any:
        return figure(*columns[width:], axis=axis) - figure(*columns[:width], axis=axis)

    interval = stats.bootstrap(
        (*before, *after),
        change,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=seed,
        batch=max(1, _CELLS // len(both)),
    ).confidence_interval
    if metric.kind == "proportion":
        p_value, test = _mcnemar(before[0], after[0]), "McNemar, exact"
    else:
        p_value, test = _swap_test(before, after, figure, seed), "paired permutation"
    comparison = Comparison(
        **names,
        difference=difference,
        low=_finite(interval.low),
        high=_finite(interval.high),
        p_value=p_value,
        test=test,
        outcome="no detectable difference",
    )
    return comparison, unpaired


def _mcnemar(before: Values, after: Values) -> float:
    from statsmodels.stats.contingency_tables import mcnemar

    table = [[int(((before == b) & (after == a)).sum()) for a in (1, 0)] for b in (1, 0)]
    return float(mcnemar(table, exact=True).pvalue)


def _swap_test(before: Sequence[Values], after: Sequence[Values], figure: Callable[..., Any], seed: int) -> float:
    """Two-sided p-value for 'the models are exchangeable on every item': swap their answers item by item at random."""
    generator = np.random.default_rng(seed)
    items = len(before[0])
    seen = abs(float(figure(*after)) - float(figure(*before)))
    extreme = 0
    for start in range(0, _PERMUTATIONS, draws := max(1, _CELLS // items)):
        swap = generator.random((min(draws, _PERMUTATIONS - start), items)) < 0.5  # noqa: PLR2004
        first = [np.where(swap, a, b) for b, a in zip(before, after, strict=True)]
        second = [np.where(swap, b, a) for b, a in zip(before, after, strict=True)]
        extreme += int(np.sum(np.abs(figure(*second) - figure(*first)) >= seen * (1 - 1e-12)))
    # The observed arrangement counts as one of the draws, which keeps the test honest at any number of draws.
    return (extreme + 1) / (_PERMUTATIONS + 1)


def judge(comparisons: Sequence[Comparison], metrics: dict[tuple[str, str], MetricInfo]) -> list[Comparison]:
    """Correct the p-values of one pair of models over all its metrics (Holm 1979) and put each outcome in a word."""
    from statsmodels.stats.multitest import multipletests

    tested = [each for each in comparisons if each.p_value is not None]
    if not tested:
        return list(comparisons)
    adjusted = multipletests([each.p_value for each in tested], alpha=LEVEL, method="holm")[1]
    corrected = {id(each): float(value) for each, value in zip(tested, adjusted, strict=True)}
    return [_with_outcome(each, corrected.get(id(each)), metrics[each.task, each.metric]) for each in comparisons]


def _with_outcome(comparison: Comparison, p_adjusted: float | None, metric: MetricInfo) -> Comparison:
    if p_adjusted is None or comparison.difference is None:
        return comparison
    outcome: Outcome = "no detectable difference"
    if p_adjusted < LEVEL:
        if metric.higher_is_better is None:
            outcome = "different"
        else:
            outcome = "better" if (comparison.difference > 0) == metric.higher_is_better else "worse"
    return comparison.model_copy(update={"p_adjusted": p_adjusted, "outcome": outcome})
