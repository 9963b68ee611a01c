"""Norms and rotary embeddings of training on a CPU, as few passes over their values as they need."""

from __future__ import annotations

from typing import Any

import torch


class Norm(torch.autograd.Function):
    """Root mean square norm in float32 (Zhang and Sennrich 2019), scaled by a frozen weight in the states' own type."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        """`states` [..., width] with a root mean square of 1, times `weight` [width]."""
        wide = states.float()
        inverse = wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(states, weight, inverse)
        return weight * (wide * inverse).to(states.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The gradient of the states."""
        states, weight, inverse = ctx.saved_tensors
        wide, towards = states.float(), (gradient * weight).float()
        along = (towards * wide).mean(-1, keepdim=True).mul_(inverse.pow(3))
        return (towards * inverse).addcmul_(wide, along, value=-1).to(states.dtype), None, None


class Rotation(torch.autograd.Function):
    """Rotary position embeddings (Su et al. 2021) of halves, as in models of the Llama family."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        """`states` [rows, heads, tokens, width] turned by the angles of their positions, [rows, tokens, width]."""
        cosines, sines = cosines.unsqueeze(1), sines.unsqueeze(1)
        ctx.save_for_backward(cosines, sines)
        first, second = sines.chunk(2, -1)
        return _turned(states, cosines, -first, second)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The gradient, turned back."""
        cosines, sines = ctx.saved_tensors
        first, second = sines.chunk(2, -1)
        return _turned(gradient, cosines, second, -first), None, None


def _turned(states: torch.Tensor, cosines: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    output = states * cosines
    half = states.shape[-1] // 2
    output[..., :half].addcmul_(states[..., half:], first)
    output[..., half:].addcmul_(states[..., :half], second)
    return output
