"""A decoding step of models built like Llama, with the small operations of each layer fused.

transformers computes norms, rotary positions, gates and cache writes in about thirty kernels a layer, which take longer
than the arithmetic once a step is recorded as a CUDA graph. Here they are four on a GPU: FlashAttention, which PyTorch
brings, with a length for each row, and those of `step_kernels`. Linear layers are the model's own, merged or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from harness.engines.attention import attend_to_slots

if TYPE_CHECKING:
    from harness.engines.key_values import SlotKVCache

_DECODER = {"embed_tokens", "layers", "norm", "rotary_emb"}
_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_GATED = {"gate_proj", "up_proj", "down_proj", "act_fn"}


class FusedStep:
    """One new token of each row through all layers.

    Args:
        decoder: transformers' decoder, without the layer that makes logits; `fits` must hold.
        flash: Whether FlashAttention reads the slots, which then are `SlotKVCache(..., by_token=True)`.
    """

    def __init__(self, decoder: nn.Module, *, flash: bool) -> None:
        self._decoder: Any = decoder
        self.flash = flash
        if next(decoder.parameters()).device.type == "cuda":
            from harness.engines import step_kernels

            self._norm, self._rotate, self._gate = step_kernels.norm, step_kernels.rotate_and_store, step_kernels.gate
        else:
            self._norm, self._rotate, self._gate = _norm, _rotate_and_store, _gate

    @staticmethod
    def fits(decoder: nn.Module) -> bool:
        """Whether a decoder consists of just the parts that a step computes; whether it scales or skips any, only its
        results tell.
        """
        layers = getattr(decoder, "layers", None)
        return (
            _parts(decoder) == _DECODER
            and isinstance(layers, nn.ModuleList)
            and all(
                _parts(layer) == _LAYER
                and _parts(layer.self_attn) in (_ATTENTION, _ATTENTION | _HEAD_NORMS)
                and _parts(layer.mlp) == _GATED
                and isinstance(layer.mlp.act_fn, nn.SiLU)
                and getattr(layer.self_attn, "head_dim", 0) == 2 * len(getattr(decoder.rotary_emb, "inv_freq", ()))
                and hasattr(layer.self_attn, "scaling")
                for layer in layers
            )
            and all(
                hasattr(part, "weight") and hasattr(part, "variance_epsilon")
                for name, part in decoder.named_modules()
                if name.rpartition(".")[2].endswith("norm")
            )
        )

    def states(self, tokens: torch.Tensor, positions: torch.Tensor, slots: SlotKVCache, length: int) -> torch.Tensor:
        """Last hidden states, [rows, width], after one new token of each row.

        Args:
            tokens: The new tokens, [rows].
            positions: Their positions, [rows].
            slots: Earlier tokens; the new ones are added.
            length: Above the last position, at most the slots' tokens.
        """
        decoder, rows = self._decoder, len(tokens)
        residual = decoder.embed_tokens(tokens)
        cos, sin = (part.view(rows, -1) for part in decoder.rotary_emb(residual[:, None], positions[:, None]))
        change = None
        for layer, (keys, values) in zip(decoder.layers, slots.store, strict=True):
            attention, mlp = layer.self_attn, layer.mlp
            hidden, residual = self._norm(layer.input_layernorm, residual, change)
            shape = (rows, -1, keys.shape[-1])
            query, key, value = (
                project(hidden).view(shape) for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            if hasattr(attention, "q_norm"):
                query, key = self._norm(attention.q_norm, query)[0], self._norm(attention.k_norm, key)[0]
            query = self._rotate(query, key, value, cos, sin, positions, keys, values)
            attended = attend_to_slots(query, keys, values, positions, length, attention.scaling, flash=self.flash)
            hidden, residual = self._norm(layer.post_attention_layernorm, residual, attention.o_proj(attended))
            change = mlp.down_proj(self._gate(mlp.gate_proj(hidden), mlp.up_proj(hidden)))
        return self._norm(decoder.norm, residual, change)[0]


def _parts(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


def _norm(layer: Any, residual: torch.Tensor, change: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """RMSNorm of residual + change, and that sum (Zhang and Sennrich 2019)."""
    if change is not None:
        residual = residual + change
    return functional.rms_norm(residual, layer.weight.shape, layer.weight, layer.variance_epsilon), residual


def _rotate_and_store(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> torch.Tensor:
    """The query with its rotary position (Su et al. 2021); writes key and value of [rows, heads, width] into slots."""

    def rotated(states: torch.Tensor) -> torch.Tensor:
        first, second = states.chunk(2, -1)
        return states * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]

    rows = torch.arange(len(positions), device=positions.device)
    keys[rows, :, positions] = rotated(key)
    values[rows, :, positions] = value
    return rotated(query)


def _gate(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """SwiGLU of a layer's two projections (Shazeer 2020)."""
    return functional.silu(gate) * up
