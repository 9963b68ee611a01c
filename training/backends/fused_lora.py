"""Computes a linear layer and its adapter as one operation, with the adapter cast to 16 bits once per step.

PEFT copies the layer's output, scales the adapter's and adds the two, and autocast casts the adapter's weights and
gradients again for every batch: more memory traffic than arithmetic, and most of the operations of a small model.
The weights that are clipped, optimised and saved stay in float32, and so does the sum of a step's gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from training.backends.job import Job
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
        trainer.add_callback(_fusing(layers, torch_dtype(job.dtype)))


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


def _fusing(layers: list[Any], dtype: torch.dtype) -> Any:
    """Callback that fuses layers when training begins, updates the cast weights, and undoes it when it ends."""
    import torch
    from transformers import TrainerCallback

    weights = [part[layer.active_adapters[0]].weight for layer in layers for part in (layer.lora_A, layer.lora_B)]
    copies: list[torch.Tensor] = []

    class Fusing(TrainerCallback):  # type: ignore[misc]
        """Has copies after a checkpoint is loaded and until the best adapter is."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            copies.extend(weight.detach().to(dtype) for weight in weights)
            for layer, down, up in zip(layers, copies[::2], copies[1::2], strict=True):
                layer.forward = functools.partial(_forward, layer, type(layer).forward, down, up)
                layer.skips_product = False

        @torch.no_grad()
        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            torch._foreach_copy_(copies, weights)

        def on_train_end(self, *_: Any, **__: Any) -> None:
            copies.clear()
            for layer in layers:
                del layer.forward, layer.skips_product

    return Fusing()


def _forward(
    layer: Any, unfused: Any, down: torch.Tensor, up: torch.Tensor, x: torch.Tensor, *args: Any, **further: Any
) -> Any:
    """A fused layer's forward; PEFT's own where the adapter is off, merged or given by row."""
    if layer.disable_adapters or layer.merged or args or further:
        plain: torch.Tensor = unfused(layer, x, *args, **further)
        return plain
    adapter = layer.active_adapters[0]
    base, dropout = layer.get_base_layer(), layer.lora_dropout[adapter]
    inputs = x if x.dtype == down.dtype else x.to(down.dtype)
    dropped = dropout(inputs) if dropout.training and getattr(dropout, "p", 0.0) else None
    weights = (base.weight, getattr(base.weight, "quant_state", None), base.bias)
    how = (dropped is None and getattr(inputs, "is_last_use", False), layer.skips_product)
    trained = (layer.lora_A[adapter].weight, layer.lora_B[adapter].weight)
    output: torch.Tensor = _operation().apply(
        inputs, dropped, *trained, (weights, down, up, layer.scaling[adapter], how)
    )
    return output if output.dtype == x.dtype or weights[1] is None else output.to(x.dtype)


def _dense(weight: torch.Tensor, state: Any, dtype: torch.dtype) -> torch.Tensor:
    """A layer's weight [outputs, inputs] in a dtype, from 4 bits if it is quantised."""
    if state is None:
        return weight if weight.dtype == dtype else weight.to(dtype)
    from bitsandbytes.functional import dequantize_4bit

    dense: torch.Tensor = dequantize_4bit(weight.data.view(-1, 1), state)
    return dense.to(dtype)


@functools.cache
def _operation() -> Any:
    import torch

    class LoraLinear(torch.autograd.Function):
        """`x W' + bias + scale (dropped A') B'`, with gradients for x, A and B.

        The dense weight is made for each product, as bitsandbytes does, so only inputs and `dropped A'` are saved.
        Where nothing else needs x, its gradient takes its place. Zeros are the output where only gradients are needed.
        """

        @staticmethod
        def forward(ctx: Any, x: Any, dropped: Any, a: Any, b: Any, fixed: Any) -> Any:  # noqa: ARG004
            (weight, state, bias), down, up, scale, (_, skips) = fixed
            rows = x.reshape(-1, x.shape[-1])
            seen = rows if dropped is None else dropped.reshape(rows.shape)
            inner = seen @ down.t()
            if skips:
                output = rows.new_zeros(len(rows), len(up))
            else:
                bias = None if bias is None else bias.to(rows.dtype)
                output = torch.nn.functional.linear(rows, _dense(weight, state, rows.dtype), bias)
                output.addmm_(inner, up.t(), alpha=scale)
            ctx.fixed, ctx.drops = fixed, dropped is not None
            ctx.save_for_backward(seen, inner)
            return output.view(*x.shape[:-1], -1)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (weight, state, _), down, up, scale, (overwrites, _) = ctx.fixed
            seen, inner = ctx.saved_tensors
            rows = gradient.reshape(-1, gradient.shape[-1])
            to_inner = (rows @ up).mul_(scale)
            to_up = (rows.t() @ inner).mul_(scale).float() if ctx.needs_input_grad[3] else None
            to_down = (to_inner.t() @ seen).float() if ctx.needs_input_grad[2] else None
            to_x = to_dropped = None
            if ctx.needs_input_grad[0]:
                place = seen if overwrites and seen.dtype == rows.dtype else None
                to_x = torch.mm(rows, _dense(weight, state, rows.dtype), out=place)
                if not ctx.drops:
                    to_x.addmm_(to_inner, down)
                to_x = to_x.view(*gradient.shape[:-1], -1)
            if ctx.drops and ctx.needs_input_grad[1]:
                to_dropped = (to_inner @ down).view(*gradient.shape[:-1], -1)
            return to_x, to_dropped, to_down, to_up, None

    return LoraLinear
