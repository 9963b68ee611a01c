"""The device, dtype and attention that compute here, by name and where a recipe leaves them open; its memory freed."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Literal

from reports.errors import UserError
from training.models.architecture import architecture
from training.models.model import Model

if TYPE_CHECKING:
    import torch

DTypeName = Literal["bfloat16", "float16", "float32"]


def pick_device() -> Literal["cuda", "cpu"]:
    """The device that runs: a CUDA card where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def pick_dtype(wanted: str, device: str) -> DTypeName:
    """The dtype that `auto` means: bfloat16 where the device's hardware has it, else float16 (GPU) or float32 (CPU)."""
    import torch

    if wanted == "auto":
        if device == "cuda":
            return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return "bfloat16" if _cpu_has_bf16() else "float32"
    if wanted == "float16" and device == "cpu":
        raise UserError("float16 is not for CPUs", where="dtype", fix="use auto, bfloat16 or float32")
    return wanted  # type: ignore[return-value]


def _cpu_has_bf16() -> bool:
    import torch

    test = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(test and test())


def free_memory() -> None:
    """Give back the memory of what is no longer used: layers of PEFT, and a trainer's parts, refer to one another."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def torch_dtype(name: DTypeName) -> torch.dtype:
    """The torch dtype of that name."""
    import torch

    return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[name]


def pick_attention(wanted: str, base: Model, *, dtype: DTypeName, device: str) -> str | None:
    """The attention implementation to train with; None leaves it to transformers.

    Raises:
        UserError: FlashAttention is asked for where it cannot run.
    """
    from transformers.utils import is_flash_attn_2_available

    runs = device == "cuda" and dtype != "float32" and is_flash_attn_2_available()
    if wanted == "flash_attention_2" and not runs:
        raise UserError(
            "FlashAttention 2 needs a CUDA card, 16-bit weights and the package flash-attn",
            where="trainer.attention",
            fix="run `pip install flash-attn`, or set trainer.attention=auto",
        )
    if wanted != "auto":
        return wanted
    return "flash_attention_2" if runs and architecture(base).flash_attention else None
