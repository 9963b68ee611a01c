"""Suites in the results document: which tasks a name stood for, and their mean."""

from __future__ import annotations

from pydantic import Field

from reports.document.scores import Comparison, Score
from reports.strict import Strict


class SuiteInfo(Strict):
    """A suite of benchmarks that the run named, and its row.

    Attributes:
        name: Name in `--tasks`.
        tasks: The lm-eval tasks that it stood for.
        title: Title of the row; empty if the suite has none.
        parts: The metric of each task whose unweighted mean the row is, in the order of the tasks.
        missing: Why parts are missing, by task; with any, there is no row.
        scores: The mean by model; `n` is the number of items of all parts.
        comparisons: The mean's paired difference from the baseline, by model; outcomes are at a level of 0.05 and no
            part of the correction over the metrics of single tasks.
    """

    name: str
    tasks: list[str]
    title: str = ""
    parts: dict[str, str] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)
    scores: list[Score] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)
