"""Keeps the adapter of every `trainer.save_steps` steps, and of the last, while a training runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from reports.files import sync_folder
from training.backends.job import Job, Progress
from training.checkpoints import candidates, checkpoint_folder, checkpoint_folders
from training.processes import is_main


def keep_adapters(trainer: Any, job: Job) -> Any:
    """Callback that saves the adapter in `job.kept` at the steps of the recipe's `trainer.keep_checkpoints`.

    It saves before the trainer writes its own checkpoint of a step, so that a training that resumes from there has
    every adapter up to it. A step that is trained again after a kill is saved again.
    """
    from transformers import TrainerCallback

    settings = job.recipe.trainer

    class Keep(TrainerCallback):  # type: ignore[misc]
        """Saves whole folders only, and removes those that are not among the last ones to keep."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if state.global_step % settings.save_steps == 0 or control.should_training_stop:
                keep(state.global_step)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if control.should_training_stop and not checkpoint_folder(job.kept, state.global_step).is_dir():
                keep(state.global_step)  # the last step of a training that a validation ends

    def keep(step: int) -> None:
        folder = checkpoint_folder(job.kept, step)
        part = folder.with_name(f".{folder.name}")
        if is_main():
            shutil.rmtree(part, ignore_errors=True)
        save_adapter(trainer, job, part)
        if is_main():
            sync_folder(part, files=True)
            shutil.rmtree(folder, ignore_errors=True)
            part.replace(folder)
            sync_folder(job.kept)
            if settings.choose_by is None and settings.keep_checkpoints != "all":
                for old in [*checkpoint_folders(job.kept).values()][: -(settings.keep_checkpoints or 1)]:
                    shutil.rmtree(old)

    return Keep()


def say_missing(job: Job, step: int, last: int, progress: Progress) -> None:
    """Say which adapters are missing, since an earlier part of the training did not keep them.

    Args:
        job: The training, which resumes.
        step: From which step.
        last: Its last step.
        progress: Gets the message.
    """
    expected = [wanted for wanted in candidates(job.recipe.trainer, last) if wanted <= step]
    missing = [str(wanted) for wanted in expected if wanted not in checkpoint_folders(job.kept)]
    if missing:
        what = "the adapters of steps" if len(missing) > 1 else "the adapter of step"
        progress(0, 0, f"{what} {', '.join(missing)} cannot be kept: an earlier part of the training did not keep any")


def save_adapter(trainer: Any, job: Job, folder: Path) -> None:
    """Save the adapter's weights and configuration, by the main process; sharded weights are gathered first."""
    state = None
    if trainer.is_fsdp_enabled:
        parameters = trainer.model.named_parameters()
        state = {name: weight.full_tensor().detach().cpu() for name, weight in parameters if weight.requires_grad}
    if not is_main():
        return
    config = trainer.model.peft_config["default"]
    loaded, config.base_model_name_or_path = config.base_model_name_or_path, job.base.public_name
    trainer.model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
    config.base_model_name_or_path = loaded
