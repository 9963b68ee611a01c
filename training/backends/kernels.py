"""Triton kernels of gated products, rotary embeddings and 4-bit weights; for GPUs, imported only there."""

from __future__ import annotations

from typing import Any

import torch
import triton  # type: ignore[import-untyped,import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-untyped,import-not-found,unused-ignore]

_BLOCK = 1024
_BLOCKS = 64  # of quantised values, in one program


@triton.jit  # type: ignore[untyped-decorator]
def _product(gate, up, output, size, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def] # noqa: ANN001,ANN202,N803
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    x = tl.load(gate + place, mask=inside, other=0.0)
    y = tl.load(up + place, mask=inside, other=0.0)
    wide = x.to(tl.float32)
    activated = (wide * tl.sigmoid(wide)).to(x.dtype)  # rounded as PyTorch rounds it between two operations
    tl.store(output + place, activated * y, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _gradients(gradient, gate, up, size, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def] # noqa: ANN001,ANN202,N803
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    d = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
    x = tl.load(gate + place, mask=inside, other=0.0).to(tl.float32)
    y = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
    s = tl.sigmoid(x)
    to_gate = d * y * s * (1 + x * (1 - s))
    to_up = d * x * s
    tl.store(gate + place, to_gate.to(gate.dtype.element_ty), mask=inside)
    tl.store(up + place, to_up.to(up.dtype.element_ty), mask=inside)


class GatedProduct(torch.autograd.Function):
    """`silu(gate) * up`. The gradients take the place of `gate` and `up`, so one backward pass is all there can be."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """The product, of the shape of both."""
        gate, up = gate.contiguous(), up.contiguous()
        output = torch.empty_like(gate)
        _product[(triton.cdiv(gate.numel(), _BLOCK),)](gate, up, output, gate.numel(), BLOCK=_BLOCK)
        ctx.save_for_backward(gate, up)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradients of both, written into them."""
        gate, up = ctx.saved_tensors
        size = gate.numel()
        _gradients[(triton.cdiv(size, _BLOCK),)](gradient.contiguous(), gate, up, size, BLOCK=_BLOCK)
        return gate, up


@triton.jit  # type: ignore[untyped-decorator]
def _rotate(  # type: ignore[no-untyped-def] # noqa: ANN202,PLR0913,PLR0917
    states,  # noqa: ANN001
    cosines,  # noqa: ANN001
    sines,  # noqa: ANN001
    output,  # noqa: ANN001
    row_step,  # noqa: ANN001
    head_step,  # noqa: ANN001
    token_step,  # noqa: ANN001
    angle_row_step,  # noqa: ANN001
    tokens,  # noqa: ANN001
    heads,  # noqa: ANN001
    half,  # noqa: ANN001
    sign,  # noqa: ANN001
    HEADS: tl.constexpr,  # noqa: N803
    HALF: tl.constexpr,  # noqa: N803
):
    token, row = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    head, place = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    inside = (head < heads) & (place < half)
    source = states + row * row_step + token * token_step + head * head_step + place
    first = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(source + half, mask=inside, other=0.0).to(tl.float32)
    angle = row * angle_row_step + token * 2 * half + place
    cosine = tl.load(cosines + angle, mask=place < half, other=0.0).to(tl.float32)
    sine = tl.load(sines + angle, mask=place < half, other=0.0).to(tl.float32) * sign
    target = output + ((row * tokens + token) * heads + head) * 2 * half + place
    kind = output.dtype.element_ty
    tl.store(target, (first * cosine - second * sine).to(kind), mask=inside)
    tl.store(target + half, (second * cosine + first * sine).to(kind), mask=inside)


def _rotated(states: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor, sign: float) -> torch.Tensor:
    """`states` [rows, heads, tokens, width] turned by angles [1 or rows, tokens, width]; in memory, heads are last."""
    rows, heads, tokens, width = states.shape
    if states.stride(3) != 1:
        states = states.contiguous()
    output = torch.empty(rows, tokens, heads, width, dtype=states.dtype, device=states.device)
    _rotate[(tokens, rows)](
        states,
        cosines,
        sines,
        output,
        states.stride(0),
        states.stride(1),
        states.stride(2),
        0 if len(cosines) == 1 else cosines.stride(0),
        tokens,
        heads,
        width // 2,
        sign,
        HEADS=triton.next_power_of_2(heads),
        HALF=triton.next_power_of_2(width // 2),
    )
    return output.transpose(1, 2)


class Rotation(torch.autograd.Function):
    """Rotary position embeddings whose halves have the same angles, as in models of the Llama family."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
        """`states` [rows, heads, tokens, width] turned by the angles of their positions."""
        cosines, sines = cosines.contiguous(), sines.contiguous()
        ctx.save_for_backward(cosines, sines)
        return _rotated(states, cosines, sines, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The gradient, turned back."""
        cosines, sines = ctx.saved_tensors
        return _rotated(gradient, cosines, sines, -1.0), None, None


@triton.jit  # type: ignore[untyped-decorator]
def _dequantise(  # type: ignore[no-untyped-def] # noqa: ANN202,PLR0913,PLR0917
    packed,  # noqa: ANN001
    scales,  # noqa: ANN001
    values,  # noqa: ANN001
    group_values,  # noqa: ANN001
    group_scales,  # noqa: ANN001
    offset,  # noqa: ANN001
    output,  # noqa: ANN001
    blocks,  # noqa: ANN001
    BLOCKS: tl.constexpr,  # noqa: N803
    BYTES: tl.constexpr,  # noqa: N803
    GROUP: tl.constexpr,  # noqa: N803
):
    block = tl.program_id(0).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    inside = block < blocks
    scale = tl.load(scales + block, mask=inside, other=0)
    if GROUP:  # scales are quantised too
        scale = tl.load(group_values + scale.to(tl.int32))
        scale = scale * tl.load(group_scales + block // GROUP, mask=inside, other=0.0)
        scale += tl.load(offset)
    place = block[:, None] * BYTES + tl.arange(0, BYTES)[None, :]
    byte = tl.load(packed + place, mask=inside[:, None], other=0).to(tl.int32)
    first = tl.load(values + (byte >> 4)) * scale[:, None]
    second = tl.load(values + (byte & 15)) * scale[:, None]
    kind = output.dtype.element_ty
    target = block[:, None] * 2 * BYTES + tl.arange(0, 2 * BYTES)[None, :]
    tl.store(output + target, tl.interleave(first.to(kind), second.to(kind)), mask=inside[:, None])


def dequantised(weight: torch.Tensor, state: Any) -> torch.Tensor:
    """A 4-bit weight of bitsandbytes in its dtype, [outputs, inputs]; whole blocks of it make up the weight."""
    output = torch.empty(state.shape, dtype=state.dtype, device=weight.device)
    blocks = output.numel() // state.blocksize
    groups = (state.code, state.code, state.code)  # not read
    if state.nested:
        groups = (state.state2.code, state.state2.absmax, state.offset)
    _dequantise[(triton.cdiv(blocks, _BLOCKS),)](
        weight,
        state.absmax,
        state.code,
        *groups,
        output,
        blocks,
        BLOCKS=_BLOCKS,
        BYTES=state.blocksize // 2,
        GROUP=state.state2.blocksize if state.nested else 0,
        enable_fp_fusion=False,  # a scale is rounded before the offset is added, as in bitsandbytes
    )
    return output
