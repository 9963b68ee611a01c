"""The small operations of a decoder built like Llama by PyTorch's functions: norms, positions, attention, gates."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from harness.engines.attention import attend_grouped


class PlainOperations:
    """The operations of a decoder, by PyTorch's own.

    Attributes:
        reads_lengths: Whether attention reads just the tokens that each row has, whatever the slots' size.
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

    def attend(  # noqa: PLR0913, PLR0917 - what attention needs
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        positions: torch.Tensor,
        slots: tuple[torch.Tensor, torch.Tensor],
        length: int,
        scaling: float,
    ) -> torch.Tensor:
        """Add keys and values at their positions to the slots, and attend to all up to there.

        Args:
            query: [rows, heads, width], without its rotary position.
            key: [rows, key heads, width], likewise.
            value: [rows, key heads, width].
            cos: Of the rotary positions, [rows, width].
            sin: Likewise.
            positions: Of the new tokens, [rows].
            slots: Keys and values of the layer, each [slots, key heads, tokens, width]; those of the rows first.
            length: Above the last position.
            scaling: Of the scores.

        Returns:
            [rows, heads * width].
        """
        rows = torch.arange(len(positions), device=positions.device)
        slots[0][rows, :, positions] = self.rotate(key, cos, sin)
        slots[1][rows, :, positions] = value
        keys, values = (states[: len(rows), :, :length] for states in slots)
        mask = (torch.arange(length, device=positions.device) <= positions[:, None])[:, None, None]
        return attend_grouped(self.rotate(query, cos, sin), keys, values, mask, scaling)

    def gate(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """SwiGLU of a layer's two projections, [rows, width] (Shazeer 2020)."""
        return functional.silu(gate) * up
