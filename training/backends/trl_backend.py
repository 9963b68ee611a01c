"""The TRL backend: transformers loads the quantised base, PEFT puts the adapter on it, TRL trains, in this process."""

from __future__ import annotations

from tasks.rendering import load_tokenizer
from training.backends.casting import cast_once_a_step
from training.backends.job import Job, Progress, TrainingResult
from training.backends.packing import check_apart
from training.backends.sft import lora_config, make_trainer, pick_attention
from training.backends.trainer_loop import run
from training.models.loading import load_base

NAME = "trl"
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")


def train(job: Job, progress: Progress) -> TrainingResult:
    """Train a job; see `training.backends.job.Backend`."""
    recipe = job.recipe
    job.device.seed(recipe.training_seed)
    attention = pick_attention(recipe.trainer.attention, job.base, dtype=job.dtype, device=job.device)
    model = load_base(job.base, recipe.quantization, dtype=job.dtype, device=job.device, attention=attention)
    if recipe.trainer.packing:
        check_apart(model)
        model.config.use_cache = False  # with a cache, transformers takes a packed sequence for one row
    offload = recipe.trainer.gradient_checkpointing == "offload" and job.device.supports_pinned_memory
    tokenizer = load_tokenizer(str(job.base.folder))
    trainer = make_trainer(job, model, tokenizer, progress, lora_config(job), activation_offloading=offload)
    cast_once_a_step(trainer, job)
    return run(trainer, job, progress, NAME)
