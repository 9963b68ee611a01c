"""Weights of linear layers as their device multiplies fastest, made of the weights that adapters are merged into.

Layers that read the same states are one product. On a CPU in bfloat16 the weights are also kept in the order in which
oneDNN reads them: a product with 20 rows takes about two thirds of the time. Intel's cores without AMX, which some
virtual machines hide, multiply in bfloat16 at half the speed of float32: there the copies are in float32, and products
are rounded to bfloat16 once, as they are after a sum in float32 of either.
"""

from __future__ import annotations

import functools
import platform
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training.models.architecture import GATED, INPUTS
from training.models.device import Device

_SHARE = 0.25  # of a CPU's free memory that copies of weights may take


def pack(model: nn.Module) -> None:
    """Put the weights of linear layers that read the same states next to one another, where that makes them faster.

    They become views of one weight, which changes with them, and which is used while the layers are in place.
    """
    for parent in model.modules():
        for names in (INPUTS, GATED):
            layers: list[Any] = [getattr(parent, name, None) for name in names]
            if all(type(layer) is nn.Linear for layer in layers) and all(
                layer.weight.is_cuda or _can_reorder(layer.weight) for layer in layers
            ):
                _pack(parent, layers)


def _can_reorder(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and _has_onednn()


@functools.cache
def _has_onednn() -> bool:
    """Whether oneDNN multiplies in bfloat16 on this CPU; on others than those of Intel and AMD it is untested."""
    operations = torch.ops.mkldnn
    names = ("_is_mkldnn_bf16_supported", "_reorder_linear_weight", "_linear_pointwise")
    is_tested = platform.machine() == "x86_64" and all(hasattr(operations, name) for name in names)
    return is_tested and bool(operations._is_mkldnn_bf16_supported())  # noqa: SLF001


@functools.cache
def _is_faster_in_float32() -> bool:
    """Whether this CPU multiplies faster in float32 than in bfloat16."""
    describe = getattr(torch.cpu, "get_capabilities", None)
    capabilities = {} if describe is None else describe()
    return "Intel" in capabilities.get("cpu_name", "") and not capabilities.get("amx_bf16", True)


def _is_plain(layer: Any) -> bool:
    """Whether a layer computes a linear product and nothing else."""
    hooks = (layer._forward_pre_hooks, layer._forward_hooks)  # noqa: SLF001 - PyTorch has no public name for them
    return type(layer) is nn.Linear and "forward" not in vars(layer) and not any(hooks)


def _pack(parent: nn.Module, layers: list[nn.Linear]) -> None:
    biases = [layer.bias for layer in layers]
    if any(bias is None for bias in biases) and not all(bias is None for bias in biases):
        return
    sizes = [layer.out_features for layer in layers]
    packed = torch.cat([layer.weight.data for layer in layers])
    bias = None if biases[0] is None else torch.cat([part.data for part in biases])
    for number, layer in enumerate(layers):
        layer.weight.data = torch.split(packed, sizes)[number]
        if bias is not None:
            layer.bias.data = torch.split(bias, sizes)[number]
    vars(parent)["packed"] = (packed, bias, sizes)


class Products:
    """Computes a model's linear layers.

    Args:
        model: The model, packed or not; the copies that its weights need on a CPU must fit into a quarter of the
            memory that is left.
        in_float32: Whether products in bfloat16 are computed in float32 on a CPU; None for where that is faster.
    """

    def __init__(self, model: nn.Module, *, in_float32: bool | None = None) -> None:
        in_float32 = _is_faster_in_float32() if in_float32 is None else in_float32
        self._dtype = torch.float32 if in_float32 else torch.bfloat16  # of copies
        layers = [part for part in model.modules() if type(part) is nn.Linear]
        copied = sum(layer.weight.numel() * self._dtype.itemsize for layer in layers if _can_reorder(layer.weight))
        self._reorders = 0 < copied <= _SHARE * Device().available_memory()
        self._reordered: dict[int, torch.Tensor] = {}  # by the id of the weight, which the model keeps

    def of_layer(self, layer: nn.Module, states: torch.Tensor) -> torch.Tensor:
        """What a layer makes of states, [..., inputs]."""
        if self._reorders and _is_plain(layer):
            return self._product(states, layer.weight, layer.bias)
        output: torch.Tensor = layer(states)
        return output

    def of_layers(self, parent: Any, names: tuple[str, ...], states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What layers make of the same states: one product where their weights are packed and in place."""
        layers = [getattr(parent, name) for name in names]
        if hasattr(parent, "packed") and all(map(_is_plain, layers)):
            weight, bias, sizes = parent.packed
            return torch.split(self._product(states, weight, bias), sizes, -1)
        return tuple(self.of_layer(layer, states) for layer in layers)

    def forget(self) -> None:
        """Take notice of other values in the weights."""
        self._reordered.clear()

    def _product(self, states: torch.Tensor, weight: Any, bias: Any) -> torch.Tensor:
        if not (self._reorders and _can_reorder(weight) and states.dtype == weight.dtype):
            return functional.linear(states, weight, bias)
        operations, dtype = torch.ops.mkldnn, self._dtype
        if id(weight) not in self._reordered:
            values = weight.detach().to(dtype)
            self._reordered[id(weight)] = operations._reorder_linear_weight(values, None)  # noqa: SLF001
        reordered, bias = self._reordered[id(weight)], None if bias is None else bias.to(dtype)
        product = operations._linear_pointwise(states.to(dtype), reordered, bias, "none", [], "")  # noqa: SLF001
        output: torch.Tensor = product.to(states.dtype)
        return output
