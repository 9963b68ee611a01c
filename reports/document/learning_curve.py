"""The learning curve in the results document: checkpoints of one training or several, and where a metric gets worse."""

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


class SeedCurve(Strict):
    """The scored adapters of the training with one of several seeds.

    Attributes:
        steps: Steps of the training in order, each once.
        models: Names of the adapters with the weights of these steps.
        shown: As in `LearningCurve`.
    """

    seed: int
    steps: list[int]
    models: list[str]
    shown: str


class LearningCurve(Strict):
    """The scored adapters of the run's own training by step; with several seeds, their means.

    Attributes:
        steps: Steps of the training in order, each once; with several seeds, those that all of them have.
        models: Names of the adapters with the weights of these steps, or of their means over the seeds.
        shown: The one of them that is compared everywhere else too: the training's adapter, else that of its last step.
        compared: The steps that were compared with each other: all, or some that include the first and the last.
        tests: Number of tests, which are pairs of compared steps in the main metrics; the correction is over all.
        turns: At most one for each main metric: the first step (`candidate`) that is worse than an earlier one, and of
            those earlier ones the best (`baseline`).
        last: The last compared step likewise, in the metrics in which it is worse than an earlier one.
    """

    steps: list[int]
    models: list[str]
    shown: str = ""
    compared: list[int] = Field(default_factory=list)
    tests: int = 0
    turns: list[Comparison] = Field(default_factory=list)
    last: list[Comparison] = Field(default_factory=list)
    seeds: list[SeedCurve] = Field(default_factory=list)

    @property
    def others(self) -> list[str]:
        """The models that only the curve shows."""
        shown = {self.shown or self.models[-1], *(curve.shown for curve in self.seeds)}
        models = [*self.models, *(model for curve in self.seeds for model in curve.models)]
        return [model for model in models if model not in shown]

    @property
    def left_out(self) -> dict[int, list[SeedCurve]]:
        """Steps that only some seeds have, with these seeds; no mean is over them."""
        steps = {step for curve in self.seeds for step in curve.steps} - {*self.steps}
        return {step: [curve for curve in self.seeds if step in curve.steps] for step in sorted(steps)}

    def worse_than(self, model: str, task: str, metric: str) -> Comparison | None:
        """The comparison with an earlier step by which a turning point or the last step is worse; None for others."""
        pairs = [pair for pair in [*self.turns, *self.last] if pair.candidate == model]
        return next((pair for pair in pairs if (pair.task, pair.metric) == (task, metric)), None)

    def step_of(self, model: str) -> int | None:
        """Step of a model; None if it is not on the curve."""
        return self.steps[self.models.index(model)] if model in self.models else None
