"""Part of the results document on accuracy with reasoning compared with that by log-likelihood of the same items."""

from __future__ import annotations

from reports.document.scores import MetricInfo
from reports.strict import Strict

ACCURACY = MetricInfo(key="accuracy", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
ACCURACY_KEYS = ("accuracy", "acc")  # of our tasks, and of lm-eval's own


class ReasoningEffect(Strict):
    """One model's accuracy with reasoning minus its accuracy by log-likelihood, paired by item.

    Attributes:
        task: The task with reasoning.
        by_likelihood: The task that scores the same items by log-likelihood.
        items: Number of items that both tasks scored; the accuracies are over these.
        unpaired: Number of items that only one of the tasks scored, or that differ between them.
        likelihood_accuracy: Accuracy by log-likelihood.
        reasoned_accuracy: Accuracy with reasoning.
        difference: The second minus the first.
        low: Lower end of its 95 % interval, not corrected for other comparisons; None where none can be computed.
        high: Upper end.
    """

    model: str
    task: str
    by_likelihood: str
    items: int
    unpaired: int
    likelihood_accuracy: float | None
    reasoned_accuracy: float | None
    difference: float | None
    low: float | None
    high: float | None
