"""Part of the results document on how the position of an option affects a model's choice."""

from __future__ import annotations

from reports.strict import Strict


class PositionCount(Strict):
    """How often one position was right, chosen, and both; counts of answers with a letter.

    Attributes:
        letter: The letter of the position, `A` for the first.
    """

    letter: str
    gold: int
    chosen: int
    correct: int


class PositionEffect(Strict):
    """Chosen positions compared with gold positions, by the Stuart-Maxwell test of marginal homogeneity.

    Attributes:
        items: Number of questions that the model answered with a letter; others are not part of it.
        counts: By position, in order.
        statistic: The test's chi-square statistic.
        degrees_of_freedom: Its degrees of freedom; 0 if nothing was testable.
        p_value: Its p-value.
        p_adjusted: After Holm's correction over all models and tasks of the document.
    """

    model: str
    task: str
    items: int
    counts: list[PositionCount]
    statistic: float
    degrees_of_freedom: int
    p_value: float
    p_adjusted: float
