"""Part of the results document that compares runs: differing settings, time and memory, and the best model."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from reports.strict import Strict


class Configuration(Strict):
    """One model of a comparison of runs.

    Attributes:
        model: Name in this document.
        run: Run of the model.
        settings: Values that differ between the runs' recipes, by dotted key; empty if its run did not train it.
        quality: Score in the metric that ranks the models.
        training_seconds: Duration of training, or None if its run did not train it.
        peak_memory_bytes: Peak memory of training.
        on_front: Whether it is on the Pareto front of quality, time and memory.
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
        task: Task of the metric that ranks the models.
        metric: Key of that metric.
        rule: Rule that chooses the best model, in words.
        best: Best trained model by that rule, or None without scores.
        better_than: Trained models that the best is shown to be better than, corrected for all pairs of them.
        not_distinguished: The other trained models.
        configurations: All models.
        left_out: Items, by task, that are missing in some comparison because a model did not answer them.
    """

    task: str
    metric: str
    rule: str
    best: str | None = None
    better_than: list[str] = Field(default_factory=list)
    not_distinguished: list[str] = Field(default_factory=list)
    configurations: list[Configuration]
    left_out: dict[str, list[str]] = Field(default_factory=dict)
