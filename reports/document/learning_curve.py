"""The learning curve in the results document: the checkpoints of one training, and where a metric gets worse."""

from __future__ import annotations

from pydantic import Field

from reports.document.scores import Comparison
from reports.strict import Strict


class CheckpointChoice(Strict):
    """How one of a training's checkpoints was chosen: by a metric on items that no reported score rests on.

    Attributes:
        task: The task.
        metric: Key of its metric.
        items: Number of items.
        sources: Hashes of the texts of these items, see `harness.planning.item_hashes`.
        steps: Steps of the checkpoints in order.
        scores: Their scores; None for one that gave NaN or infinity.
        step: The chosen one: the first with the best score.
    """

    task: str
    metric: str
    items: int
    sources: list[str] = Field(default_factory=list)
    steps: list[int]
    scores: list[float | None]
    step: int

    @property
    def score(self) -> float | None:
        """Score of the chosen checkpoint, which is the best of several and so higher than it will be on other items."""
        return self.scores[self.steps.index(self.step)]


class LearningCurve(Strict):
    """The scored adapters of the run's own training by step.

    Attributes:
        steps: Steps of the training in order, each once.
        models: Names of the adapters with the weights of these steps.
        shown: The one of them that is compared everywhere else too: the training's adapter, else that of its last step.
        compared: The steps that were compared with each other: all, or some that include the first and the last.
        tests: Number of tests, which are pairs of compared steps in the main metrics; the correction is over all.
        turns: At most one for each main metric: the first step (`candidate`) that is worse than an earlier one, and of
            those earlier ones the best (`baseline`).
    """

    steps: list[int]
    models: list[str]
    shown: str = ""
    compared: list[int] = Field(default_factory=list)
    tests: int = 0
    turns: list[Comparison] = Field(default_factory=list)

    @property
    def others(self) -> list[str]:
        """The models that only the curve shows."""
        shown = self.shown or self.models[-1]
        return [model for model in self.models if model != shown]

    def step_of(self, model: str) -> int | None:
        """Step of a model; None if it is not on the curve."""
        return self.steps[self.models.index(model)] if model in self.models else None
