"""The training log: what a fine-tune did, saved beside the adapter as `training_log.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from reports.document.learning_curve import CheckpointChoice
from reports.document.row_account import RowAccount
from reports.errors import UserError
from reports.files import read_json
from reports.strict import Strict, checked
from training.backends.job import TrainingResult

FILE = "training_log.json"


class TrainedOn(Strict):
    """The rows of one fine-tune.

    Attributes:
        recipe: The parts of the recipe that choose the rows, as a recipe that `check_recipe` takes.
        data_sha256: Hash of the rows that were trained on, see `training.finetune.rows_hash`.
        choosing: Hashes of the texts of the items that chose the checkpoint, see `CheckpointChoice.sources`.
    """

    recipe: dict[str, Any]
    data_sha256: str
    choosing: list[str] = Field(default_factory=list)


class TrainingLog(TrainingResult):
    """What training did and on what; the same for every backend.

    Beside a kept checkpoint, `steps`, `epochs` and losses are those up to its step, times and memory those of the whole
    training.

    Attributes:
        fingerprint: Hash over the recipe's training part, the data and the base, which decides whether it is reused;
            of a kept checkpoint, over these and its step.
        batch_size: Rows at once on a device, as it came to be; smaller than the recipe's where memory ran out.
        gradient_accumulation: Batches of a device for each step; together with the processes, their product stays the
            recipe's.
        truncated_rows: Number of rows that were cut at `trainer.max_length`.
        dropped_rows: Ids of the rows whose prompt alone is longer.
        altered_turns: Number of earlier answers of conversations that were not learned, since the chat template alters
            them.
        sources: How the rows were read and what became of the others, by role: `train` and `validation`.
        estimated_memory: Computed bytes by component of this training on its device.
        full_finetuning_memory: The same if all weights were trained.
        choice: How its checkpoint was chosen on items that are set aside; None unless `trainer.choose_by` is set.
        weights_sha256: Hash of the adapter's weight file; None in logs of earlier versions.
        config_sha256: Hash of the adapter's settings and tokenizer; None likewise.
    """

    fingerprint: str
    base: str
    base_sha256: str
    data_sha256: str
    rows: int
    validation_rows: int
    truncated_rows: int
    dropped_rows: list[str]
    altered_turns: int = 0
    sources: dict[str, RowAccount] = Field(default_factory=dict)
    trained_tokens: int
    batch_size: int
    gradient_accumulation: int
    estimated_memory: dict[str, int]
    full_finetuning_memory: dict[str, int]
    settings: dict[str, Any]
    versions: dict[str, str]
    choice: CheckpointChoice | None = None
    weights_sha256: str | None = None
    config_sha256: str | None = None

    @property
    def trained_on(self) -> TrainedOn:
        """The rows of this training."""
        chooses = {key: self.settings[key] for key in ("seed", "data", "format", "trainer") if key in self.settings}
        choosing = [] if self.choice is None else self.choice.sources
        return TrainedOn(recipe={"name": "recorded", **chooses}, data_sha256=self.data_sha256, choosing=choosing)


def check_hashes(folder: Path, sha256: str, config_sha256: str) -> TrainingLog | None:
    """The log of an adapter folder; None if it has none.

    Raises:
        UserError: The log is of another adapter than the one with these hashes, or as `read_log`.
    """
    log = read_log(folder)
    if log is None:
        return None
    recorded = {
        "weights": (sha256, log.weights_sha256),
        "settings or tokenizer": (config_sha256, log.config_sha256),
    }
    for what, (current, trained) in recorded.items():
        if trained not in (None, current):
            raise UserError(
                f"the adapter's {what} (SHA-256 {current[:12]}...) are not those that its training produced"
                f" ({trained[:12]}..., {FILE})",
                where=str(folder),
                fix=f"restore the {what}, or move the folder away to train again; to use other {what}, copy the adapter"
                f" without {FILE} and name its folder",
            )
    return log


def read_log(folder: Path) -> TrainingLog | None:
    """The log of an adapter folder; None if it has none, as adapters from elsewhere.

    Raises:
        UserError: The file is there but is not a training log.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    fix = "remove the adapter folder to train again"
    return checked(TrainingLog, read_json(path), what="a training log", where=str(path), fix=fix)
