"""Part of the results document on how a model uses the labels of a classification task."""

from __future__ import annotations

from reports.document.scores import Outcome
from reports.strict import Strict

_COLLAPSED = 0.9
NO_LABEL = "none"  # prediction of an answer without a label


class LabelUse(Strict):
    """The label that a model gives most often, and its accuracy compared with always giving the majority label.

    Attributes:
        items: Number of items of the task.
        label: The label that the model gives most often; `none` for answers without a label.
        share: Share of the items that it gives this label to.
        low: Lower end of the 95 % interval of the share (Wilson).
        gold_share: Share of the items whose gold label it is.
        majority: The most frequent gold label.
        majority_accuracy: Accuracy of always giving it.
        difference: The model's accuracy minus that.
        difference_low: Lower end of the interval of the difference at `level`.
        difference_high: Upper end.
        level: Two-sided level after the correction over all models and tasks of the document.
        outcome: Outcome of the model compared with the majority label, read off the interval.
    """

    model: str
    task: str
    items: int
    label: str
    share: float
    low: float
    gold_share: float
    majority: str
    majority_accuracy: float
    difference: float
    difference_low: float
    difference_high: float
    level: float
    outcome: Outcome

    @property
    def is_collapsed(self) -> bool:
        """Whether the model gives one label to at least nine of ten items, and to more than have it in gold."""
        return self.share >= _COLLAPSED and self.low > self.gold_share
