"""Merges a LoRA adapter into its base's weights, writes the model as plain safetensors, and loads it again."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError, first_line
from reports.files import file_mode, write_json
from training.machine_failures import is_out_of_memory
from training.models.base_model import model_config
from training.models.device import torch_dtype
from training.models.loading import cast_weights
from training.models.weight_format import is_quantised

if TYPE_CHECKING:
    from tasks.chat import TurnEnd
    from training.models.device import Device, DTypeName
    from training.models.model import Model

_GENERATION = "generation_config.json"


def merge(wrapped: Any, dtype: DTypeName) -> Any:
    """The plain model with the adapter in its weights: each layer is merged by PEFT in float32 and rounded once.

    Raises:
        UserError: The adapter holds NaN, or a weight is too large for the dtype.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    narrow = torch_dtype(dtype)
    embedding = wrapped.get_base_model().get_input_embeddings()
    for layer in wrapped.modules():
        if not isinstance(layer, LoraLayer):
            continue
        inner = layer.get_base_layer()
        if inner is not embedding and getattr(inner, "weight", None) is embedding.weight:
            inner.weight = torch.nn.Parameter(inner.weight.clone())  # the adapter changes the head alone
        inner.float()
        layer.merge(safe_merge=True)
        inner.to(narrow)
    model = cast_weights(wrapped.merge_and_unload(), dtype)  # merged layers have the dtype already
    model.config.get_text_config().vocab_size = len(model.get_input_embeddings().weight)  # which the adapter may resize
    head = model.get_output_embeddings()
    if head is not None and head.weight is not model.get_input_embeddings().weight:
        model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = False
    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise UserError(
            f"merged weights are too large for {dtype}, or NaN", where="--dtype", fix="use bfloat16 or float32"
        )
    return model


def write_model(model: Any, base: Model, part: Path, max_shard_size: str) -> None:
    """Save the merged model with the base's own file of generation settings, which may fail current checks."""
    from transformers import GenerationConfig

    needed = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    free = shutil.disk_usage(part).free
    if free < needed:
        raise UserError(
            f"the merged model takes {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left",
            where=str(part.parent),
            fix="free some space, or choose another disk with --out",
        )
    if is_quantised(base):
        model._weight_conversions = None  # noqa: SLF001 - of reading 4-bit files; saving would have to reverse it, and cannot
    generation = base.folder / _GENERATION
    if generation.is_file():
        model.generation_config = GenerationConfig()
    model.save_pretrained(part, max_shard_size=max_shard_size)
    if generation.is_file():
        shutil.copyfile(generation, part / _GENERATION)
    for file in part.glob("*.safetensors"):
        file.chmod(file_mode())  # safetensors ignores the umask and makes them private


def add_turn_end(part: Path, end: TurnEnd) -> None:
    """Add the token that ends an answer to the end tokens in a folder's generation settings, for other programs."""
    path = part / _GENERATION
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    ends = settings.get("eos_token_id")
    known = [] if ends is None else ends if isinstance(ends, list) else [ends]
    if not end.text and not set(end.tokens) <= set(known):
        write_json(path, settings | {"eos_token_id": [*known, *end.tokens]})


def load_written(part: Path, device: Device) -> Any:
    """The written model, as anyone loads it.

    Raises:
        UserError: Weights are missing or unexpected.
    """
    from transformers import AutoModelForCausalLM

    model, loading_info = AutoModelForCausalLM.from_pretrained(
        part, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    wrong = [name for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in loading_info[kind]]
    if wrong:
        raise UserError(
            f"the written model does not load whole: {len(wrong)} weights differ in name or shape, such as {wrong[0]}",
            fix="this kind of model cannot be exported; use the adapter on its base",
        )
    return model.to(device.place).eval()


@contextlib.contextmanager
def one_message(base: Model, device: Device) -> Iterator[None]:
    """Raise a `UserError` for what libraries raise if they cannot merge a model."""
    from safetensors import SafetensorError

    try:
        yield
    except (ValueError, RuntimeError, KeyError, AttributeError, TypeError, ImportError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise UserError(
                "the base in 16 bits does not fit into the GPU's memory",
                where=base.source,
                fix=device.more_memory,
            ) from error
        raise UserError(
            f"this adapter cannot be merged into a model of type {model_config(base).get('model_type')}:"
            f" {first_line(error)}",
            where=base.source,
            fix="use the adapter on its base without merging",
        ) from error
