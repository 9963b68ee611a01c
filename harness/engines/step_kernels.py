"""Triton kernels of a decoding step: residual and norm, rotary position and cache write, gate."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: ANN001, PLR0913 - Triton's own types, and a kernel takes all that it reads

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_GATE_BLOCK = 2048
_MOST_WARPS = 8
_WARP_VALUES = 512


def norm(layer: Any, residual: torch.Tensor, change: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """RMSNorm of residual + change, and that sum, which replaces the residual; rounded as transformers rounds."""
    residual = residual.contiguous()
    normed = torch.empty_like(residual)
    width = residual.shape[-1]
    block = triton.next_power_of_2(width)
    _norm[(residual.numel() // width,)](
        residual,
        residual if change is None else change,
        layer.weight,
        normed,
        layer.variance_epsilon,
        width,
        block,
        change is not None,
        num_warps=min(_MOST_WARPS, max(1, block // _WARP_VALUES)),
    )
    return normed, residual


def rotate_and_store(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> torch.Tensor:
    """The query with its rotary position, in place; writes key and value of [rows, heads, width] into the slots."""
    rows, heads, width = query.shape
    _rotate_and_store[(rows, heads + key.shape[1])](
        query, key, value, cos.contiguous(), sin.contiguous(), positions, keys, values,
        *keys.stride()[:3], heads, key.shape[1], width, num_warps=1,
    )  # fmt: skip
    return query


def gate(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up, [rows, width]."""
    product = torch.empty_like(up)
    rows, width = up.shape
    _gate[(rows, triton.cdiv(width, _GATE_BLOCK))](gate, up, product, width, _GATE_BLOCK)
    return product


@triton.jit
def _norm(residual, change, weight, normed, epsilon, width: tl.constexpr, block: tl.constexpr, add: tl.constexpr):
    columns = tl.arange(0, block)
    inside = columns < width
    places = tl.program_id(0).to(tl.int64) * width + columns
    states = tl.load(residual + places, mask=inside, other=0)
    if add:
        states += tl.load(change + places, mask=inside, other=0)
        tl.store(residual + places, states, mask=inside)
    exact = states.to(tl.float32)
    scaled = exact * tl.rsqrt(tl.sum(exact * exact, 0) / width + epsilon)
    tl.store(normed + places, tl.load(weight + columns, mask=inside, other=0) * scaled.to(states.dtype), mask=inside)


@triton.jit
def _rotate_and_store(
    query, key, value, cos, sin, positions, keys, values, slot_size, head_size, token_size,
    heads: tl.constexpr, key_heads: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    half: tl.constexpr = width // 2
    columns = tl.arange(0, half)
    c, s = tl.load(cos + row * width + columns), tl.load(sin + row * width + columns)
    if head < heads:
        states = query + (row * heads + head) * width + columns
        first, second = tl.load(states), tl.load(states + half)
        tl.store(states, first * c - second * s)
        tl.store(states + half, second * c + first * s)
    else:
        head -= heads
        place = row * slot_size + head * head_size + tl.load(positions + row) * token_size + columns
        states = (row * key_heads + head) * width + columns
        first, second = tl.load(key + states), tl.load(key + states + half)
        tl.store(keys + place, first * c - second * s)
        tl.store(keys + place + half, second * c + first * s)
        tl.store(values + place, tl.load(value + states))
        tl.store(values + place + half, tl.load(value + states + half))


@triton.jit
def _gate(gate, up, product, width: tl.constexpr, block: tl.constexpr):
    columns = tl.program_id(1) * block + tl.arange(0, block)
    inside = columns < width
    places = tl.program_id(0).to(tl.int64) * width + columns
    exact = tl.load(gate + places, mask=inside, other=0).to(tl.float32)
    factor = tl.load(up + places, mask=inside, other=0)
    tl.store(product + places, (exact * tl.sigmoid(exact)).to(factor.dtype) * factor, mask=inside)
