"""A decoding step of models built like Llama, with the small operations of each layer fused.

transformers computes norms, rotary positions, gates and cache writes in about thirty kernels a layer, which take longer
than the arithmetic once a step is recorded as a CUDA graph. Here they are five on a GPU (`step_kernels`), and linear
layers that read the same states are one product.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn import functional

from harness.engines.attention import attend_grouped
from reports.errors import is_failure

if TYPE_CHECKING:
    from harness.engines.key_values import SlotKVCache

_log = logging.getLogger("medbench.decoding")
_DECODER = {"embed_tokens", "layers", "norm", "rotary_emb"}
_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}
_INPUTS, _GATED = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")  # layers that read the same states


class PlainOperations:
    """The operations of a step, by PyTorch's own.

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


class FusedStep:
    """One new token of each row through all layers.

    Args:
        decoder: transformers' decoder, without the layer that makes logits; `fits` must hold.
        operations: What computes its parts; by the device if None.
    """

    def __init__(self, decoder: nn.Module, operations: PlainOperations | None = None) -> None:
        self._decoder: Any = decoder
        self._operations = operations or _operations(decoder)
        self._own = _named(decoder)

    @property
    def reads_lengths(self) -> bool:
        """Whether a step reads of each slot just what its row has."""
        return self._operations.reads_lengths

    def computes_adapters(self) -> bool:
        """Whether the layers of the adapter in place are in the stead of linear layers only, which a step calls."""
        now = _named(self._decoder)
        checked = {name: part for name, part in self._own.items() if not name.endswith("_proj")}
        return all(now.get(name, part if "_proj." in name else None) is part for name, part in checked.items())

    def states(self, tokens: torch.Tensor, positions: torch.Tensor, slots: SlotKVCache, length: int) -> torch.Tensor:
        """Last hidden states, [rows, width], after one new token of each row.

        Args:
            tokens: The new tokens, [rows].
            positions: Their positions, [rows].
            slots: Earlier tokens; the new ones are added.
            length: Above the last position, at most the slots' tokens.
        """
        decoder, compute, rows = self._decoder, self._operations, len(tokens)
        residual = decoder.embed_tokens(tokens[:, None])[:, 0]
        cos, sin = (part.view(rows, -1) for part in decoder.rotary_emb(residual[:, None], positions[:, None]))
        change = None
        for layer, store in zip(decoder.layers, slots.store, strict=True):
            attention = layer.self_attn
            hidden, residual = compute.norm(layer.input_layernorm, residual, change)
            query, key, value = (
                states.view(rows, -1, attention.head_dim) for states in _projected(attention, _INPUTS, hidden)
            )
            if hasattr(attention, "q_norm"):
                query, key = compute.norm(attention.q_norm, query)[0], compute.norm(attention.k_norm, key)[0]
            attended = compute.attend(query, key, value, cos, sin, positions, store, length, attention.scaling)
            hidden, residual = compute.norm(layer.post_attention_layernorm, residual, attention.o_proj(attended))
            change = layer.mlp.down_proj(compute.gate(*_projected(layer.mlp, _GATED, hidden)))
        return compute.norm(decoder.norm, residual, change)[0]


def fits(decoder: nn.Module) -> bool:
    """Whether a decoder has just the parts that a step computes; whether it also scales or skips, its results tell."""
    layers: Any = getattr(decoder, "layers", None)
    return (
        _parts(decoder) == _DECODER
        and isinstance(layers, nn.ModuleList)
        and all(
            _parts(layer) == _LAYER
            and _parts(layer.self_attn) in (_ATTENTION, _ATTENTION | _HEAD_NORMS)
            and _parts(layer.mlp) == _MLP
            and type(layer.mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")
            and getattr(layer.self_attn, "head_dim", 0) == 2 * len(getattr(decoder.rotary_emb, "inv_freq", ()))
            and hasattr(layer.self_attn, "scaling")
            for layer in layers
        )
        and all(
            hasattr(part, "weight") and hasattr(part, "variance_epsilon")
            for name, part in decoder.named_modules()
            if name.endswith("norm")
        )
    )


def pack(model: nn.Module) -> None:
    """Put the weights of linear layers that read the same states next to one another in a GPU's memory.

    They become views of one weight, which changes with them, and which steps use while the layers are in place.
    """
    for parent in model.modules():
        for names in (_INPUTS, _GATED):
            layers: list[Any] = [getattr(parent, name, None) for name in names]
            if all(type(layer) is nn.Linear and layer.weight.is_cuda for layer in layers):
                _pack(parent, layers)


def _pack(parent: nn.Module, layers: list[nn.Linear]) -> None:
    biases = [layer.bias for layer in layers]
    if any(bias is None for bias in biases) and not all(bias is None for bias in biases):
        return
    sizes = [layer.out_features for layer in layers]
    packed = torch.cat([layer.weight.data for layer in layers])
    bias = None if biases[0] is None else torch.cat([part.data for part in biases])
    for number, layer in enumerate(layers):
        layer.weight.data = packed.split(sizes)[number]
        if bias is not None:
            layer.bias.data = bias.split(sizes)[number]
    parent.packed = (packed, bias, sizes)  # type: ignore[assignment]  # a tuple is no parameter


def _projected(parent: Any, names: tuple[str, ...], states: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What linear layers make of the same states: one product where their weights are packed and in place."""
    layers = [getattr(parent, name) for name in names]
    if hasattr(parent, "packed") and all(type(layer) is nn.Linear for layer in layers):
        weight, bias, sizes = parent.packed
        return functional.linear(states, weight, bias).split(sizes, -1)
    return tuple(layer(states) for layer in layers)


def _operations(decoder: nn.Module) -> PlainOperations:
    """The fastest operations for the device."""
    width = cast("Any", decoder).layers[0].self_attn.head_dim
    if next(decoder.parameters()).device.type == "cuda" and width & (width - 1) == 0:
        try:
            from harness.engines.step_kernels import TritonOperations
        except BaseException as error:  # whatever a broken installation raises
            if not is_failure(error):
                raise
            _log.warning("decoding steps use PyTorch's own kernels, since Triton does not work: %s", error)
        else:
            return TritonOperations()
    return PlainOperations()


def _parts(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


def _named(module: nn.Module) -> dict[str, nn.Module | nn.Parameter]:
    return {**dict(module.named_modules()), **dict(module.named_parameters(remove_duplicate=False))}
