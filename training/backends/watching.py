"""Watches a training: reports progress, syncs checkpoints to disk, stops at a signal or a non-finite loss."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

from reports.errors import UserError
from reports.files import sync_folder, write_text
from training.backends.job import Progress
from training.processes import is_main, process_count
from training.stopping import is_asked_to_stop, stop_if_asked

CHECKPOINTS = "checkpoints"
_WHOLE = "medbench-whole"  # marks a checkpoint whose files are all on disk


def last_checkpoint(work: Path) -> Path | None:
    """Last complete checkpoint in a work folder, or None."""
    checkpoints = {}
    for folder in (work / CHECKPOINTS).glob("checkpoint-*"):
        with contextlib.suppress(ValueError):
            if (folder / _WHOLE).is_file():
                checkpoints[int(folder.name.rpartition("-")[2])] = folder
    return checkpoints[max(checkpoints)] if checkpoints else None


def watch(progress: Progress) -> Any:
    """Callback of the trainer, as described above, that reports to `progress`."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Reports progress, syncs checkpoints, and stops at a signal or a non-finite loss."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            progress(0, state.max_steps, "")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            values = logs or {}
            _check_finite(values, state.global_step, is_float16=args.fp16)
            if "loss" in values:
                progress(state.global_step, state.max_steps, f"loss {float(values['loss']):.3f}")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            progress(state.global_step, state.max_steps, "")
            if is_asked_to_stop():
                if process_count() > 1:  # the other processes may not have got the signal, and would wait for this one
                    stop_if_asked()
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if is_main() and folder.is_dir():
                sync_folder(folder, files=True)
                write_text(folder / _WHOLE, "")
            stop_if_asked()

    return Watch()


def _check_finite(values: dict[str, Any], step: int, *, is_float16: bool) -> None:
    """Stop at a loss or gradient that is not finite.

    In float16 a gradient that overflows is expected now and then: that step is skipped and the scale lowered.
    """
    for key in ("loss", "eval_loss", *(() if is_float16 else ("grad_norm",))):
        if key in values and not math.isfinite(float(values[key])):
            raise UserError(
                f"the {key} became {values[key]} at step {step}; the training stopped and nothing was saved",
                where="trainer",
                fix="lower trainer.learning_rate, add warm-up, or use dtype bfloat16 or float32",
            )
