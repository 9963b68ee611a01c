"""Computes a linear layer and its adapter as one operation, with the adapter cast to 16 bits once per step.

PEFT copies the layer's output, scales the adapter's and adds the two, and autocast casts the adapter's weights and
gradients again for every batch: more memory traffic than arithmetic, and most of the operations of a small model.
On a GPU the layers that get the same input, such as queries, keys and values, are one operation.
The weights that are clipped, optimised and saved stay in float32, and so does the sum of a step's gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from training.backends.job import Job
from training.backends.lora_operation import How, Part, lora_linear
from training.models.architecture import GATED, INPUTS
from training.models.device import torch_dtype
from training.models.loading import quiet_bitsandbytes
from training.processes import is_sharded

if TYPE_CHECKING:
    import torch


def fuse_lora(trainer: Any, job: Job) -> None:
    """Let a trainer's LoRA layers compute as one operation while it trains.

    Weights that FSDP shards are only whole within its own forward, so their layers stay as they are.

    Args:
        trainer: Trainer of a float32 adapter.
        job: Its job.
    """
    if is_sharded():
        return
    layers = [layer for layer in _lora_layers(trainer.model) if _is_plain(layer)]
    if layers:
        joins = job.device.supports_kernel_packages
        groups = list(_groups(trainer.model, layers)) if joins else [[layer] for layer in layers]
        trainer.add_callback(_fusing(groups, torch_dtype(job.dtype)))


def _lora_layers(model: Any) -> Iterator[Any]:
    with quiet_bitsandbytes():
        from peft.tuners.lora import LoraLayer

    return (module for module in model.modules() if isinstance(module, LoraLayer))


def _is_plain(layer: Any) -> bool:
    """Whether a layer is a linear one, dense or in 4 bits, with one ordinary adapter."""
    from torch.nn import Linear

    base = layer.get_base_layer()
    is_4bit = hasattr(base, "quant_state") and hasattr(base, "compute_dtype")
    adapters = [*layer.active_adapters]
    return (
        (is_4bit or type(base) is Linear)
        and len(adapters) == 1
        and not layer.lora_variant
        and not layer.fan_in_fan_out
        and all(
            type(part) is Linear and part.bias is None
            for part in (layer.lora_A[adapters[0]], layer.lora_B[adapters[0]])
        )
    )


def _groups(model: Any, layers: Sequence[Any]) -> Iterator[list[Any]]:
    """The layers, those together that get the same input, by their names."""
    left = dict.fromkeys(layers)
    for module in model.modules():
        for names in (INPUTS, GATED):
            group = [layer for name in names if (layer := getattr(module, name, None)) in left]
            if len(group) > 1 and _can_join(group):
                for layer in group:
                    del left[layer]
                yield group
    yield from ([layer] for layer in left)


def _can_join(layers: Sequence[Any]) -> bool:
    """Whether layers in 4 bits are of one width, have no dropout, and have one scale."""
    first = layers[0]
    return all(
        hasattr(layer.get_base_layer(), "quant_state")
        and layer.in_features == first.in_features
        and layer.scaling[layer.active_adapters[0]] == first.scaling[first.active_adapters[0]]
        and not getattr(layer.lora_dropout[layer.active_adapters[0]], "p", 0.0)
        for layer in layers
    )


def _fusing(groups: Sequence[Sequence[Any]], dtype: torch.dtype) -> Any:
    """Callback that fuses layers when training begins, updates the cast weights, and undoes it when it ends."""
    import torch
    from transformers import TrainerCallback

    fused = [_Fused(group, dtype) for group in groups]

    class Fusing(TrainerCallback):  # type: ignore[misc]
        """Has copies after a checkpoint is loaded and until the best adapter is."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            for group in fused:
                group.begin()

        @torch.no_grad()
        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            copies = [copy for group in fused for part in group.parts for copy in (part.down, part.up)]
            torch._foreach_copy_(copies, [weight for group in fused for weight in group.trained])

        def on_train_end(self, *_: Any, **__: Any) -> None:
            for group in fused:
                group.end()

    return Fusing()


class _Fused:
    """Layers with the same input: the first that is called computes all, and the others take what is theirs."""

    def __init__(self, layers: Sequence[Any], dtype: torch.dtype) -> None:
        self._layers, self._dtype = layers, dtype
        self._input: Any = None  # that of the outputs which were not taken yet, and its version
        self._outputs: dict[Any, torch.Tensor] = {}
        self._is_joint = len(layers) > 1
        self._downs: Any = None
        self.parts: tuple[Part, ...] = ()
        adapters = [layer.active_adapters[0] for layer in layers]
        self.trained = tuple(
            part[adapter].weight
            for layer, adapter in zip(layers, adapters, strict=True)
            for part in (layer.lora_A, layer.lora_B)
        )
        self._scale = layers[0].scaling[adapters[0]]
        self._dropout = layers[0].lora_dropout[adapters[0]]

    def begin(self) -> None:
        """Replace the layers' forward."""
        import torch

        self._downs = torch.cat([weight.detach().to(self._dtype) for weight in self.trained[::2]])
        downs = torch.split(self._downs, [len(weight) for weight in self.trained[::2]])
        ups = [weight.detach().to(self._dtype) for weight in self.trained[1::2]]
        bases = [layer.get_base_layer() for layer in self._layers]
        self.parts = tuple(Part(*part) for part in zip(bases, downs, ups, strict=True))
        for layer in self._layers:
            layer.forward = functools.partial(self._forward, layer)
            layer.skips_product = False

    def end(self) -> None:
        """Give the layers their own forward back."""
        self.parts, self._downs = (), None
        self._forget()
        for layer in self._layers:
            del layer.forward, layer.skips_product

    def _forward(self, layer: Any, x: torch.Tensor, *args: Any, **further: Any) -> torch.Tensor:
        """A fused layer's forward; PEFT's own where the adapter is off, merged or given by row."""
        output: torch.Tensor
        if layer.disable_adapters or layer.merged or args or further:
            output = type(layer).forward(layer, x, *args, **further)
            return output
        inputs = x if x.dtype == self._dtype else x.to(self._dtype)
        output = self._joint(layer, x, inputs) if self._is_joint else self._own(layer, inputs)
        is_dense = self.parts[0].state is None
        return output if output.dtype == x.dtype or is_dense else output.to(x.dtype)

    def _own(self, layer: Any, inputs: torch.Tensor) -> torch.Tensor:
        """Output of one layer."""
        place = self._layers.index(layer)
        part, trained = self.parts[place], self.trained[2 * place : 2 * place + 2]
        dropped = self._dropout(inputs) if self._dropout.training and getattr(self._dropout, "p", 0.0) else None
        overwrites = dropped is None and getattr(inputs, "is_last_use", False)
        how = How(part.down, self._scale, overwrites=overwrites, skips=layer.skips_product)
        return lora_linear(inputs, dropped, (part,), trained, how)[0]

    def _joint(self, layer: Any, x: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Output of a layer for `x`, in the dtype of the products `inputs`; computed with the others' or before."""
        if x.is_inference():  # such a tensor has no version, by which a change is noticed
            return self._own(layer, inputs)
        version = x._version  # noqa: SLF001 - PyTorch has no public name for it
        if self._outputs and (self._input[0] is not x or self._input[1] != version or layer not in self._outputs):
            self._is_joint = False  # they do not get the same input
            self._forget()
            return self._own(layer, inputs)
        if not self._outputs:
            outputs = lora_linear(inputs, None, self.parts, self.trained, How(self._downs, self._scale))
            self._input, self._outputs = (x, version), dict(zip(self._layers, outputs, strict=True))
        output = self._outputs.pop(layer)
        if not self._outputs:
            self._forget()
        return output

    def _forget(self) -> None:
        """Let go of the input and of outputs that were not taken."""
        self._input = None
        self._outputs.clear()
