"""Scores the adapter on validation items while it is trained, within a tenth of the training's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from training.backends.job import Job, Progress, Scorer

LOGGED = "eval_"  # before TASK/METRIC in a trainer's log, which trackers show as eval/TASK/METRIC
_SECONDS = "score_seconds"
_SHARE = 0.1
_PASSES = 3.0  # a training step costs about as much as three forward passes, and scoring is one


@dataclass
class ScoringTime:
    """Account of the time that scoring takes while training, at most a tenth of all time since it began.

    Attributes:
        spent: Seconds of all scorings.
        last: Seconds of the last one; None before the first.
        left_out: Number of scorings that were skipped.
    """

    spent: float = 0.0
    last: float | None = None
    left_out: int = 0

    def allows(self, elapsed: float, first: float) -> bool:
        """Whether one more scoring stays within the share, if it takes as long as the last one.

        Args:
            elapsed: Seconds since training began, scorings included.
            first: Estimated seconds of a scoring, for the first.
        """
        allowed = self.spent + (first if self.last is None else self.last) <= _SHARE * elapsed
        self.left_out += not allowed
        return allowed

    def add(self, seconds: float) -> None:
        """Count a scoring."""
        self.spent, self.last = self.spent + seconds, seconds


def score_while_training(trainer: Any, job: Job, scorer: Scorer, progress: Progress, pause: Callable[[], None]) -> Any:
    """Callback that scores every `trainer.score_steps` steps and at the end, and stops a training that gets no better.

    Scores go into the trainer's log, from where trackers get them. A scoring that would exceed a tenth of the time
    since the training began is skipped, except with early stopping, which needs every one so that two trainings of a
    recipe stop at the same step.

    Args:
        trainer: The trainer.
        job: The training.
        scorer: Scores its model.
        progress: Gets the scores, and at the end how many scorings were skipped.
        pause: Called after a scoring, which is not part of a step's time.
    """
    from transformers import TrainerCallback

    settings, account = job.recipe.trainer, ScoringTime()
    patience, key = settings.early_stopping_patience, f"{LOGGED}{settings.choose_by}"
    rows = settings.batch_size * settings.gradient_accumulation
    step_tokens = rows * sum(map(len, job.train["input_ids"])) / len(job.train)

    class Score(TrainerCallback):  # type: ignore[misc]
        begun = (0.0, 0)  # time and step

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self.begun = time.perf_counter(), state.global_step

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            step, started = state.global_step, time.perf_counter()
            if step % (settings.score_steps or 1) and step < state.max_steps:
                return
            elapsed, steps = started - self.begun[0], step - self.begun[1]
            if patience is None and not account.allows(
                elapsed, elapsed / steps / step_tokens * scorer.tokens / _PASSES
            ):
                return
            scores = score(trainer, scorer)
            account.add(time.perf_counter() - started)
            logs_losses = control.should_log  # which logging resets
            trainer.log({**{f"{LOGGED}{name}": value for name, value in scores.items()}, _SECONDS: account.last})
            control.should_log = logs_losses
            progress(step, state.max_steps, ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
            pause()
            if patience is not None and no_better_for(patience, [scorer.sign * value for value in _values(state, key)]):
                control.should_training_stop = control.should_save = True

        def on_train_end(self, *_: Any, **__: Any) -> None:
            if account.left_out:
                progress(0, 0, f"{account.left_out} scorings while training were skipped, {_HOW_TO_SCORE_MORE}")

    return Score()


_HOW_TO_SCORE_MORE = (
    "which would have taken more than a tenth of its time; raise trainer.score_steps or lower trainer.validation_items"
)


def no_better_for(patience: int, values: Sequence[float]) -> bool:
    """Whether none of the last `patience` values is greater than the greatest before them."""
    return len(values) > patience and max(values[-patience:]) <= max(values[:-patience])


def score(trainer: Any, scorer: Scorer) -> dict[str, float]:
    """Scores of the trainer's model as it is, in evaluation mode and the dtype of its training."""
    import torch

    was_training = trainer.model.training
    trainer.model.eval()
    try:
        with torch.no_grad(), trainer.accelerator.autocast():
            return scorer(trainer.model)
    finally:
        trainer.model.train(was_training)


def logged_scores(history: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """A record for each scoring in a trainer's log: step, seconds, and scores by TASK/METRIC."""
    return [
        {
            "step": float(entry["step"]),
            "seconds": round(float(entry[_SECONDS]), 3),
            **{key.removeprefix(LOGGED): float(value) for key, value in entry.items() if key.startswith(LOGGED)},
        }
        for entry in history
        if _SECONDS in entry
    ]


def _values(state: Any, key: str) -> list[float]:
    return [float(entry[key]) for entry in state.log_history if key in entry]
