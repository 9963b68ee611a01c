"""Part of the results document on slices: scores and paired differences of the items that share a value of a column."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reports.document.scores import Comparison, Score
from reports.names import PlainName
from reports.strict import Strict

SliceKind = Literal["value", "quantile"]


class Slice(Strict):
    """The items of a task with one value of a column, or with numbers in one quarter of it.

    Attributes:
        value: The value, or the smallest and the largest number; None for the items without a value.
        n: Number of items.
        scores: Every model's score by main metric.
        comparisons: The paired difference of every other model to the baseline by main metric. `p_adjusted` is after
            the correction over all slices of the run (Benjamini and Hochberg 1995), `low` and `high` are at the level
            that belongs to it (Benjamini and Yekutieli 2005); `caution` says why a slice was not tested.
    """

    value: str | None
    n: int
    scores: list[Score] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)


class TaskSlices(Strict):
    """The slices of a task by one column.

    Attributes:
        column: A column of the data, `class` for the gold label, or `length` for the characters of the question.
        kind: Whether slices are single values or quarters of the items by number.
        slices: The slices.
        unlisted: Number of further slices, all too small for a test.
        unlisted_items: Number of items in these.
        missing: Why there are no slices; empty if there are.
    """

    task: PlainName
    column: str
    kind: SliceKind = "value"
    slices: list[Slice] = Field(default_factory=list)
    unlisted: int = 0
    unlisted_items: int = 0
    missing: str = ""


class WorstSlice(Strict):
    """The slice in which a model is shown to lose most by a metric.

    Attributes:
        value: As in `Slice`.
        n: Number of items.
        difference: Candidate's score minus the baseline's.
        low: Lower end of the interval of the difference.
        high: Upper end.
        level: Two-sided level of the interval: 0.05 over the number of tested slices, so that it holds although the
            slice was chosen by its loss.
        p_adjusted: As in `Slice`.
        worse: Number of slices in which the model is shown to be worse by this metric.
        tested: Number of tests that the correction is over.
    """

    task: PlainName
    metric: str
    baseline: str
    candidate: str
    column: str
    value: str | None
    n: int
    difference: float
    low: float
    high: float
    level: float
    p_adjusted: float
    worse: int
    tested: int
