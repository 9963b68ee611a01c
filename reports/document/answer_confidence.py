"""Part of the results document on whether a model's confidence tells its right answers from its wrong ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reports.document.scores import Outcome
from reports.strict import Strict


class ConfidenceLevel(Strict):
    """The answers whose confidence is at least a level that was fixed before they were given.

    Attributes:
        least: The level.
        items: Number of items with that confidence or more.
        accuracy: Share of them that are right; None without any, like the ends of its 95 % interval.
        low: Lower end.
        high: Upper end.
    """

    least: float
    items: int
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None


class AnswerConfidence(Strict):
    """Risk and coverage of one model's answers to a task, the most confident ones first (Geifman et al. 2019).

    Attributes:
        source: What confidence is: the probability of the chosen label, or the share of an item's repeated answers
            that agree with the most frequent one.
        items: Number of items with a confidence.
        accuracy: Share of them that are right.
        area: Area under the risk-coverage curve: the mean, over all numbers of most confident answers, of the share of
            wrong ones; 0 is best.
        low: Lower end of its 95 % interval; None below two independent items, like all other parts on intervals.
        high: Upper end.
        curve: Coverage and share of wrong answers among the answers that are covered, in steps of a twentieth.
        levels: By confidence.
        difference: Area minus the baseline's on the items that both answered; None for the baseline.
        difference_low: Lower end of its interval, at the level that the correction gives it.
        difference_high: Upper end.
        level: Two-sided level of that interval.
        p_adjusted: After Holm's correction over all models and tasks.
        outcome: Read off the interval; None for the baseline.
    """

    model: str
    task: str
    source: Literal["probability", "repeats"]
    items: int
    accuracy: float
    area: float
    low: float | None = None
    high: float | None = None
    curve: list[tuple[float, float]] = Field(default_factory=list)
    levels: list[ConfidenceLevel] = Field(default_factory=list)
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    level: float | None = None
    p_adjusted: float | None = None
    outcome: Outcome | None = None
