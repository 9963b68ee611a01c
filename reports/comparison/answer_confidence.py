"""Risk-coverage curves: how wrong answers spread over a model's confidence, their area, and its paired comparison.

Area: mean share of wrong answers among the k most confident ones, over all k (AURC, Geifman, Uziel and El-Yaniv 2019).
Equally confident answers come in no order, so their errors are spread evenly over them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from reports.comparison.counts import share_of_clusters
from reports.comparison.inference import LEVEL, Inference, Interval, critical_value
from reports.comparison.multiplicity import corrected
from reports.comparison.outcome import outcome_of
from reports.comparison.proportions import wilson_interval
from reports.comparison.sums import clusters_from_values
from reports.document.answer_confidence import AnswerConfidence, ConfidenceLevel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

Source = Literal["probability", "repeats"]
LEVELS: dict[Source, tuple[float, ...]] = {  # fixed in advance, so that no result chooses them
    "probability": (0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    "repeats": (0.5, 0.75, 1.0),
}
_STEPS = 20  # points of a curve
_RESAMPLES = 2_000
_CELLS = 1_000_000  # items over all resamples that are held at once
_LEAST_CLUSTERS = 2
_ROUNDING = 1e-12


@dataclass(frozen=True)
class ConfidentAnswer:
    """A model's answer to an item.

    Attributes:
        id: Item.
        doc_hash: Hash of the item; changed items are not paired.
        cluster: Source that the item shares with others; None without.
        confidence: From 0 to 1.
        right: 1 if it is right, else 0.
    """

    id: str
    doc_hash: str
    cluster: str | None
    confidence: float
    right: float


Answers = tuple[ConfidentAnswer, ...]
Draws = Callable[[Answers], "Values"]  # their area in each resample


def answer_confidence(
    answers: Mapping[tuple[str, str], Sequence[ConfidentAnswer]],
    sources: Mapping[str, Source],
    baseline: str,
    *,
    seed: int,
) -> list[AnswerConfidence]:
    """Curve, area and paired comparison of every model on every task.

    Args:
        answers: One answer for each item, by model and task; those without any are left out.
        sources: What confidence is, by task.
        baseline: The model that the others are compared with.
        seed: Seed of the bootstrap.
    """
    results, compared = [], []
    draws = functools.cache(functools.partial(_resampled_areas, seed=seed))
    for (model, task), given in answers.items():
        if not given:
            continue
        results.append(_describe(model, task, tuple(given), sources[task], draws))
        pair = None if model == baseline else _paired(answers.get((baseline, task), ()), given)
        compared.append(None if pair is None else _difference(*pair, draws))
    family = [inference for inference in compared if inference is not None]
    levels = iter(corrected([one.p_value() for one in family], [one.least_p for one in family]))
    return [
        result if inference is None else _with_comparison(result, inference, *next(levels))
        for result, inference in zip(results, compared, strict=True)
    ]


def area_under_risk(confidence: Values, right: Values, times: Values | None = None) -> Values:
    """Area under the risk-coverage curve, for resamples of items.

    Args:
        confidence: Of each item, shape [items].
        right: 1 or 0 for each item, shape [items].
        times: How often each resample holds each item, shape [resamples, items]; by default each once.

    Returns:
        Shape [resamples].
    """
    order = np.argsort(-confidence, kind="stable")
    starts = np.flatnonzero(np.diff(-confidence[order], prepend=-np.inf))  # of runs of equal confidence
    counts = np.ones((1, len(order))) if times is None else times[:, order]
    sizes = np.add.reduceat(counts, starts, axis=1)
    wrong = np.add.reduceat(counts * (1 - right[order]), starts, axis=1)
    before, wrong_before = np.cumsum(sizes, 1) - sizes, np.cumsum(wrong, 1) - wrong
    rate = wrong / np.maximum(sizes, 1)
    total = int(counts[0].sum()) if times is None else int(counts.sum(1).max())
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, total + 1))])
    steps = harmonic[(before + sizes).astype(int)] - harmonic[before.astype(int)]
    area = rate * sizes + (wrong_before - rate * before) * steps
    return np.asarray(area.sum(1) / counts.sum(1))


def _describe(model: str, task: str, answers: Answers, source: Source, draws: Draws) -> AnswerConfidence:
    confidence, right = _arrays(answers)
    cluster = _clusters(answers)
    area = float(area_under_risk(confidence, right)[0])
    low = high = None
    if len(np.unique(cluster)) >= _LEAST_CLUSTERS:
        low, high = _inference(area, draws(answers), cluster, 0.0, 1.0).ends(LEVEL)
    return AnswerConfidence(
        model=model,
        task=task,
        source=source,
        items=len(answers),
        accuracy=float(right.mean()),
        area=area,
        low=low,
        high=high,
        curve=_curve(confidence, right),
        levels=[_level(least, answers) for least in LEVELS[source]],
    )


def _curve(confidence: Values, right: Values) -> list[tuple[float, float]]:
    """Share of wrong answers among the most confident ones; equally confident ones are spread evenly."""
    order = np.argsort(-confidence, kind="stable")
    _, groups = np.unique(-confidence[order], return_inverse=True)
    rate = np.bincount(groups, 1 - right[order]) / np.bincount(groups)
    wrong = np.cumsum(rate[groups])
    counts = np.unique(np.ceil(np.arange(1, _STEPS + 1) * len(order) / _STEPS).astype(int))
    return [(float(count / len(order)), float(wrong[count - 1] / count)) for count in counts]


def _level(least: float, answers: Sequence[ConfidentAnswer]) -> ConfidenceLevel:
    """The answers with a confidence; Wilson's interval, on effective numbers where items share a source."""
    chosen = [answer for answer in answers if answer.confidence >= least - _ROUNDING]
    if not chosen:
        return ConfidenceLevel(least=least, items=0)
    right = np.array([answer.right for answer in chosen])
    ids = [answer.id for answer in chosen]
    clusters = clusters_from_values("proportion", right, ids, [answer.cluster or answer.id for answer in chosen])
    low, high = share_of_clusters(clusters).ends(LEVEL)
    return ConfidenceLevel(least=least, items=len(chosen), accuracy=float(right.mean()), low=low, high=high)


def _paired(before: Sequence[ConfidentAnswer], after: Sequence[ConfidentAnswer]) -> tuple[Answers, Answers] | None:
    """Both models' answers to the same unchanged items in the same order and clusters; None if there are too few."""
    old = {(answer.id, answer.doc_hash): answer for answer in before}
    new = tuple(answer for answer in after if (answer.id, answer.doc_hash) in old)
    left = tuple(replace(old[answer.id, answer.doc_hash], cluster=answer.cluster) for answer in new)
    return (left, new) if new and len(np.unique(_clusters(new))) >= _LEAST_CLUSTERS else None


def _difference(before: Answers, after: Answers, draws: Draws) -> Inference:
    """The second model's area minus the first's; clusters are resampled together."""
    old, new = _arrays(before), _arrays(after)
    estimate = float(area_under_risk(*new)[0] - area_under_risk(*old)[0])
    inference = _inference(estimate, draws(after) - draws(before), _clusters(after), -1.0, 1.0)
    is_same = all(np.array_equal(one, other) for one, other in zip(old, new, strict=True))
    return inference.with_least_p(1.0) if is_same else inference


def _inference(estimate: float, draws: Values, cluster: NDArray[np.intp], lowest: float, highest: float) -> Inference:
    """Each end is the farther of the bootstrap's percentile and Student's t around its standard error.

    If all resamples are equal, as where every answer is right, a share of items that these may have missed may be
    wrong (Wilson's upper limit u of 0 items): with the highest confidence, they move the area by u (1 - ln u).
    """
    error, degrees = float(draws.std(ddof=1)), int(cluster.max())
    ordered = np.sort(draws)

    def ends(level: float) -> Interval:
        if error <= _ROUNDING:
            missed = wilson_interval(0, degrees + 1, level)[1]
            reach = missed * (1 - math.log(missed)) if missed else 0.0
            return max(estimate - reach, lowest), min(estimate + reach, highest)
        half, place = float(critical_value(level, degrees)) * error, int(level / 2 * len(ordered))
        low, high = min(estimate - half, ordered[place]), max(estimate + half, ordered[len(ordered) - 1 - place])
        return max(float(low), lowest), min(float(high), highest)

    return Inference(estimate, ends, "paired bootstrap and t", error, degrees)


def _with_comparison(
    result: AnswerConfidence, inference: Inference, p_adjusted: float, level: float
) -> AnswerConfidence:
    low, high = inference.ends(level)
    return result.model_copy(
        update={
            "difference": inference.estimate,
            "difference_low": low,
            "difference_high": high,
            "level": level,
            "p_adjusted": p_adjusted,
            "outcome": "identical" if inference.least_p == 1 else outcome_of(low, high, sign=-1, margin=0.0),
        }
    )


def _arrays(answers: Sequence[ConfidentAnswer]) -> tuple[Values, Values]:
    return np.array([answer.confidence for answer in answers]), np.array([answer.right for answer in answers])


def _clusters(answers: Sequence[ConfidentAnswer]) -> NDArray[np.intp]:
    """Number of each answer's cluster, counted from 0; items without a source are clusters by themselves."""
    names = [f"group {answer.cluster}" if answer.cluster else f"item {answer.id}" for answer in answers]
    return np.asarray(np.unique(names, return_inverse=True)[1])


def _resampled_areas(answers: Answers, *, seed: int) -> Values:
    """The area of each resample of clusters; answers in the same clusters have the same resamples."""
    cluster, generator = _clusters(answers), np.random.default_rng(seed)
    count = int(cluster.max()) + 1
    rows = max(1, min(_RESAMPLES, _CELLS // len(cluster)))
    sizes = [min(rows, _RESAMPLES - start) for start in range(0, _RESAMPLES, rows)]
    drawn = (generator.multinomial(count, np.full(count, 1 / count), size) for size in sizes)
    arrays = _arrays(answers)
    return np.concatenate([area_under_risk(*arrays, times[:, cluster].astype(float)) for times in drawn])
