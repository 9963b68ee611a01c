"""Accuracy with reasoning minus accuracy by log-likelihood of one model, paired by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.comparison import compare_models
from reports.comparison.compare_models import finite, finite_ends
from reports.comparison.inference import LEVEL
from reports.comparison.sums import ScoredItem, clusters_from_samples, value_of_clusters
from reports.document.reasoning_effect import ACCURACY, ACCURACY_KEYS, ReasoningEffect


@dataclass(frozen=True)
class _Answer:
    """The accuracy of one answer; a `ScoredItem` whose name is that of the other task's item."""

    id: str
    metrics: dict[str, Any]
    cluster: str | None
    repeat: int
    model: str
    task: str
    doc_hash: str = ""


def reasoning_effect(
    by_likelihood: Sequence[ScoredItem], reasoned: Sequence[ScoredItem], same: Mapping[str, str], *, seed: int
) -> ReasoningEffect:
    """Compare two ways of answering the same items.

    The interval is that of two models' paired difference, see `metric_inference.difference`.

    Args:
        by_likelihood: One model's samples of the task by log-likelihood.
        reasoned: Its samples of the task with reasoning; repeats of an item are averaged.
        same: Name of the item of the first task for that of the second, where both have it.
        seed: Seed of the bootstrap.
    """
    before = _answers(by_likelihood, {sample.id: sample.id for sample in by_likelihood})
    after = _answers(reasoned, same)
    shared = {answer.id for answer in before} & {answer.id for answer in after}
    before, after = ([answer for answer in side if answer.id in shared] for side in (before, after))
    items = len({sample.id for sample in by_likelihood}) + len({sample.id for sample in reasoned})
    low = high = difference = None
    if shared:
        tested, _ = compare_models.compare(ACCURACY, before, after, seed=seed)
        low, high = finite_ends(tested.inference, LEVEL)
        difference = tested.comparison.difference
    return ReasoningEffect(
        model=reasoned[0].model,
        task=reasoned[0].task,
        by_likelihood=by_likelihood[0].task,
        items=len(shared),
        unpaired=items - 2 * len(shared),
        likelihood_accuracy=_accuracy(before),
        reasoned_accuracy=_accuracy(after),
        difference=difference,
        low=low,
        high=high,
    )


def _answers(samples: Sequence[ScoredItem], names: Mapping[str, str]) -> list[_Answer]:
    """The answers with an accuracy to items that have a name."""
    answers = []
    for sample in samples:
        value = next((sample.metrics[key] for key in ACCURACY_KEYS if sample.metrics.get(key) is not None), None)
        if value is not None and sample.id in names:
            metrics = {ACCURACY.key: value}
            answers.append(_Answer(names[sample.id], metrics, sample.cluster, sample.repeat, sample.model, sample.task))
    return answers


def _accuracy(answers: Sequence[_Answer]) -> float | None:
    if not answers:
        return None
    return finite(value_of_clusters(ACCURACY.kind, clusters_from_samples(ACCURACY, answers).table))
