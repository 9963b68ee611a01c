"""The small operations of a decoder built like Llama by PyTorch's functions: norms, positions, gates."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


class PlainOperations:
    """The operations of a decoder, by PyTorch's own.

    Attributes:
        reads_lengths: Whether there is an attention of their own for decoding steps, `attend`, which reads just the
            tokens that each row has, whatever the slots' size.
    """

    reads_lengths = False

    def norm(
        self, layer: Any, residual: torch.Tensor, change: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """RMSNorm of residual + change, and that sum (Zhang and Sennrich 2019)."""
        if change is not None:
            residual = residual + change
        return functional.rms_norm(residual, layer.weight.shape, layer.weight, layer.variance_epsilon), residual

    def rotate(self, states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """States of heads, [rows, heads, width], with their rotary position (Su et al. 2021)."""
        first, second = states.chunk(2, -1)
        return states * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]

    def gate(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """SwiGLU of a layer's two projections, [rows, width] (Shazeer 2020)."""
        return functional.silu(gate) * up
