"""The decoder of models built like Llama, with the small operations of each layer fused.

transformers computes norms, rotary positions, gates and cache writes in about thirty kernels a layer, which in a
decoding step take longer than the arithmetic. Here they are five on a GPU (`fused_kernels`), and linear layers that
read the same states are one product.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from harness.engines.attention import attend
from harness.engines.packed_weights import Products
from harness.engines.plain_operations import PlainOperations
from reports.errors import is_failure
from training.models.architecture import GATED, INPUTS

if TYPE_CHECKING:
    from transformers import Cache

    from harness.engines.key_values import PrefixKVCache, SlotKVCache

_log = logging.getLogger("medbench.decoding")
_DECODER = {"embed_tokens", "layers", "norm", "rotary_emb"}
_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}


class FusedDecoder:
    """Passes over rows, and decoding steps.

    Args:
        decoder: transformers' decoder, without the layer that makes logits; `fits` must hold.
        products: What computes its linear layers.
        operations: What computes the others; by the device if None.
    """

    def __init__(self, decoder: nn.Module, products: Products, operations: PlainOperations | None = None) -> None:
        self._decoder: Any = decoder
        self._products = products
        self._compute: Any = operations or _operations(decoder)
        self._own = _named(decoder)

    @property
    def reads_lengths(self) -> bool:
        """Whether a step reads of each slot just what its row has."""
        return bool(self._compute.reads_lengths)

    def computes_adapters(self) -> bool:
        """Whether the layers of the adapter in place are in the stead of linear layers only, which are called."""
        now = _named(self._decoder)
        checked = {name: part for name, part in self._own.items() if not name.endswith("_proj")}
        return all(now.get(name, part if "_proj." in name else None) is part for name, part in checked.items())

    def rows(self, ids: torch.Tensor, kept: PrefixKVCache | None) -> torch.Tensor:
        """Last hidden states of rows, [rows, tokens, width].

        Args:
            ids: Token ids, [rows, tokens], padded on the right.
            kept: Keeps keys and values for later passes, and has those of earlier ones.
        """
        new = ids.shape[1]
        mask = kept.mask(new) if kept is not None else None
        positions = kept.positions(new) if kept is not None else None
        if positions is None:
            positions = torch.arange(new, device=ids.device)[None]
        return self._pass(ids, positions, mask, kept)

    def step(self, tokens: torch.Tensor, positions: torch.Tensor, slots: SlotKVCache, length: int) -> torch.Tensor:
        """Last hidden states, [rows, width], after one new token of each row.

        Args:
            tokens: The new tokens, [rows].
            positions: Their positions, [rows].
            slots: Earlier tokens; the new ones are added.
            length: Above the last position, at most the slots' tokens.
        """
        if not self.reads_lengths:
            return self._pass(tokens[:, None], positions[:, None], slots.step(positions, length), slots)[:, 0]
        residual = self._decoder.embed_tokens(tokens[:, None])
        cos, sin = (part[:, 0] for part in self._decoder.rotary_emb(residual, positions[:, None]))

        def attention(layer: Any, number: int, *states: torch.Tensor) -> torch.Tensor:
            attended: torch.Tensor = self._compute.attend(
                *states, cos, sin, positions, slots.store[number], layer.scaling
            )
            return attended

        return self._layers(residual[:, 0], attention)

    def _pass(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None, kept: Cache | None
    ) -> torch.Tensor:
        """Last hidden states of `ids` [rows, tokens] at `positions` [rows or 1, tokens], [rows, tokens, width]."""
        (rows, new), compute = ids.shape, self._compute
        residual = self._decoder.embed_tokens(ids)
        cos, sin = (
            part.expand(rows, -1, -1).flatten(0, 1).contiguous()
            for part in self._decoder.rotary_emb(residual, positions)
        )

        def attention(layer: Any, number: int, query: torch.Tensor, *states: torch.Tensor) -> torch.Tensor:
            query, key = (compute.rotate(states, cos, sin) for states in (query, states[0]))
            query, key, value = (
                torch.unflatten(part, 0, (rows, new)).transpose(1, 2) for part in (query, key, states[1])
            )
            if kept is not None:
                key, value = kept.update(key.contiguous(), value.contiguous(), number)
            return attend(layer, query, key, value, mask, layer.scaling)[0].reshape(rows * new, -1)

        return torch.unflatten(self._layers(residual.flatten(0, 1), attention), 0, (rows, new))

    def _layers(self, residual: torch.Tensor, attention: Callable[..., torch.Tensor]) -> torch.Tensor:
        """All layers over states [n, width]; `attention` gets a layer's, its number, query, key and value by heads."""
        compute, products, change = self._compute, self._products, None
        for number, layer in enumerate(self._decoder.layers):
            own = layer.self_attn
            hidden, residual = compute.norm(layer.input_layernorm, residual, change)
            query, key, value = (
                torch.unflatten(part, -1, (-1, own.head_dim)) for part in products.of_layers(own, INPUTS, hidden)
            )
            if hasattr(own, "q_norm"):
                query, key = compute.norm(own.q_norm, query)[0], compute.norm(own.k_norm, key)[0]
            attended = products.of_layer(own.o_proj, attention(own, number, query, key, value))
            hidden, residual = compute.norm(layer.post_attention_layernorm, residual, attended)
            gated = compute.gate(*products.of_layers(layer.mlp, GATED, hidden))
            change = products.of_layer(layer.mlp.down_proj, gated)
        states: torch.Tensor = compute.norm(self._decoder.norm, residual, change)[0]
        return states


def fits(decoder: nn.Module) -> bool:
    """Whether a decoder has just the parts that are computed here; whether it scales or skips, its results tell."""
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
            for layer in cast("Any", layers)
        )
        and all(
            hasattr(part, "weight") and hasattr(part, "variance_epsilon")
            for name, part in decoder.named_modules()
            if name.endswith("norm")
        )
    )


def _operations(decoder: nn.Module) -> PlainOperations:
    """The fastest operations for the device."""
    width = cast("Any", decoder).layers[0].self_attn.head_dim
    if next(decoder.parameters()).device.type == "cuda" and width & (width - 1) == 0:
        try:
            from harness.engines.fused_kernels import TritonOperations
        except BaseException as error:  # whatever a broken installation raises
            if not is_failure(error):
                raise
            _log.warning("decoding steps use PyTorch's own kernels, since Triton does not work: %s", error)
        else:
            return TritonOperations()
    return PlainOperations()


def _parts(module: Any) -> set[str]:
    return {name for name, _ in module.named_children()}


def _named(module: nn.Module) -> dict[str, nn.Module | nn.Parameter]:
    return {**dict(module.named_modules()), **dict(module.named_parameters(remove_duplicate=False))}
