"""Each model's confidence in its answers: the probability of the chosen label, or how far repeated answers agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.comparison.answer_confidence import ConfidentAnswer, Source, answer_confidence

if TYPE_CHECKING:
    from harness.scoring.kept_answers import Scored
    from harness.scoring.tally import SampleValues
    from reports.document.answer_confidence import AnswerConfidence

_LABELS = ("macro_f1", "position_spread")  # metrics whose value of an answer is its gold and its given label


def confident_answers(scored: Sequence[Scored], baseline: str, *, seed: int) -> list[AnswerConfidence]:
    """Risk and coverage of all models on the tasks whose answers have a confidence; empty without any.

    Args:
        scored: All answers.
        baseline: The model that the others are compared with.
        seed: Seed of the bootstrap.
    """
    answers: dict[tuple[str, str], list[ConfidentAnswer]] = {}
    sources: dict[str, Source] = {}
    for one in scored:
        given: list[ConfidentAnswer] = []
        source: Source = "probability"
        if one.task.answers == 1:
            given = [_by_probability(sample, *sample.choice) for sample in one.samples if sample.choice is not None]
        elif any(metric.key in _LABELS for metric in one.metrics):
            source, given = "repeats", _by_repeats(one.samples)
        if given:
            answers[one.model, one.task.name], sources[one.task.name] = given, source
    return answer_confidence(answers, sources, baseline, seed=seed)


def _by_probability(sample: SampleValues, confidence: float, right: float) -> ConfidentAnswer:
    return ConfidentAnswer(sample.id, sample.doc_hash, sample.cluster, confidence, right)


def _by_repeats(samples: Sequence[SampleValues]) -> list[ConfidentAnswer]:
    """The most frequent label of each item, the first given of several; an answer without a label is one, too."""
    items: dict[str, list[SampleValues]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.repeat):
        items[sample.id].append(sample)
    answers = []
    for repeats in items.values():
        pairs = [pair for sample in repeats for key in _LABELS if isinstance(pair := sample.metrics.get(key), tuple)]
        if pairs:
            label, count = Counter(given for _, given in pairs).most_common(1)[0]
            first = repeats[0]
            share = count / len(pairs)
            answers.append(ConfidentAnswer(first.id, first.doc_hash, first.cluster, share, float(label == pairs[0][0])))
    return answers
