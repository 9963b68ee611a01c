"""Linear layers that have the same input, and their adapters, as one operation with gradients."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.backends.four_bits import dense

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Part:
    """One of the layers.

    Attributes:
        base: The linear layer, dense or in 4 bits.
        down: The adapter's A in the dtype of the products, [rank, inputs].
        up: Its B, [outputs, rank].
    """

    base: Any
    down: torch.Tensor
    up: torch.Tensor

    @property
    def state(self) -> Any:
        """State that bitsandbytes has of the layer's weight if it is in 4 bits."""
        return getattr(self.base.weight, "quant_state", None)

    def dense(self, dtype: torch.dtype) -> torch.Tensor:
        """The layer's weight [outputs, inputs] in a dtype."""
        return dense(self.base.weight, self.state, dtype)


@dataclass(frozen=True)
class How:
    """How an operation computes.

    Attributes:
        downs: The A of all layers, one below the other.
        scale: Of the adapters' part.
        overwrites: Whether nothing else needs the input, so that its gradient can take its place.
        skips: Whether only gradients are needed: the outputs are zeros.
    """

    downs: torch.Tensor
    scale: float
    overwrites: bool = False
    skips: bool = False


def lora_linear(
    x: torch.Tensor,
    dropped: torch.Tensor | None,
    parts: tuple[Part, ...],
    trained: tuple[torch.Tensor, ...],
    how: How,
) -> tuple[torch.Tensor, ...]:
    """`x W' + bias + scale (dropped A') B'` of each layer, with gradients for x, A and B.

    Args:
        x: [..., inputs], in the dtype of the products.
        dropped: The adapters' input, if it is another one.
        parts: The layers.
        trained: A and B of each layer in turn, as they are trained.
        how: How to compute it.
    """
    outputs: tuple[torch.Tensor, ...] = _operation().apply(x, dropped, parts, how, *trained)
    return outputs


@functools.cache
def _operation() -> Any:
    import torch

    class LoraLinear(torch.autograd.Function):
        """Dense weights are made for each product, as bitsandbytes does: inputs and `dropped A'` are all it saves."""

        @staticmethod
        def forward(ctx: Any, x: Any, dropped: Any, parts: Any, how: Any, *_: Any) -> Any:
            rows = x.reshape(-1, x.shape[-1])
            seen = rows if dropped is None else dropped.reshape(rows.shape)
            inner = seen @ how.downs.t()
            if how.scale != 1:
                inner.mul_(how.scale)
            outputs = _products(rows, inner, parts, how)
            ctx.parts, ctx.how, ctx.drops = parts, how, dropped is not None
            ctx.save_for_backward(seen, inner)
            return tuple(output.view(*x.shape[:-1], -1) for output in outputs)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            parts, how = ctx.parts, ctx.how
            seen, inner = ctx.saved_tensors
            rows = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
            ranks = [len(part.down) for part in parts]
            to_inner = inner.new_empty(inner.shape)
            for part, gradient, own in zip(parts, rows, torch.split(to_inner, ranks, 1), strict=True):
                torch.mm(gradient, part.up, out=own)
            if how.scale != 1:
                to_inner.mul_(how.scale)
            trained: list[Any] = [None] * (2 * len(parts))
            if any(ctx.needs_input_grad[4:]):
                trained[::2] = (to_inner.t() @ seen).float().split(ranks)
                trained[1::2] = [
                    (gradient.t() @ own).float()
                    for gradient, own in zip(rows, torch.split(inner, ranks, 1), strict=True)
                ]
            to_x = to_dropped = None
            shape = (*gradients[0].shape[:-1], -1)
            if ctx.needs_input_grad[0]:
                to_x = _back_through(rows, parts, seen if how.overwrites else None)
                if not ctx.drops:
                    to_x.addmm_(to_inner, how.downs)
                to_x = to_x.view(shape)
            if ctx.drops and ctx.needs_input_grad[1]:
                to_dropped = (to_inner @ how.downs).view(shape)
            return to_x, to_dropped, None, None, *trained

    return LoraLinear


def _products(rows: torch.Tensor, inner: torch.Tensor, parts: tuple[Part, ...], how: How) -> list[torch.Tensor]:
    """Output of each layer for `rows` [rows, inputs] and their scaled products with all A."""
    import torch
    from torch.nn.functional import linear

    if how.skips:
        return [rows.new_zeros(len(rows), len(part.up)) for part in parts]
    outputs = []
    for part, own in zip(parts, torch.split(inner, [len(part.down) for part in parts], 1), strict=True):
        bias = None if part.base.bias is None else part.base.bias.to(rows.dtype)
        output = linear(rows, part.dense(rows.dtype), bias)
        outputs.append(output.addmm_(own, part.up.t()))
    return outputs


def _back_through(gradients: list[torch.Tensor], parts: tuple[Part, ...], place: torch.Tensor | None) -> torch.Tensor:
    """Gradient of the layers' input from those of their outputs, in `place` if it has the dtype."""
    import torch

    dtype = gradients[0].dtype
    place = place if place is not None and place.dtype == dtype else None
    result = torch.mm(gradients[0], parts[0].dense(dtype), out=place)
    for part, gradient in zip(parts[1:], gradients[1:], strict=True):
        result.addmm_(gradient, part.dense(dtype))
    return result
