"""Loads a base model: for training as the recipe quantises it, for scoring as training saw it but computed densely."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from reports.errors import UserError
from training.base_model import BaseModel, model_config
from training.recipe import QuantizationSection

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

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


def torch_dtype(name: DTypeName) -> torch.dtype:
    """The torch dtype of that name."""
    import torch

    return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[name]


def load_for_training(
    base: BaseModel, quantization: QuantizationSection, *, dtype: DTypeName, device: str
) -> PreTrainedModel:
    """The base with its linear layers quantised, ready for PEFT.

    Raises:
        UserError: The folder is no causal language model that transformers can load.
    """
    return _load(base, quantization, dtype, device)


def load_for_scoring(
    base: BaseModel,
    quantization: QuantizationSection | None,
    *,
    train_dtype: DTypeName,
    dtype: DTypeName,
    device: str,
) -> PreTrainedModel:
    """The base for scoring, in evaluation mode.

    Quantised weights are turned back into dense ones once: the same values that training multiplied with, at the speed
    of dense kernels.

    Args:
        base: The model.
        quantization: As in training; None for the base's own weights.
        train_dtype: What training quantised, and what its 4-bit values are turned back into.
        dtype: Of weights and activations.
        device: Where to put it.
    """
    quantised = quantization is not None and quantization.method != "none"
    model = _load(base, quantization, train_dtype if quantised else dtype, device)
    if quantised or is_quantised(base):
        model.dequantize(dtype=torch_dtype(train_dtype))
    return model.to(torch_dtype(dtype)).eval()


def describe_weights(quantization: QuantizationSection | None, dtype: DTypeName) -> str:
    """How weights are held while scoring, for reports."""
    if quantization is None or quantization.method == "none":
        return f"{dtype}, not quantised"
    double = " with double quantisation" if quantization.is_4bit and quantization.double_quant is not False else ""
    return f"{quantization.method.upper()}{double}, dequantised once to {dtype}"


def _load(base: BaseModel, quantization: QuantizationSection | None, dtype: DTypeName, device: str) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    config: dict[str, Any] = {"dtype": torch_dtype(dtype), "device_map": {"": device}}
    try:
        with quiet_bitsandbytes():
            if quantization is not None and quantization.method != "none" and not is_quantised(base):
                config["quantization_config"] = _bitsandbytes(quantization, dtype)
            model = AutoModelForCausalLM.from_pretrained(
                base.folder, local_files_only=True, use_safetensors=True, **config
            )
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        kind = model_config(base).get("model_type", "unknown")
        first = str(error).strip().splitlines()
        raise UserError(
            f"transformers cannot load this model (type {kind}): {first[0] if first else type(error).__name__}",
            where=str(base.folder),
            fix="give a causal language model with its config, safetensors and tokenizer",
        ) from error
    _keep_gradients(model)
    return model


def is_quantised(base: BaseModel) -> bool:
    """Whether the base's own checkpoint is quantised already; then it is taken as it is."""
    return bool(model_config(base).get("quantization_config"))


def _bitsandbytes(quantization: QuantizationSection, dtype: DTypeName) -> Any:
    from transformers import BitsAndBytesConfig

    if not quantization.is_4bit:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.method,
        bnb_4bit_use_double_quant=quantization.double_quant is not False,
        bnb_4bit_compute_dtype=torch_dtype(dtype),
    )


def _keep_gradients(model: PreTrainedModel) -> None:
    """Stop bitsandbytes from repacking 4-bit weights in evaluation mode on CPUs with AVX512-BF16.

    It never unpacks them, so that after an evaluation in the middle of training all LoRA layers but the last would get
    gradients of zero (bitsandbytes 0.50, `Linear4bit.forward`).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


@contextlib.contextmanager
def quiet_bitsandbytes() -> Iterator[None]:
    """Keep bitsandbytes from announcing on import that it has no CPU kernels, which is known and harmless."""
    logger = logging.getLogger("bitsandbytes")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
