"""Loads a base model: for training as the recipe quantises it, for scoring as training saw it but computed densely."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line, is_failure
from training.models.architecture import architecture
from training.models.base_model import model_config
from training.models.checkpoint import check_checkpoint
from training.models.device import Device, DTypeName, torch_dtype
from training.models.model import Model
from training.models.weight_format import WeightFormat, has_dense_form, own_method, quantised_weights, weight_format
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
    held = weight_format(base, quantization)
    config: dict[str, Any] = {"dtype": torch_dtype(dtype), "device_map": {"": device.place}}
    if attention is not None:
        config["attn_implementation"] = attention
    try:
        with quiet_bitsandbytes():
            if quantization is not None and held.by_recipe and held.is_quantised:
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
            where=f"{base.folder} (quantised with {own_method(base) or 'unknown'})",
            fix="install it (`pip install gptqmodel` for GPTQ), or give a base that is not quantised",
        ) from error
    except BaseException as error:
        if not is_failure(error):
            raise
        raise _unloadable(base, error) from error
    _check_loaded(model, base, held, missing=loaded["missing_keys"], unexpected=loaded["unexpected_keys"])
    _keep_gradients(model)
    return model


def _unloadable(base: Model, error: BaseException) -> UserError:
    kind = model_config(base).get("model_type", "unknown")
    return UserError(
        f"transformers cannot load this model (type {kind}): {first_line(error)}",
        where=str(base.folder),
        fix="give a causal language model with its config, safetensors and tokenizer",
    )


def _check_loaded(
    model: Any, base: Model, held: WeightFormat, *, missing: Collection[str], unexpected: Collection[str]
) -> None:
    """Check that a loaded model is the base, whole, with nothing added, and quantised as the plan says.

    Raises:
        UserError: It is not.
    """
    where = str(base.folder)
    if missing:
        what = f"{len(missing)} of its weights are missing, such as {min(missing)[:200]}, and would be random"
        raise UserError(what, where=where, fix="fetch the model again")
    if extra := [name for name in unexpected if ".lora_" in name]:
        what = f"its files hold {len(extra)} weights of an adapter, such as {min(extra)[:200]}, which would be ignored"
        raise UserError(what, where=where, fix="merge the adapter with PEFT's merge_and_unload, and save that model")
    if any(type(module).__module__.startswith("peft.") for module in model.modules()):
        raise UserError("loading it attached an adapter to it", where=where, fix="move the adapter out of the folder")
    if has_dense_form(base):
        quantised, planned = quantised_weights(model), architecture(base).quantisable_weights
        if quantised != (planned if held.is_quantised else 0):
            what = f"{held.method} was to quantise {planned:,} weights, but {quantised:,} are quantised"
            dense = "set quantization.method=none" if held.by_recipe else "give the model that is not quantised"
            raise UserError(what, where=where, fix=dense)


def check_weights(base: Model) -> None:
    """See that the base's files hold the weights that its configuration means.

    Raises:
        UserError: They do not.
    """
    check_checkpoint(base, own_method(base))


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
    held = weight_format(base, quantization)
    quantised_here = held.is_quantised and held.by_recipe
    model = load_base(base, quantization, dtype=train_dtype if quantised_here else dtype, device=device)
    if not has_dense_form(base):
        return model.eval()  # GPTQ and its like have no dense form here; their own kernels score
    if dense and quantised_weights(model):
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
