"""Suites in the results document: which tasks a name stood for, and their mean."""

from __future__ import annotations

from pydantic import Field

from reports.document.scores import Comparison, MetricInfo, Score
from reports.strict import Strict

MEAN_ACCURACY = MetricInfo(
    key="mean_accuracy",
    title="Mean accuracy",
    kind="proportion",
    higher_is_better=True,
    percent=True,
    description="Unweighted mean of the accuracies of a suite's tasks.",
)


class SuiteInfo(Strict):
    """A suite of benchmarks that the run named, and its row.

    Attributes:
        name: Name in `--tasks`.
        tasks: The lm-eval tasks that it stood for.
        title: Title of the row; empty if the suite has none.
        parts: The metric of each task whose unweighted mean the row is, in the order of the tasks.
        missing: Why parts are missing, by task; with any, there is no row.
        scores: The mean by model; `n` is the number of items of all parts.
        comparisons: The mean's paired difference from the baseline, by model; corrected together with the primary
            metrics of the tasks.
    """

    name: str
    tasks: list[str]
    title: str = ""
    parts: dict[str, str] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)
    scores: list[Score] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)
