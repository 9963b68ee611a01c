"""An adapter's layers as PEFT builds them, which stand in for the base's own while the adapter computes.

The base's modules and parameters are put aside and never written to, so that it is the same to the bit afterwards.
"""

from __future__ import annotations

import contextlib
import copy
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from reports.errors import UserError, first_line, is_failure
from training.models.loading import quiet_bitsandbytes

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from torch import nn

    from training.models.adapter_config import LoraSettings

PREFIX = "base_model.model."  # of all names that PEFT saves
ADAPTER = "default"  # PEFT's name of the only adapter in a model
_RAW_NAME = re.compile(r"\.lora_(?:embedding_)?A\.(\w+)(?:\.weight)?$")  # as in `lora_A.default.weight`
_MAGNITUDE = ".lora_magnitude_vector."
_SAVED_NAME = re.compile(r"\.lora_(?:A\.weight|embedding_A)$")
# What PEFT puts between the name of an embedding and that of its weight when it saves all of it.
_WRAPPERS = ("token_adapter.base_layer.", "base_layer.", "original_module.", "", "modules_to_save.")
TOKENS = "token_adapter.trainable_tokens_delta"  # which it saves twice where embedding and head are tied
_T = TypeVar("_T")


class LayerSwap:
    """What a block of code replaces in a model: modules and parameters. The model is the base again after the block.

    Example:
        with LayerSwap(model) as swap:
            attach(model, settings, weights)
        swap.put_in()  # the model computes as the adapter
        swap.take_out()  # and as the base
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._base = list(_parts(model))
        self._own: list[tuple[nn.Module, str, Any]] = []

    def __enter__(self) -> Self:
        """Begin to notice what is replaced."""
        return self

    def __exit__(self, *_: object) -> None:
        """Put the base's own modules and parameters back."""
        self._base = [(owner, name, part) for owner, name, part in self._base if getattr(owner, name) is not part]
        self._own = [(owner, name, getattr(owner, name)) for owner, name, _ in self._base]
        self.take_out()
        vars(self._model).pop("peft_config", None)  # which PEFT leaves behind

    @property
    def own(self) -> dict[str, Any]:
        """The adapter's modules and parameters, by the names of those in whose place they stand."""
        paths = {module: path for path, module in self._model.named_modules()}
        return {f"{paths[owner]}.{name}".lstrip("."): part for owner, name, part in self._own}

    def put_in(self) -> None:
        """Let the model compute as the adapter."""
        for owner, name, part in self._own:
            setattr(owner, name, part)

    def take_out(self) -> None:
        """Let the model compute as the base."""
        for owner, name, part in self._base:
            setattr(owner, name, part)


def _parts(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    for module in model.modules():
        for name, child in module.named_children():
            yield module, name, child
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            yield module, name, parameter


def attach(model: Any, settings: LoraSettings, weights: Mapping[str, torch.Tensor], folder: Path) -> PeftModel:
    """Put an adapter's layers into a model, with their weights not loaded yet.

    Args:
        model: The base; on the meta device, nothing is allocated.
        settings: The adapter's.
        weights: The adapter's by their saved names, for embeddings that it brings whole.
        folder: The adapter's, for messages.

    Raises:
        UserError: PEFT cannot build them for this base.
    """
    with quiet_bitsandbytes():
        from peft import LoraConfig, PeftModel

    _bring_embeddings(model, settings, weights)
    with _reporting(folder):
        config = LoraConfig(**settings.peft_arguments())
        return PeftModel(model, config, ADAPTER, low_cpu_mem_usage=model.device.type == "meta").eval()


def load_weights(model: Any, settings: LoraSettings, weights: Mapping[str, torch.Tensor], folder: Path) -> PeftModel:
    """Put an adapter's layers with their weights into a model, without writing to the model's own parameters.

    Args:
        model: The base.
        settings: The adapter's.
        weights: The adapter's by their saved names.
        folder: The adapter's, for messages.

    Raises:
        UserError: PEFT cannot load it.
    """
    import torch
    from peft import set_peft_model_state_dict

    copies = whole_embeddings(model, weights)
    wrapped = attach(model, settings, weights, folder)
    wanted, parameters = wanted_weights(wrapped), dict(wrapped.named_parameters())
    for name in wanted.keys() & parameters.keys():  # biases of the base, which PEFT trains in place
        owner, _, leaf = name.rpartition(".")
        own = torch.nn.Parameter(parameters[name].detach().clone(), requires_grad=False)
        setattr(wrapped.get_submodule(owner), leaf, own)
    with _reporting(folder):
        own_weights = {name: tensor for name, tensor in weights.items() if name in wanted or name not in copies}
        set_peft_model_state_dict(wrapped, own_weights, ADAPTER)
    _merge_tokens(wrapped)
    return wrapped


def wanted_weights(wrapped: PeftModel) -> dict[str, torch.Tensor]:
    """The weights of an attached adapter by their saved names: all that PEFT saves of it, and nothing else."""
    from peft import get_peft_model_state_dict

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(get_peft_model_state_dict(wrapped, adapter_name=ADAPTER, save_embedding_layers=False))


def layer_scales(wrapped: PeftModel) -> dict[str, float]:
    """What the product of a layer's LoRA weights is multiplied with, by layer (Hu et al. 2021, Kalajdzievski 2023)."""
    from peft.tuners.lora import LoraLayer

    layers = {name.removeprefix(PREFIX): layer for name, layer in wrapped.named_modules()}
    return {name: layer.scaling[ADAPTER] for name, layer in layers.items() if isinstance(layer, LoraLayer)}


def converted_weights(wrapped: PeftModel, weights: Mapping[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """An adapter's weights by the saved names of its layers in the installed transformers.

    Versions of transformers differ in the names of layers, as those of Gemma 3, and in how experts are stacked.
    """
    from peft.utils.transformers_weight_conversion import convert_peft_adapter_state_dict_for_transformers

    with _reporting(folder):
        config = wrapped.peft_config[ADAPTER]
        return dict(convert_peft_adapter_state_dict_for_transformers(wrapped, config, dict(weights), ADAPTER))


def saved_names(weights: Mapping[str, _T], settings: LoraSettings) -> dict[str, _T]:
    """Weights by the names that `save_pretrained` gives them, also if they have the names of a raw state dict.

    The latter contain the adapter's name, such as in `lora_A.default.weight`.
    """
    raw = {match[1] for match in map(_RAW_NAME.search, weights) if match and not _SAVED_NAME.search(match[0])}
    if len(raw) == 1 and not any(map(_SAVED_NAME.search, weights)):
        pattern = re.compile(rf"(?:\.modules_to_save)?\.{raw.pop()}(?=\.\w+$|$)")
        saved = {pattern.sub("", name): value for name, value in weights.items()}
        weights = saved if len(saved) == len(weights) else weights
    if settings.use_dora:  # as PEFT names them in memory
        saved = {name.removesuffix(".weight") if _MAGNITUDE in name else name: value for name, value in weights.items()}
        weights = saved if len(saved) == len(weights) else weights
    return dict(weights)


def whole_embeddings(model: Any, names: Collection[str]) -> dict[str, str]:
    """Name of the layer by name of the weight, for weights of embeddings and heads that are no LoRA weights."""
    return {
        name: layer
        for layer, module in _embedding_layers(model).items()
        for leaf in (
            TOKENS,
            *(f"{wrapper}{leaf}" for wrapper in _WRAPPERS for leaf, _ in module.named_parameters(recurse=False)),
        )
        if (name := f"{PREFIX}{layer}.{leaf}") in names
    }


def _embedding_layers(model: Any) -> dict[str, Any]:
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return {name: module for name, module in model.named_modules() if any(module is layer for layer in layers)}


def _bring_embeddings(model: Any, settings: LoraSettings, weights: Mapping[str, torch.Tensor]) -> None:
    """Replace embeddings by those that an adapter brings whole, where they differ from the model's."""
    from torch.nn import Parameter

    layers = _embedding_layers(model)
    brought: dict[str, Parameter] = {}
    for name, layer in layers.items():
        saved = [f"{PREFIX}{name}.{wrapper}weight" for wrapper in _WRAPPERS]
        weight = next((weights[key] for key in saved if key in weights), None)
        if weight is None or weight.shape[1:] != layer.weight.shape[1:] or weight.ndim == 0:
            continue
        if weight.shape != layer.weight.shape or not _is_same(weight, layer, name, settings):
            brought[name] = Parameter(weight.to(layer.weight), requires_grad=False)
    first = next(iter(brought.values()), None)
    is_tied = len({id(layer.weight) for layer in layers.values()}) < len(layers)
    if is_tied and first is not None and (first.is_meta or all(weight.equal(first) for weight in brought.values())):
        brought = dict.fromkeys(layers, first)
    for name, weight in brought.items():
        bias = weights.get(f"{PREFIX}{name}.bias")
        model.set_submodule(name, _with_parameters(layers[name], weight, bias))


def _is_same(weight: torch.Tensor, layer: Any, name: str, settings: LoraSettings) -> bool:
    """Whether a weight of the layer's shape is the layer's own, or one that PEFT loads beside it."""
    if weight.is_meta or settings.saves(name):
        return True
    return bool((weight.to(layer.weight) == layer.weight).all())


def _merge_tokens(wrapped: PeftModel) -> None:
    """Write tokens that were trained one by one into a copy of the embedding, which PEFT makes in every pass."""
    from peft.utils import TrainableTokensWrapper
    from torch.nn import Parameter

    merged: dict[int, Parameter] = {}  # tied layers share one
    for name, module in list(wrapped.named_modules()):
        if isinstance(module, TrainableTokensWrapper):
            layer = module.token_adapter.get_base_layer()
            if id(layer.weight) not in merged:
                weight = module.token_adapter.get_merged_weights([ADAPTER]).detach()
                merged[id(layer.weight)] = Parameter(weight, requires_grad=False)
            wrapped.set_submodule(name, _with_parameters(layer, merged[id(layer.weight)], None))


def _with_parameters(layer: Any, weight: torch.nn.Parameter, bias: torch.Tensor | None) -> Any:
    """A copy of an embedding or head with another weight, and bias if given; nothing of the layer's own is copied."""
    from torch.nn import Parameter

    memo = {id(parameter): parameter for parameter in layer.parameters(recurse=False)}
    memo[id(layer.weight)] = weight
    if bias is not None:
        memo[id(layer.bias)] = Parameter(bias.to(layer.bias), requires_grad=False)
    own = copy.deepcopy(layer, memo)
    for attribute in ("num_embeddings", "out_features"):
        if hasattr(own, attribute):
            setattr(own, attribute, len(weight))
    return own


@contextlib.contextmanager
def _reporting(folder: Path) -> Iterator[None]:
    """Turn what PEFT raises over an adapter into one message; its warnings are about training and merging."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, torch.OutOfMemoryError):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise UserError(
            f"PEFT cannot load this adapter: {first_line(error)[:300]}",
            where=str(folder),
            fix="save it again with PEFT's save_pretrained, or correct its adapter_config.json",
        ) from error
