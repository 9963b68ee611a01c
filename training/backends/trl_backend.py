"""The TRL backend: transformers loads the quantised base, PEFT adds the adapter, and TRL trains, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from reports.errors import UserError, first_line
from tasks.rendering import load_tokenizer
from training.backends.checkpointing import checkpoint_layers, checkpoints_layers
from training.backends.fused_layers import fuse_layers, fuses_layers
from training.backends.fused_lora import fuse_lora
from training.backends.fused_loss import fuse_loss
from training.backends.job import Job, Progress, TrainingResult
from training.backends.joint_optimizer import join_updates
from training.backends.packing import check_apart, keeps_rows_apart, token_budget, wants_packing
from training.backends.sft import balancing, lora_config, make_trainer, pick_attention, pick_loss
from training.backends.trainer_loop import run
from training.backends.walks import shorten_walks
from training.models.loading import load_base

NAME = "trl"
Make = Callable[..., Any]  # as `make_trainer`
Speedup = Callable[[Any, Job], None]  # prepares a trainer for computing the same in less time
SPEEDUPS: tuple[Speedup, ...] = (fuse_lora, fuse_layers, fuse_loss, checkpoint_layers, join_updates, shorten_walks)
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")


def train(
    job: Job,
    progress: Progress,
    *,
    make: Make = make_trainer,
    speedups: Sequence[Speedup] = SPEEDUPS,
) -> TrainingResult:
    """Train a job; see `training.backends.job.Backend`.

    Args:
        job: What to train.
        progress: Called after each step.
        make: Creates the trainer.
        speedups: Prepare it for computing faster.
    """
    recipe = job.recipe
    job.device.prepare()
    job.device.seed(recipe.training_seed)
    attention = pick_attention(recipe.trainer.attention, job.base, dtype=job.dtype, device=job.device)
    model = load_base(job.base, recipe.quantization, dtype=job.dtype, device=job.device, attention=attention)
    wanted = wants_packing(recipe, job.device)
    packs = wanted and _can_pack(model, is_required=recipe.trainer.packing is True)
    if wanted and not packs:
        progress(0, 0, f"rows are padded: {type(model).__name__} would not keep them apart in one sequence")
    offload = recipe.trainer.gradient_checkpointing == "offload" and job.device.supports_pinned_memory
    own_checkpoints = checkpoint_layers in speedups and checkpoints_layers(job, model)
    is_spared = own_checkpoints and fuse_layers in speedups and fuses_layers(job.device, job.dtype)
    budget = None
    if packs:
        longest = max(map(len, job.train["input_ids"]))
        budget = token_budget(recipe.trainer, longest, job.device, is_spared=is_spared)
    tokenizer = load_tokenizer(str(job.base.folder))
    loss = pick_loss(model, tokenizer)
    try:
        trainer = make(
            job,
            model,
            tokenizer,
            progress,
            lora_config(job),
            budget=budget,
            activation_offloading=offload and not own_checkpoints,
            loss_type=loss,
            **balancing(model),
        )
    except ValueError as error:
        raise UserError(
            f"TRL or PEFT cannot train this model so: {first_line(error)[:500]}",
            where=f"{job.base.source}, lora.target_modules: {', '.join(recipe.lora.target_modules)}",
            fix="set other lora.target_modules, or take another base",
        ) from error
    for speed_up in speedups:
        speed_up(trainer, job)
    try:
        return run(trainer, job, progress, NAME)
    finally:
        _forget_overrides()


def _can_pack(model: Any, *, is_required: bool) -> bool:
    """Whether a model's rows can be joined; prepares the model for it.

    Raises:
        UserError: The recipe requires it, and rows would see each other.
    """
    from training.models.row_attention import use_row_attention

    is_fast = use_row_attention(model) or model.config._attn_implementation == "flash_attention_2"  # noqa: SLF001
    if is_required:
        check_apart(model)
    elif not (is_fast and keeps_rows_apart(model)):
        return False
    model.config.use_cache = False  # with a cache, transformers takes a packed sequence for one row
    return True


def _forget_overrides() -> None:
    """Let go of the embeddings that transformers registers with bitsandbytes' optimizers, which keep them for ever.

    They would stay in memory while the adapter is scored: 1 GiB of an 8B model. The settings of other parameters are
    kept by `id`, which a later training's parameters can have.
    """
    manager = sys.modules.get("bitsandbytes.optim.optimizer")
    if manager is not None:
        manager.GlobalOptimManager.get_instance().initialize()
