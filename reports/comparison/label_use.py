"""How models use labels: collapse onto one label, and accuracy compared with the majority label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from reports.comparison.counts import score_test, share
from reports.comparison.inference import LEVEL, Inference
from reports.comparison.multiplicity import corrected
from reports.comparison.outcome import outcome_of
from reports.document.label_use import LabelUse

Labels = Sequence[tuple[str, str]]  # gold and predicted label of each item
_MARGIN = 0.05


def label_use(answers: Mapping[tuple[str, str], Labels]) -> list[LabelUse]:
    """How every model uses the labels of every task.

    Args:
        answers: Gold and predicted labels by model and task, each item once.
    """
    tests = {key: _against_majority(labels) for key, labels in answers.items()}
    results = corrected([test.p_value() for test in tests.values()], [test.least_p for test in tests.values()])
    return [_use(key, labels, level) for (key, labels), (_, level) in zip(answers.items(), results, strict=True)]


def _majority(labels: Labels) -> tuple[str, int]:
    counts = Counter(gold for gold, _ in labels)
    return min(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _against_majority(labels: Labels) -> Inference:
    """McNemar's test of the model against always giving the majority label, over the same items."""
    majority, _ = _majority(labels)
    gained = sum(gold == given != majority for gold, given in labels)
    lost = sum(gold == majority != given for gold, given in labels)
    return score_test(gained, lost, len(labels))


def _use(key: tuple[str, str], labels: Labels, level: float) -> LabelUse:
    items, (majority, majority_count) = len(labels), _majority(labels)
    given = Counter(predicted for _, predicted in labels)
    label, count = min(given.items(), key=lambda entry: (-entry[1], entry[0]))
    test = _against_majority(labels)
    low, high = test.ends(level)
    return LabelUse(
        model=key[0],
        task=key[1],
        items=items,
        label=label,
        share=count / items,
        low=share(count, items).ends(LEVEL)[0],
        gold_share=sum(gold == label for gold, _ in labels) / items,
        majority=majority,
        majority_accuracy=majority_count / items,
        difference=test.estimate,
        difference_low=low,
        difference_high=high,
        level=level,
        outcome=outcome_of(low, high, sign=1, margin=_MARGIN),
    )
