"""The learning curve in the results document: checkpoints of one training or several, and where a metric gets worse."""

from __future__ import annotations

from pydantic import Field

from reports.document.scores import Comparison
from reports.strict import Strict


class SeedCurve(Strict):
    """The scored adapters of the training with one of several seeds.

    Attributes:
        steps: Steps of the training in order, each once.
        models: Names of the adapters with the weights of these steps.
    """

    seed: int
    steps: list[int]
    models: list[str]


class LearningCurve(Strict):
    """The scored adapters of the run's own training by step; with several seeds, their means.

    Attributes:
        steps: Steps of the training in order, each once; with several seeds, those that all of them have.
        models: Names of the adapters with the weights of these steps, or of their means over the seeds.
        compared: The steps that were compared with each other: all, or some that include the first and the last.
        tests: Number of tests, which are pairs of compared steps in the main metrics; the correction is over all.
        turns: At most one for each main metric: the first step (`candidate`) that is worse than an earlier one, and of
            those earlier ones the best (`baseline`).
    """

    steps: list[int]
    models: list[str]
    compared: list[int] = Field(default_factory=list)
    tests: int = 0
    turns: list[Comparison] = Field(default_factory=list)
    seeds: list[SeedCurve] = Field(default_factory=list)

    @property
    def earlier(self) -> list[str]:
        """The models of all steps but the last of the curve and of each seed, which only the curve shows."""
        return [*self.models[:-1], *(name for curve in self.seeds for name in curve.models[:-1])]

    @property
    def left_out(self) -> dict[int, list[SeedCurve]]:
        """Steps that only some seeds have, with these seeds; no mean is over them."""
        steps = {step for curve in self.seeds for step in curve.steps} - {*self.steps}
        return {step: [curve for curve in self.seeds if step in curve.steps] for step in sorted(steps)}

    def step_of(self, model: str) -> int | None:
        """Step of a model; None if it is not on the curve."""
        return self.steps[self.models.index(model)] if model in self.models else None
