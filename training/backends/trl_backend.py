"""The TRL backend: transformers loads the quantised base, PEFT adds the adapter, and TRL trains, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reports.errors import UserError, first_line
from tasks.rendering import load_tokenizer
from training.backends.casting import cast_once_a_step
from training.backends.job import Job, Progress, TrainingResult
from training.backends.packing import check_apart
from training.backends.sft import balancing, lora_config, make_trainer, pick_attention, pick_loss
from training.backends.trainer_loop import run
from training.models.loading import load_base

NAME = "trl"
Make = Callable[..., Any]  # as `make_trainer`
Cast = Callable[[Any, Job], None]
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")


def train(
    job: Job,
    progress: Progress,
    *,
    make: Make = make_trainer,
    cast: Cast = cast_once_a_step,
) -> TrainingResult:
    """Train a job; see `training.backends.job.Backend`.

    Args:
        job: What to train.
        progress: Called after each step.
        make: Creates the trainer.
        cast: Prepares it for casting the adapter's weights.
    """
    recipe = job.recipe
    job.device.seed(recipe.training_seed)
    attention = pick_attention(recipe.trainer.attention, job.base, dtype=job.dtype, device=job.device)
    model = load_base(job.base, recipe.quantization, dtype=job.dtype, device=job.device, attention=attention)
    if recipe.trainer.packing:
        check_apart(model)
        model.config.use_cache = False  # with a cache, transformers takes a packed sequence for one row
    offload = recipe.trainer.gradient_checkpointing == "offload" and job.device.supports_pinned_memory
    tokenizer = load_tokenizer(str(job.base.folder))
    loss = pick_loss(model, tokenizer)
    try:
        trainer = make(
            job,
            model,
            tokenizer,
            progress,
            lora_config(job),
            activation_offloading=offload,
            loss_type=loss,
            **balancing(model),
        )
    except ValueError as error:
        raise UserError(
            f"TRL or PEFT cannot train this model so: {first_line(error)[:500]}",
            where=f"{job.base.source}, lora.target_modules: {', '.join(recipe.lora.target_modules)}",
            fix="set other lora.target_modules, or take another base",
        ) from error
    cast(trainer, job)
    return run(trainer, job, progress, NAME)
