"""Input and result of a training backend; another process can read the job from disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from reports.document.schema import MemoryUse
from reports.files import read_json, write_json
from training.encoding import EncodedRows
from training.models.device import Device, DTypeName, device_of
from training.models.model import Model, base_model
from training.recipes.recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset

Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, a note); where there are no steps, the note is a message of its own."""

ADAPTER = "adapter"
KEPT_MEANWHILE = "kept"
_FILE = "job.json"
_TRAIN, _VALIDATION = "rows-train", "rows-validation"


class Scorer(Protocol):
    """Scores a model on validation items while it is trained.

    Attributes:
        tokens: Number of tokens that it computes.
        sign: 1 if a higher score is better in the metric that early stopping follows, -1 if a lower one is.
    """

    tokens: int
    sign: int

    def __call__(self, model: Any) -> dict[str, float]:
        """Scores by TASK/METRIC of a PEFT model in evaluation mode; those that are not finite are left out."""


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        recipe: The recipe, with the batch size for this device.
        base: The base model.
        train: Rows of `input_ids` and `labels`, tokenised, masked and within the recipe's length.
        validation: Rows for the validation loss; may be empty.
        work: Folder for checkpoints; the adapter goes into its `adapter`.
        device: Where to train.
        dtype: Dtype of the computation; in 16 bits it runs under autocast with the adapter in float32.
        scorer: Scores the adapter every `trainer.score_steps` steps; only for a backend in this process.
    """

    recipe: Recipe
    base: Model
    train: Dataset
    validation: Dataset | None
    work: Path
    device: Device
    dtype: DTypeName
    scorer: Scorer | None = None

    @property
    def made(self) -> Path:
        """Where the finished adapter is saved."""
        return self.work / ADAPTER

    @property
    def kept(self) -> Path:
        """Where the adapters of earlier steps are kept."""
        return self.work / KEPT_MEANWHILE

    def save(self) -> None:
        """Write the job into its work folder."""
        self.train.save_to_disk(self.work / _TRAIN)
        if self.validation is not None:
            self.validation.save_to_disk(self.work / _VALIDATION)
        fields = ("folder", "source", "sha256", "public_name", "config_sha256")
        base = {name: str(getattr(self.base, name)) for name in fields}
        rest = {"device": self.device.type, "dtype": self.dtype, "validates": self.validation is not None}
        write_json(self.work / _FILE, {"recipe": self.recipe.model_dump(mode="json"), "base": base, **rest})

    @classmethod
    def load(cls, work: Path) -> Job:
        """Read a job that `save` wrote."""
        from datasets import load_from_disk

        value = read_json(work / _FILE)
        return cls(
            recipe=Recipe.model_validate(value["recipe"]),
            base=base_model(**{**value["base"], "folder": Path(value["base"]["folder"])}),
            train=load_from_disk(work / _TRAIN),
            validation=load_from_disk(work / _VALIDATION) if value["validates"] else None,
            work=work,
            device=device_of(value["device"]),
            dtype=value["dtype"],
        )


def as_dataset(encoded: EncodedRows) -> Dataset:
    """Encoded rows as a data set."""
    from datasets import Dataset

    return Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in encoded.rows])


class TrainingResult(BaseModel):
    """Result of a training.

    Attributes:
        backend: `trl` or `unsloth`.
        device: Name of the GPU, or `cpu`.
        processes: Number of processes, each with its own batch.
        attention: Attention implementation.
        quantized_share: Share of the layers' weights that bitsandbytes held in 4 or 8 bits, counted in the model that
            was trained; None if a checkpoint is quantised otherwise, and in logs of earlier versions.
        step: Step whose weights were saved: the last, or with `trainer.keep_best` that of the lowest validation loss;
            None in logs of earlier versions.
        seconds: Time of the training without loading; after a resumption, since the checkpoint.
        seconds_per_step: Median time between the ends of consecutive steps, without validation and saving.
        tokens_per_second: Training tokens per second, without padding and validation.
        losses: One record for each logged step: `step`, and `loss`, `learning_rate`, `grad_norm` or `eval_loss`.
        scores: One record for each scoring while training: `step`, `seconds`, and scores by TASK/METRIC.
        tracker_runs: Id of the training's run by tracker, of those that have ids.
    """

    model_config = ConfigDict(extra="forbid")

    backend: str
    device: str
    processes: int
    dtype: str
    attention: str
    steps: int
    step: int | None = None
    epochs: float
    trainable_parameters: int
    total_parameters: int
    quantized_share: float | None = None
    seconds: float
    seconds_per_step: float
    tokens_per_second: float
    memory: MemoryUse
    final_loss: float | None
    losses: list[dict[str, float]]
    scores: list[dict[str, float]] = []
    tracker_runs: dict[str, str] = {}


class Backend(Protocol):
    """Trains a job: saves the adapter in `job.made` and returns the result.

    Raises:
        UserError: The loss became NaN or infinite, or the base cannot be loaded.
        torch.OutOfMemoryError: The batch does not fit.
    """

    def __call__(self, job: Job, progress: Progress) -> TrainingResult:
        """Train."""
