"""Runs a trainer to its end, from the last checkpoint if any; measures time and memory, saves the adapter."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

from reports.document.schema import MemoryUse
from reports.files import read_json
from training.backends.job import Job, Progress, TrainingResult
from training.backends.keeping import keep_adapters, save_adapter, say_missing
from training.backends.scoring import logged_scores, score_while_training
from training.backends.tracked_runs import active_runs
from training.backends.watching import last_checkpoint
from training.models.weight_format import quantised_share
from training.processes import process_count
from training.stopping import finishing_batches


def run(trainer: Any, job: Job, progress: Progress, backend: str) -> TrainingResult:
    """Train from the first step, or the last checkpoint, to the end, and save the adapter in `job.made`."""
    trainable, total = trainer.model.get_nb_trainable_parameters()  # counts packed weights only before FSDP shards
    share = quantised_share(trainer.model, job.base)
    before = job.device.used_memory()
    job.device.reset_peak_memory()
    times: list[float] = []
    clock = step_clock(times)
    trainer.add_callback(clock)
    if job.scorer is not None:
        trainer.add_callback(score_while_training(trainer, job, job.scorer, progress, clock.on_evaluate))
    if job.recipe.trainer.keeps_adapters:
        trainer.add_callback(keep_adapters(trainer, job))
    started = time.perf_counter()
    last = last_checkpoint(job.work)
    if last is not None:
        state = read_json(last / "trainer_state.json")
        progress(0, 0, f"resuming from step {state['global_step']}, where an earlier training stopped")
        say_missing(job, state["global_step"], state["max_steps"], progress)
        if _is_over(state):  # transformers looks only after a step whether to go on, and would train one more
            trainer.args.max_steps, trainer.args.num_train_epochs = -1, 0
    with finishing_batches():
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if job.validation is not None:
        trainer.evaluate()
    seconds = time.perf_counter() - started
    after, peak = job.device.used_memory(), job.device.peak_memory()
    save_adapter(trainer, job, job.made)
    losses = logged_losses(trainer.state.log_history)
    steps, epochs = trainer.state.global_step, float(trainer.state.epoch or 0)
    seconds_per_step = statistics.median(times) if times else seconds / steps
    tokens_per_step = epochs * sum(map(len, job.train["input_ids"])) / steps
    return TrainingResult(
        backend=backend,
        device=job.device.name(),
        processes=process_count(),
        dtype=job.dtype,
        attention=str(getattr(trainer.model.config, "_attn_implementation", "unknown")),
        steps=steps,
        step=(trainer.state.best_global_step or steps) if job.recipe.trainer.keep_best else steps,
        epochs=round(epochs, 4),
        trainable_parameters=int(trainable),
        total_parameters=int(total),
        quantized_share=share,
        seconds=round(seconds, 3),
        seconds_per_step=round(seconds_per_step, 4),
        tokens_per_second=round(tokens_per_step / seconds_per_step, 1),
        memory=MemoryUse(
            device_total_bytes=job.device.total_memory(),
            before_allocated_bytes=before.allocated,
            before_reserved_bytes=before.reserved,
            peak_allocated_bytes=peak.allocated,
            peak_reserved_bytes=peak.reserved,
            after_allocated_bytes=after.allocated,
            after_reserved_bytes=after.reserved,
        ),
        final_loss=next((record["loss"] for record in reversed(losses) if "loss" in record), None),
        losses=losses,
        scores=logged_scores(trainer.state.log_history),
        tracker_runs=active_runs(job.recipe.trainer.trackers),
    )


def _is_over(state: dict[str, Any]) -> bool:
    """Whether a checkpoint is the last of its training: of its last step, or of the step at which it stopped early."""
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {}).get("args", {})
    return state["global_step"] >= state["max_steps"] or bool(control.get("should_training_stop"))


def step_clock(times: list[float], now: Callable[[], float] = time.perf_counter) -> Any:
    """Collects the seconds between the ends of consecutive steps, without validation and saving."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        last: float | None = None

        def on_step_end(self, *_: Any, **__: Any) -> None:
            end = now()
            if self.last is not None:
                times.append(end - self.last)
            self.last = end

        def on_evaluate(self, *_: Any, **__: Any) -> None:
            self.last = None

        def on_save(self, *_: Any, **__: Any) -> None:
            self.last = None

    return Clock()


def logged_losses(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Losses of a trainer's log, a record for each logged step, without values that overflowed in float16."""
    keep = ("step", "loss", "eval_loss", "learning_rate", "grad_norm")
    entries = [{key: float(entry[key]) for key in keep if key in entry} for entry in history]
    records = [{key: value for key, value in entry.items() if math.isfinite(value)} for entry in entries]
    return [record for record in records if "loss" in record or "eval_loss" in record]
