"""Part of the results document that compares runs: which settings differ, what each took, and which is best by what."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from reports.strict import Strict


class Configuration(Strict):
    """One model of a comparison of runs.

    Attributes:
        model: Its name in this document.
        run: The run that it comes from.
        settings: The values that differ between the runs' recipes, by dotted key; none where no recipe of them made it.
        quality: Its figure in the metric that the comparison goes by.
        training_seconds: What its training took; None where it was not trained in its run.
        peak_memory_bytes: The most memory while training.
        on_front: Whether no other model is as good in quality, time and memory and better in one of them.
    """

    model: str
    run: str
    settings: dict[str, Any] = Field(default_factory=dict)
    quality: float | None = None
    training_seconds: float | None = None
    peak_memory_bytes: int | None = None
    on_front: bool = False


class RunsCompared(Strict):
    """A comparison of several runs.

    Attributes:
        task: Task of the metric that it goes by.
        metric: Key of that metric.
        rule: How the best is chosen, in words.
        best: The best trained model by that rule; None where no score is known.
        better_than: The trained models that the best is shown to be better than, corrected for all pairs of them.
        not_distinguished: The trained models that it is not.
        configurations: Every model.
        left_out: Items that not all models answered and that therefore stand in no comparison of some pair, by task.
    """

    task: str
    metric: str
    rule: str
    best: str | None = None
    better_than: list[str] = Field(default_factory=list)
    not_distinguished: list[str] = Field(default_factory=list)
    configurations: list[Configuration]
    left_out: dict[str, list[str]] = Field(default_factory=dict)
