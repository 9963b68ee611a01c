"""Chooses the backend of a recipe, with the reason."""

from __future__ import annotations

import importlib.util

from reports.errors import UserError
from training.backends import trl_backend, unsloth_backend
from training.backends.job import Backend
from training.backends.packing import packs_fast
from training.backends.sft import pick_attention
from training.backends.trackers import check_trackers
from training.models.device import Device
from training.models.model import Model
from training.processes import check_sharding, is_sharded, process_count
from training.recipes.recipe import Recipe

BACKENDS: dict[str, Backend] = {trl_backend.NAME: trl_backend.train, unsloth_backend.NAME: unsloth_backend.train}
_BITSANDBYTES_OPTIMIZERS = ("adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit")
PACKAGES = {trl_backend.NAME: trl_backend.PACKAGES, unsloth_backend.NAME: unsloth_backend.PACKAGES}


def pick_backend(recipe: Recipe, base: Model, device: Device) -> str:
    """Name of a recipe's backend; of those that can train it the faster, if the recipe does not choose.

    That is TRL where rows are packed (benchmarks/results/gpu/training), else Unsloth.

    Raises:
        UserError: The recipe asks for Unsloth, which cannot train it here.
    """
    wanted = recipe.trainer.backend
    if wanted == trl_backend.NAME or (wanted == "auto" and packs_fast(recipe, base, device)):
        return trl_backend.NAME
    unsupported = unsloth_unsupported(recipe, device)
    if unsupported is None:
        return unsloth_backend.NAME
    if wanted == unsloth_backend.NAME:
        what, fix = unsupported
        raise UserError(what, where="trainer.backend: unsloth", fix=f"{fix}, or --set trainer.backend=trl")
    return trl_backend.NAME


def check_can_train(recipe: Recipe, base: Model, device: Device) -> str:
    """Name of a recipe's backend; checks that this machine has everything it needs.

    Raises:
        UserError: A required package, GPU or token is missing, or the launcher asks for FSDP 1.
    """
    dtype = device.default_dtype(recipe.model.dtype)
    pick_attention(recipe.trainer.attention, base, dtype=dtype, device=device)
    if not device.supports_8bit_optimizers and recipe.trainer.optimizer in _BITSANDBYTES_OPTIMIZERS:
        raise UserError(
            f"bitsandbytes has no {recipe.trainer.optimizer} for {device.name()}",
            where="trainer.optimizer",
            fix="set trainer.optimizer=adamw_torch",
        )
    check_trackers(recipe.trainer.trackers)
    check_sharding()
    if recipe.trainer.score_steps is not None and is_sharded():
        what, fix = "an adapter whose weights are sharded (FSDP) is not scored while it is trained", "leave it out"
        raise UserError(what, where="trainer.score_steps", fix=f"{fix}; trainer.choose_by works without it")
    return pick_backend(recipe, base, device)


def unsloth_unsupported(recipe: Recipe, device: Device) -> tuple[str, str] | None:
    """(reason, fix) if Unsloth cannot train a recipe here, else None."""
    here = _machine_unsupported(device)
    if here is not None:
        return here
    quantization = recipe.quantization
    if quantization.method not in ("nf4", "none") or quantization.double_quant is False:
        return "Unsloth quantises to NF4 with double quantisation only", "set quantization to that"
    if recipe.trainer.packing is True:
        return "packing is done with TRL here", "set trainer.packing=false"
    if recipe.trainer.score_steps is not None:
        return "scoring while training is done with TRL here", "leave trainer.score_steps out"
    if recipe.trainer.attention not in ("auto", "sdpa"):
        return "Unsloth chooses its own attention", "set trainer.attention=auto"
    return None


def _machine_unsupported(device: Device) -> tuple[str, str] | None:
    """(reason, fix) if it is because of this machine or launcher, else None."""
    if not device.supports_kernel_packages:
        return "Unsloth trains on an NVIDIA or AMD GPU, and there is none here", "use such a machine"
    if importlib.util.find_spec("unsloth") is None:
        return "Unsloth is not installed", 'run `pip install "medbench[unsloth]"`'
    if process_count() > 1:
        return "Unsloth trains on one GPU here, and a launcher started several processes", "start one process"
    return None
