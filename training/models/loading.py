"""Loads a base model: for training as the recipe quantises it, for scoring as training saw it but computed densely."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line, is_failure
from training.models.architecture import architecture
from training.models.base_model import model_config
from training.models.checkpoint import check_checkpoint
from training.models.device import Device, DTypeName, torch_dtype
from training.models.model import Model
from training.processes import is_sharded
from training.recipes.recipe import QuantizationSection

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_DENSE_SHARE = 0.75  # of a device's memory that dense weights may take; keys, values and activations need the rest


def load_base(
    base: Model,
    quantization: QuantizationSection | None,
    *,
    dtype: DTypeName,
    device: Device,
    attention: str | None = None,
) -> PreTrainedModel:
    """The base as training holds it, ready for PEFT: its linear layers quantised, unless its checkpoint is already.

    Args:
        base: The model.
        quantization: How; None for the base's own weights.
        dtype: Of activations and of weights that are not quantised.
        device: Where to put it.
        attention: The implementation; None leaves it to transformers.

    Raises:
        UserError: The folder is no causal language model that transformers can load whole.
    """
    from transformers import AutoModelForCausalLM

    check_weights(base)
    config: dict[str, Any] = {"dtype": torch_dtype(dtype), "device_map": {"": device.place}}
    if attention is not None:
        config["attn_implementation"] = attention
    try:
        with quiet_bitsandbytes():
            if quantization is not None and quantization.method != "none" and not is_quantised(base):
                config["quantization_config"] = _bitsandbytes(quantization, dtype)
            model, loaded = AutoModelForCausalLM.from_pretrained(
                base.folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **config,
            )
    except ImportError as error:
        raise UserError(
            f"loading it needs a package that is not here: {first_line(error)}",
            where=f"{base.folder} (quantised with {_own_method(base) or 'unknown'})",
            fix="install it (`pip install gptqmodel` for GPTQ), or give a base that is not quantised",
        ) from error
    except BaseException as error:
        if not is_failure(error):
            raise
        raise _unloadable(base, error) from error
    if loaded["missing_keys"]:
        name = min(loaded["missing_keys"])
        raise UserError(
            f"{len(loaded['missing_keys'])} of its weights are missing, such as {name[:200]}, and would be random",
            where=str(base.folder),
            fix="fetch the model again",
        )
    _keep_gradients(model)
    return model


def _unloadable(base: Model, error: BaseException) -> UserError:
    kind = model_config(base).get("model_type", "unknown")
    return UserError(
        f"transformers cannot load this model (type {kind}): {first_line(error)}",
        where=str(base.folder),
        fix="give a causal language model with its config, safetensors and tokenizer",
    )


def check_weights(base: Model) -> None:
    """See that the base's files hold the weights that its configuration means.

    Raises:
        UserError: They do not.
    """
    check_checkpoint(base, _own_method(base))


def fits_dense(base: Model, dtype: DTypeName, device: Device) -> bool:
    """Whether the base's weights fit into the device's memory in that dtype, beside what scoring needs.

    By all the memory that the device has, not by what is free, so that one machine always scores alike.
    """
    return bool(architecture(base).parameters * torch_dtype(dtype).itemsize <= _DENSE_SHARE * device.total_memory())


def load_for_scoring(
    base: Model,
    quantization: QuantizationSection | None,
    *,
    train_dtype: DTypeName,
    dtype: DTypeName,
    device: Device,
    dense: bool = True,
) -> PreTrainedModel:
    """The base for scoring, in evaluation mode.

    Quantised weights are turned back into dense ones once: the same values that training multiplied with, at the speed
    of dense kernels. Where they do not fit, the quantised kernels that training used compute with the same values.

    Args:
        base: The model.
        quantization: As in training; None for the base's own weights.
        train_dtype: What training quantised, and what its 4-bit values are turned back into.
        dtype: Of weights and activations.
        device: Where to put it.
        dense: Whether to turn quantised weights back; see `fits_dense`.

    Raises:
        UserError: As `load_base`, or part of the weights that the checkpoint should hold quantised are not.
    """
    quantised = quantization is not None and quantization.method != "none"
    model = load_base(base, quantization, dtype=train_dtype if quantised else dtype, device=device)
    if not has_dense_form(base):
        return model.eval()  # GPTQ and its like have no dense form here; their own kernels score
    if dense and (quantised or is_quantised(base)):
        try:
            model.dequantize(dtype=torch_dtype(train_dtype))
        except Exception as error:
            raise _unloadable(base, error) from error
    for module in model.modules():
        if hasattr(module, "compute_dtype"):  # of bitsandbytes' 4-bit layers
            module.compute_dtype = torch_dtype(dtype)
    return cast_weights(model, dtype).eval()


def cast_weights(model: Any, dtype: DTypeName) -> Any:
    """Convert only the weights of a model to a dtype, in place; return the model.

    `model.to(dtype)` would round the frequencies of rotary embeddings too, which are buffers that training and everyone
    who loads the model hold in float32: in bfloat16 distant positions are then no longer where the model learned them.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(torch_dtype(dtype))
    return model


def describe_weights(quantization: QuantizationSection | None, dtype: DTypeName, *, dense: bool = True) -> str:
    """How weights are held while scoring, for reports."""
    if quantization is None or quantization.method == "none":
        return f"{dtype}, not quantised"
    double = " with double quantisation" if quantization.is_4bit and quantization.double_quant is not False else ""
    held = f"dequantised once to {dtype}" if dense else f"held so, computed in {dtype}"
    return f"{quantization.method.upper()}{double}, {held}"


def is_quantised(base: Model) -> bool:
    """Whether the base's own checkpoint is quantised already; then it is taken as it is."""
    return _own_method(base) is not None


def has_dense_form(base: Model) -> bool:
    """Whether the base's checkpoint is dense, or quantised by bitsandbytes, which can be turned back."""
    return _own_method(base) in (None, "bitsandbytes")


def _own_method(base: Model) -> str | None:
    """What the base's own checkpoint is quantised with; None if it is not."""
    config = model_config(base).get("quantization_config")
    if not config:
        return None
    return str(config.get("quant_method", "bitsandbytes")) if isinstance(config, dict) else "unknown"


def _bitsandbytes(quantization: QuantizationSection, dtype: DTypeName) -> Any:
    from transformers import BitsAndBytesConfig

    if not quantization.is_4bit:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.method,
        bnb_4bit_use_double_quant=quantization.double_quant is not False,
        bnb_4bit_compute_dtype=torch_dtype(dtype),
        bnb_4bit_quant_storage=torch_dtype(dtype) if is_sharded() else None,  # FSDP shards no integers
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
