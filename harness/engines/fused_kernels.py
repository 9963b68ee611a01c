"""Triton kernels of a decoder: residual and norm, rotary position and cache write, attention, gate."""

# ruff: noqa: ANN001, ANN202, D102, PLR0913, PLR0917 - kernels take pointers, strides and constants; methods as in the base

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from harness.engines.plain_operations import PlainOperations

_GATE_BLOCK = 2048
_MOST_WARPS = 8
_WARP_VALUES = 512
_HEADS = 8  # rotated at once
_TOKENS = 64  # of keys and values read at once
_FEWEST_QUERIES = 16  # of a matrix product
_LOG2_E = 1.4426950408889634


class TritonOperations(PlainOperations):
    """As `PlainOperations`, rounded as transformers rounds, in one kernel each; residuals and queries in place.

    Attention is FlashDecoding without its division of a row (Dao et al. 2023): a program reads the keys and values of
    one row and one key head once, for all heads that share them. PyTorch's FlashAttention reads them for each head.
    """

    reads_lengths = True

    def norm(
        self, layer: Any, residual: torch.Tensor, change: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        residual = residual.contiguous()
        normed = torch.empty_like(residual)
        width = residual.shape[-1]
        block = triton.next_power_of_2(width)
        warps = min(_MOST_WARPS, max(1, block // _WARP_VALUES))
        added = residual if change is None else change
        _norm[(residual.numel() // width,)](
            residual, added, layer.weight, normed, layer.variance_epsilon, width, block, change is not None,
            num_warps=warps,
        )  # fmt: skip
        return normed, residual

    def rotate(self, states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        rows, heads, width = states.shape
        grid = (rows, triton.cdiv(heads, _HEADS))
        _rotate[grid](states, cos, sin, states.stride(0), heads, width, _HEADS)
        return states

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        positions: torch.Tensor,
        slots: tuple[torch.Tensor, torch.Tensor],
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
            scaling: Of the scores.

        Returns:
            [rows, heads * width].
        """
        (rows, heads, width), key_heads = query.shape, key.shape[1]
        strides = slots[0].stride()[:2]
        _rotate_and_store[(rows, heads + key_heads)](
            query, key, value, cos, sin, positions, *slots, query.stride(0), key.stride(0), value.stride(0), *strides,
            heads, width, num_warps=1,
        )  # fmt: skip
        attended = torch.empty(rows, heads * width, dtype=query.dtype, device=query.device)
        shared = heads // key_heads
        stages = 3 if query.element_size() == 2 else 2  # noqa: PLR2004 - bytes; float32 needs twice the shared memory
        _attend[(rows, key_heads)](
            query, *slots, positions, attended, scaling * _LOG2_E, query.stride(0), *strides,
            heads, width, shared, max(_FEWEST_QUERIES, triton.next_power_of_2(shared)), _TOKENS,
            num_warps=2, num_stages=stages,
        )  # fmt: skip
        return attended

    def gate(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        rows, width = up.shape
        product = torch.empty(rows, width, dtype=up.dtype, device=up.device)
        grid = (rows, triton.cdiv(width, _GATE_BLOCK))
        _gate[grid](gate, up, product, gate.stride(0), up.stride(0), width, _GATE_BLOCK)
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
def _rotate(states, cos, sin, row_size, heads: tl.constexpr, width: tl.constexpr, block: tl.constexpr):
    row, half = tl.program_id(0).to(tl.int64), width // 2
    head, column = tl.program_id(1) * block + tl.arange(0, block)[:, None], tl.arange(0, width // 2)[None, :]
    c, s = tl.load(cos + row * width + column), tl.load(sin + row * width + column)
    places, inside = states + row * row_size + head * width + column, head < heads
    first, second = tl.load(places, mask=inside, other=0), tl.load(places + half, mask=inside, other=0)
    tl.store(places, first * c - second * s, mask=inside)
    tl.store(places + half, second * c + first * s, mask=inside)


@triton.jit
def _rotate_and_store(
    query, key, value, cos, sin, positions, keys, values, query_row, key_row, value_row, slot_size, head_size,
    heads: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    half: tl.constexpr = width // 2
    columns = tl.arange(0, half)
    c, s = tl.load(cos + row * width + columns), tl.load(sin + row * width + columns)
    if head < heads:
        states = query + row * query_row + head * width + columns
        first, second = tl.load(states), tl.load(states + half)
        tl.store(states, first * c - second * s)
        tl.store(states + half, second * c + first * s)
    else:
        head -= heads
        place = row * slot_size + head * head_size + tl.load(positions + row) * width + columns
        states = key + row * key_row + head * width + columns
        first, second = tl.load(states), tl.load(states + half)
        tl.store(keys + place, first * c - second * s)
        tl.store(keys + place + half, second * c + first * s)
        states = value + row * value_row + head * width + columns
        tl.store(values + place, tl.load(states))
        tl.store(values + place + half, tl.load(states + half))


@triton.jit
def _attend(
    query, keys, values, positions, attended, scaling, query_row, slot_size, head_size,
    heads: tl.constexpr, width: tl.constexpr, shared: tl.constexpr, queries: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    row, key_head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    length = tl.load(positions + row) + 1
    head, column, token = tl.arange(0, queries), tl.arange(0, width), tl.arange(0, block)
    is_head = (head < shared)[:, None]
    places = (key_head * shared + head)[:, None] * width + column[None, :]
    states = tl.load(query + row * query_row + places, mask=is_head, other=0)
    slot = row * slot_size + key_head * head_size
    greatest = tl.full([queries], -float("inf"), tl.float32)
    total = tl.zeros([queries], tl.float32)
    mean = tl.zeros([queries, width], tl.float32)
    for start in range(0, length, block):
        inside = start + token < length
        key = tl.load(keys + slot + (start + token)[None, :] * width + column[:, None], mask=inside[None, :], other=0)
        scores = tl.dot(states, key, input_precision="ieee") * scaling
        scores = tl.where(inside[None, :], scores, -float("inf"))
        now = tl.maximum(greatest, tl.max(scores, 1))
        shares, before = tl.exp2(scores - now[:, None]), tl.exp2(greatest - now)
        total = total * before + tl.sum(shares, 1)
        value = tl.load(
            values + slot + (start + token)[:, None] * width + column[None, :], mask=inside[:, None], other=0
        )
        mean = mean * before[:, None] + tl.dot(shares.to(value.dtype), value, input_precision="ieee")
        greatest = now
    mean /= total[:, None]
    tl.store(attended + row * heads * width + places, mean.to(attended.dtype.element_ty), mask=is_head)


@triton.jit
def _gate(gate, up, product, gate_row, up_row, width: tl.constexpr, block: tl.constexpr):
    row, columns = tl.program_id(0).to(tl.int64), tl.program_id(1) * block + tl.arange(0, block)
    inside = columns < width
    exact = tl.load(gate + row * gate_row + columns, mask=inside, other=0).to(tl.float32)
    factor = tl.load(up + row * up_row + columns, mask=inside, other=0)
    tl.store(product + row * width + columns, (exact * tl.sigmoid(exact)).to(factor.dtype) * factor, mask=inside)
