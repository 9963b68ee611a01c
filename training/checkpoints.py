"""The adapters that a training keeps on its way: their folders, their steps, and which training they belong to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reports.files import sha256_value
from reports.names import by_number

if TYPE_CHECKING:
    from training.recipes.recipe import TrainerSection

KEPT = "checkpoints"  # folder beside the adapter's
SEEDS = "seeds"  # folder of a run that has the trainings of several seeds by seed
_FOLDER = re.compile(r"step-([1-9]\d*)")


def checkpoint_folder(kept: Path, step: int) -> Path:
    """Where the adapter of a step is kept."""
    return kept / f"step-{step}"


def checkpoint_folders(kept: Path) -> dict[int, Path]:
    """The kept adapters by step, in order."""
    folders = {match[1]: path for path in kept.glob("step-*") if (match := _FOLDER.fullmatch(path.name))}
    return {int(step): folders[step] for step in sorted(folders, key=by_number)}


def checkpoint_fingerprint(training: str, step: int) -> str:
    """Fingerprint of a kept adapter; another one than that of the finished training, which it is not.

    Args:
        training: Fingerprint of the training, see `training.finetune.fingerprint`.
        step: The adapter's step.
    """
    return sha256_value([training, step])


def steps_to_keep(trainer: TrainerSection, last: int | None) -> list[int]:
    """The steps whose adapters a training keeps: every `save_steps`, and the last one.

    Args:
        trainer: The trainer's settings.
        last: The training's last step; without it nothing is known, and the list is empty.
    """
    return [] if last is None else last_kept(_saved_steps(trainer, last), trainer.keep_checkpoints)


def candidates(trainer: TrainerSection, last: int) -> list[int]:
    """The steps whose adapters are there when a training ends: those to choose from, or to keep."""
    return steps_to_keep(trainer, last) if trainer.choose_by is None else _saved_steps(trainer, last)


def _saved_steps(trainer: TrainerSection, last: int) -> list[int]:
    return sorted({*range(trainer.save_steps, last + 1, trainer.save_steps), last})


def last_kept(steps: list[int], keep: int | Literal["all"] | None) -> list[int]:
    """The steps that `trainer.keep_checkpoints` keeps of some in order."""
    return steps if keep == "all" else steps[len(steps) - min(keep or 0, len(steps)) :]
