"""Attention of scoring passes, registered with transformers under a name of its own.

Rows are padded on the right and masks are built here, so that transformers builds none: without a mask, attention is
causal. Source of the interface: transformers' `AttentionInterface`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv

from training.models.device import Device
from training.models.row_attention import fits_own_attention

_NAME = "medbench"
_BLOCK = 64  # tokens of the query


def attend(
    module: torch.nn.Module,  # noqa: ARG001 - transformers' signature
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **__: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention of `query` [rows, heads, new, width] over [rows, key heads, length, width].

    With one new token, the heads that share a key take the query's length dimension, so that keys and values are read
    in place. Repeating them for every head, as transformers does with a mask, costs several times the arithmetic.

    Returns:
        [rows, new, heads, width], and None for the weights.
    """
    rows, heads, new, _ = query.shape
    groups = heads // key.shape[1]
    if new == 1 and attention_mask is not None:
        grouped = query.reshape(rows, key.shape[1], groups, -1)
        attended = scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
        return attended.reshape(rows, 1, heads, -1), None
    if query.device.type == "cpu":
        return _by_blocks(query, key, value, attention_mask, scaling or query.shape[-1] ** -0.5), None
    causal = attention_mask is None
    if not causal:  # only without a mask does torch's fast kernel take heads that share keys
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    attended = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, is_causal=causal, scale=scaling, enable_gqa=causal and groups > 1
    )
    return attended.transpose(1, 2), None


def _by_blocks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """Attention as plain matrix products, a block of the query at a time, with only the keys that it attends to.

    On a CPU three times as fast in bfloat16 as torch's own kernel, and somewhat faster in float32. As in transformers'
    `eager` attention, scores are rounded to the dtype before the softmax.
    """
    rows, heads, new, width = query.shape
    sharing = key.shape[1]
    grouped = (query * scaling).view(rows, sharing, heads // sharing, new, width)
    attended = query.new_empty(rows, new, sharing, heads // sharing, value.shape[-1])
    later = torch.ones(_BLOCK, _BLOCK, dtype=torch.bool).triu(1)
    key = key.transpose(2, 3)
    for start in range(0, new, _BLOCK):
        size = min(_BLOCK, new - start)
        seen = start + size if mask is None else key.shape[3]
        block = grouped[:, :, :, start : start + size].reshape(rows, sharing, -1, width)
        scores = torch.matmul(block, key[..., :seen]).view(rows, sharing, -1, size, seen)
        if mask is None:
            scores[..., start:].masked_fill_(later[:size, :size], -torch.inf)
        else:
            scores.masked_fill_(~mask[:, :, None, start : start + size], -torch.inf)
        shares = scores.softmax(-1).view(rows, sharing, -1, seen)
        part = torch.matmul(shares, value[:, :, :seen]).view(rows, sharing, -1, size, value.shape[-1])
        attended[:, start : start + size] = part.permute(0, 3, 1, 2, 4)
    return attended.view(rows, new, heads, -1)


def use_own_attention(model: PreTrainedModel, device: Device) -> bool:
    """Switch a model to `attend` if that computes the same; returns whether it was switched.

    It does for decoders whose layers all attend to all earlier tokens and have no other state. Layers in 4 or 8 bits
    keep transformers' attention too: their kernels were never recorded as CUDA graphs.
    """
    fits = (
        fits_own_attention(model)
        and not any(hasattr(weight, "quant_state") or hasattr(weight, "SCB") for weight in model.parameters())
        and model.config._attn_implementation == "sdpa"  # noqa: SLF001 - transformers has no public name for it
    )
    if fits:
        AttentionInterface.register(_NAME, attend)
        model.set_attn_implementation(_NAME)
        device.disable_slow_kernels()
    return fits
