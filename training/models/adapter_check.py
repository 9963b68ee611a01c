"""Checks an adapter's weights against its settings and its base before anything is loaded: it may come from anyone.

PEFT loads whatever has the name of a weight, the base's own included. Here PEFT builds the adapter's layers on a model
without memory; only the weights that these layers have are accepted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from reports.names import last_part
from tasks.rendering import load_tokenizer
from training.models.adapter_config import LoraSettings, merge_command
from training.models.adapter_layers import (
    ADAPTER,
    PREFIX,
    LayerSwap,
    attach,
    converted_weights,
    layer_scales,
    saved_names,
    wanted_weights,
    whole_embeddings,
)
from training.models.architecture import architecture, model_shell
from training.models.device import DTypeName, torch_dtype
from training.models.model import Model
from training.models.safetensors_file import FLOATS, check_finite, read_header

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]
_FOREIGN = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|module)\.")
_PART = re.compile(r"\.(lora_\w+|token_adapter|base_layer)(\.[\w.]+)?$")  # of a layer, in the name of a weight


@dataclass(frozen=True)
class _Context:
    """What the checks of one adapter share: its file, settings and base."""

    path: Path
    settings: LoraSettings
    base: Model

    @property
    def own_base(self) -> str:
        """How to score an adapter of another base."""
        name = self.settings.base_model_name_or_path or "unknown"
        if last_part(name) == last_part(self.base.public_name):
            return f"it names this base ({name}), but its weights are of another one: give that, --set model.base=..."
        return f"score it on its own base ({name}): --set model.base=..."

    def merge(self, rows: int | None = None) -> str:
        """How to score an adapter that is not accepted."""
        command = merge_command(self.path.parent, str(self.base.folder), rows)
        return f"merge it into its base and score that: {command}"

    def error(self, what: str, fix: str) -> UserError:
        """An error in the adapter's weights."""
        return UserError(what, where=str(self.path), fix=fix)


def check_fits(path: Path, settings: LoraSettings, base: Model, dtype: DTypeName) -> None:
    """Check names, shapes, kinds and ranges of an adapter's weights.

    Args:
        path: The file of its weights.
        settings: Its settings.
        base: Its base.
        dtype: What it will be scored in.

    Raises:
        UserError: They do not fit, as with an adapter of another base, or one that is not whole.
    """
    import torch

    adapter = _Context(path, settings, base)
    header = read_header(path)
    for name, tensor in header.items():
        if tensor.dtype not in FLOATS:
            raise adapter.error(f"{name} is of type {tensor.dtype}, not a float", "save the adapter again")
    tensors = {name: torch.empty(tensor.shape, device="meta") for name, tensor in header.items()}
    given = saved_names(tensors, settings)
    if not any(".lora_" in name for name in given):
        raise adapter.error("there are no LoRA weights in it", "give a LoRA adapter")
    shell = model_shell(base)
    whole = whole_embeddings(shell, given)
    parameters = {name: tuple(parameter.shape) for name, parameter in shell.state_dict().items()}
    try:
        with LayerSwap(shell):
            wrapped = attach(shell, settings, given, path.parent)
            converted = converted_weights(wrapped, given, path.parent)
            wanted = {name: tuple(tensor.shape) for name, tensor in wanted_weights(wrapped).items()}
            scales = layer_scales(wrapped)
            _check_tokens(wrapped, adapter)
    except UserError:
        _check_layers(given, shell, adapter)  # a clearer message where the base lacks a layer
        raise
    _check_names(converted, wanted, whole, adapter)
    for name, layer in whole.items():
        own, shape = parameters.get(f"{layer}.{name.rpartition('.')[2]}"), tuple(given[name].shape)
        if name not in wanted or (own is not None and shape != own):
            _check_whole(name, layer, shape, own, adapter, declared=name in wanted)
    mismatched = [name for name in sorted(wanted.keys() & converted.keys()) if converted[name].shape != wanted[name]]
    for name in sorted(mismatched, key=lambda name: _is_of_tokens(name, base)):
        raise _misfit(name, tuple(converted[name].shape), wanted[name], adapter)
    missing = sorted({_layer(name) for name in wanted.keys() - converted.keys()})
    if missing:
        more = f" and {len(missing) - 1} more layers" if missing[1:] else ""
        raise adapter.error(f"weights are missing: of {missing[0]}{more}", "fetch or save the adapter again")
    check_finite(path)
    _check_range(adapter, scales, dtype)


def _layer(name: str) -> str:
    """The layer that a weight belongs to."""
    return _PART.sub("", name.removeprefix(PREFIX)).removesuffix(".weight").removesuffix(".bias")


def _check_names(
    converted: Mapping[str, torch.Tensor], wanted: Mapping[str, Shape], whole: Mapping[str, str], adapter: _Context
) -> None:
    """Check that the adapter has no weights but those of its layers, and whole embeddings."""
    extra = [name for name in converted if name not in wanted and name not in whole]
    if not extra:
        return
    foreign = next((name for name in extra if _FOREIGN.search(name.removeprefix(PREFIX))), None)
    if foreign is not None:
        raise adapter.error(
            f"PEFT does not load {foreign}, which is the name of a weight in a compiled or wrapped model",
            "save it again with save_pretrained from the model inside, such as model._orig_mod of torch.compile",
        )
    if len(extra) == len(converted) and not any(name.startswith(PREFIX) for name in extra):
        what = f"PEFT loads none of its weights: their names, such as {extra[0]}, do not begin with {PREFIX}"
        raise adapter.error(what, "save it again with PEFT's save_pretrained")
    _check_layers(extra, model_shell(adapter.base), adapter)
    raise _undeclared(extra[0], adapter)


def _check_layers(names: Iterable[str], shell: Any, adapter: _Context) -> None:
    """Check that the base has all layers with LoRA weights."""
    layers = {name for name, _ in shell.named_modules()}
    for name in names:
        layer = _layer(name)
        if name.startswith(PREFIX) and ".lora_" in name and layer not in layers:
            what = f"the adapter changes {layer}, which {adapter.base.source} does not have"
            raise adapter.error(what, adapter.own_base)


def _check_tokens(wrapped: Any, adapter: _Context) -> None:
    """Check that the tokens that were trained one by one are in the vocabulary."""
    for layer in wrapped.modules():
        tokens = getattr(layer, "token_indices", {}).get(ADAPTER)
        count = len(layer.get_base_layer().weight) if tokens else 0
        if tokens and max(tokens) >= count:
            what = f"trainable_token_indices names the token {max(tokens)}, but there are only {count}"
            raise adapter.error(what, adapter.merge(max(tokens) + 1))


def _check_whole(name: str, layer: str, shape: Shape, own: Shape | None, adapter: _Context, *, declared: bool) -> None:
    """Check an embedding or head that the adapter brings whole.

    PEFT saves it undeclared where the vocabulary was resized, and beside LoRA of the embedding. It is loaded for this
    adapter only, and has to be the base's own or belong to the adapter's tokenizer.

    Raises:
        UserError: It is undeclared and the adapter's tokenizer has no more tokens than the base's, or tokens lack rows.
    """
    if own is None:  # a copy of single tokens, which is not loaded
        if not adapter.settings.trainable_token_indices:
            raise _undeclared(name, adapter)
        return
    if shape[1:] != own[1:]:
        raise _other_shape(layer, shape, own, adapter)
    folder = adapter.path.parent
    has_tokenizer = (folder / "tokenizer_config.json").is_file()
    base_size = len(load_tokenizer(str(adapter.base.tokenizer)))
    size = len(load_tokenizer(str(folder))) if has_tokenizer else 0
    if shape != own and shape[0] < (size or base_size) and (size > base_size or declared):
        what = f"{layer} has the shape {shape} for {size or base_size} tokens of width {own[-1]}"
        raise adapter.error(f"the adapter is for another base: {what}", adapter.own_base)
    if declared or (adapter.settings.saves(layer) and shape != own):  # which is saved twice then
        return
    if size > base_size or _is_base_weight(name, own, adapter):
        return
    if shape == own:
        raise _undeclared(name, adapter)
    change = "enlarged" if shape[0] > own[0] else "reduced"
    what = f"its vocabulary was {change} by {abs(shape[0] - own[0])} to {shape[0]} rows of {layer}, which"
    if has_tokenizer:
        reason = f"is not declared in adapter_config.json, and its tokenizer has {size} tokens as the base's"
    else:
        reason = "needs its tokenizer, which is not in its folder"
    raise adapter.error(
        f"{what} {reason}", f"copy the tokenizer it was trained with into {folder}, or {adapter.merge(shape[0])}"
    )


def _is_base_weight(name: str, own: Shape, adapter: _Context) -> bool:
    """Whether a weight has the values of one of the base's of this shape, up to the rounding of one of the two."""
    from safetensors import safe_open

    with safe_open(adapter.path, "pt") as opened:
        copy = opened.get_tensor(saved_names({key: key for key in opened.keys()}, adapter.settings)[name])  # noqa: SIM118
    for path in sorted(adapter.base.folder.glob("*.safetensors")):
        with safe_open(path, "pt") as opened:
            for key in opened.keys():  # noqa: SIM118 - no mapping
                if tuple(opened.get_slice(key).get_shape()) == own == tuple(copy.shape):
                    weight = opened.get_tensor(key)
                    if bool((weight == copy.to(weight.dtype)).all()) or bool((weight.to(copy.dtype) == copy).all()):
                        return True
    return False


def _undeclared(name: str, adapter: _Context) -> UserError:
    return adapter.error(
        f"the extra weight {name} is not declared in adapter_config.json; it would overwrite {adapter.base.source} for"
        " all models",
        "save the adapter with PEFT's save_pretrained and its own configuration; weights that it replaces whole"
        " belong into modules_to_save",
    )


def _is_of_tokens(name: str, base: Model) -> bool:
    """Whether a LoRA weight has a row or column for each token."""
    return ".lora_embedding_A" in name or (".lora_B." in name and _layer(name) == architecture(base).head)


def _other_shape(name: str, actual: Shape, wanted: Shape, adapter: _Context) -> UserError:
    return adapter.error(
        f"the adapter is for another base: {name} has the shape {wanted} in {adapter.base.source}, {actual} in the"
        " adapter",
        adapter.own_base,
    )


def _misfit(name: str, actual: Shape, wanted: Shape, adapter: _Context) -> UserError:
    """Error for a weight of the wrong shape, naming the rank, the vocabulary or the base as its cause."""
    layer, part = _layer(name), name.rpartition(f"{_layer(name)}.")[2]
    if len(actual) != len(wanted) or 0 in actual:
        what = f"{layer}.{part} has the shape {actual}, not {wanted}"
        return adapter.error(what, "save the adapter again, with all weights gathered on one device")
    lora = re.match(r"lora_(?:embedding_)?([AB])", part)
    if lora is None:
        return _other_shape(name.removeprefix(PREFIX), actual, wanted, adapter)
    rank_at = "AB".index(lora[1])
    side, at = ("outputs", 0) if rank_at else ("inputs", 1)
    if actual[at] == wanted[at]:
        what = f"{layer} has rank {actual[rank_at]}, where adapter_config.json declares {wanted[rank_at]}"
        return adapter.error(what, "save the adapter again with its own configuration")
    if _is_of_tokens(name, adapter.base):
        what = f"its vocabulary has {actual[at]} rows of {layer}, {adapter.base.source} has {wanted[at]}"
        return adapter.error(
            f"{what}, and its own rows are not in the file",
            f"save it with save_embedding_layers=True and its tokenizer, or {adapter.merge(actual[at])}",
        )
    what = f"{layer} has {side} {wanted[at]} in {adapter.base.source}, {actual[at]} in the adapter"
    return adapter.error(f"the adapter is for another base: {what}", adapter.own_base)


def _check_range(adapter: _Context, scales: Mapping[str, float], dtype: DTypeName) -> None:
    """Check that a dtype can hold the weights and what they change in the base's; one layer is in memory at a time.

    No entry of up @ down is larger than the product of the lengths of a row and a column (Cauchy-Schwarz). Norms square
    what layers give out in float32, so that the square has to fit too.

    Args:
        adapter: The adapter.
        scales: What the product of a layer's LoRA weights is multiplied with, by layer.
        dtype: What it will be scored in.

    Raises:
        UserError: It cannot.
    """
    import torch
    from safetensors import safe_open

    most = min(torch.finfo(torch_dtype(dtype)).max, math.sqrt(torch.finfo(torch.float32).max))
    fix = "train it again, or correct lora_alpha where that is wrong"
    largest = max(map(abs, scales.values()))
    with safe_open(adapter.path, "pt") as opened:
        keys = saved_names({key: key for key in opened.keys()}, adapter.settings)  # noqa: SIM118 - no mapping
        for name, key in keys.items():
            tensor = opened.get_tensor(key).double()
            if tensor.numel() and float(tensor.abs().max()) > most:
                raise adapter.error(f"the weights {key} are too large for {dtype}", fix)
            if ".lora_A." in name or name.endswith(".lora_embedding_A"):
                up = opened.get_tensor(keys[re.sub(r"\.lora_(embedding_)?A", r".lora_\1B", name)]).double()
                layer = _layer(name)
                scale = abs(scales.get(layer, largest))
                change = scale * float(up.norm(dim=1).max() * tensor.norm(dim=0).max())
                if not max(scale, change) <= most:
                    what = f"a scale of {scale:.3g} changes {layer} by up to {change:.3g}, too much for {dtype}"
                    raise adapter.error(what, fix)
