"""The learning curve in the results document: the checkpoints of one training, and where a metric gets worse."""

from __future__ import annotations

from pydantic import Field

from reports.document.scores import Comparison
from reports.strict import Strict


class LearningCurve(Strict):
    """The scored adapters of the run's own training by step.

    Attributes:
        steps: Steps of the training in order, each once.
        models: Names of the adapters with the weights of these steps.
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

    @property
    def earlier(self) -> list[str]:
        """The models of all steps but the last, which only the curve shows."""
        return self.models[:-1]

    def step_of(self, model: str) -> int | None:
        """Step of a model; None if it is not on the curve."""
        return self.steps[self.models.index(model)] if model in self.models else None
