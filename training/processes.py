"""Several processes of one training, as `torchrun` and `accelerate launch` start them: how many, which one, waiting."""

from __future__ import annotations

import os

from reports.errors import UserError
from training.recipes.recipe import Recipe


def process_count() -> int:
    """How many processes train together; 1 where no launcher started this one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that prints, and writes the run folder."""
    return int(os.environ.get("RANK", "0")) == 0


def local_index() -> int:
    """Which of this machine's GPUs is this process's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_sharded() -> bool:
    """Whether the launcher asks for FSDP: the weights shared out over the processes."""
    return _is_on("ACCELERATE_USE_FSDP")


def _is_on(switch: str) -> bool:
    return os.environ.get(switch, "false").lower() in ("1", "true")


def check_sharding() -> None:
    """Stop where the launcher asks for a kind of FSDP that does not go with an adapter.

    Raises:
        UserError: It is of the first version, which flattens a layer's weights into one dtype, where a QLoRA layer has
            several; or it recomputes activations itself, and the adapter's weights get other names.
    """
    if not is_sharded():
        return
    if _is_on("FSDP_ACTIVATION_CHECKPOINTING"):
        raise UserError(
            "FSDP's own activation checkpointing renames the adapter's weights",
            where="fsdp_activation_checkpointing, in the configuration of `accelerate launch`",
            fix="set it to false there, and trainer.gradient_checkpointing=true in the recipe",
        )
    version = os.environ.get("FSDP_VERSION", "1")  # as accelerate reads it
    if version != "2":
        raise UserError(
            f"FSDP of version {version[:20]} cannot share out layers of 4-bit weights and a float32 adapter",
            where="fsdp_version, in the configuration of `accelerate launch`",
            fix="set fsdp_version: 2 there",
        )


def wait_for_all() -> None:
    """Return once every process has come here."""
    if process_count() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def share_of_one(recipe: Recipe) -> Recipe:
    """The recipe for each process: less accumulation, so that the effective batch stays what the recipe says.

    Raises:
        UserError: The accumulation cannot be shared out evenly.
    """
    processes = process_count()
    accumulation = recipe.trainer.gradient_accumulation
    if accumulation % processes:
        raise UserError(
            f"{processes} processes cannot share {accumulation} batches of gradient accumulation evenly",
            where="trainer.gradient_accumulation",
            fix=f"start a number of processes that divides {accumulation}, or make it a multiple of {processes}",
        )
    trainer = recipe.trainer.model_copy(update={"gradient_accumulation": accumulation // processes})
    return recipe.model_copy(update={"trainer": trainer})
