"""Finds what weights were rounded or quantised to, from the values alone, and rounds other values the same way.

A quantised block holds multiples of a step, which its largest value tells. That values which were never quantised lie
as close to such multiples as their own dtype allows is a matter of chance, and of how small a chance.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

FloatType = Literal["bfloat16", "float16", "float32"]
_FLOATS: tuple[FloatType, ...] = ("bfloat16", "float16")
ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}  # largest relative error of rounding
_SUBNORMAL = {"bfloat16": 0.0, "float16": 2.0**-25, "float32": 0.0}  # largest error of the smallest values
_ARITHMETIC = 8 * ROUNDOFF["float32"]  # of computing a value from its step
_BLOCKS = 512  # of a tensor that are looked at
_ROWS = 64
_LOG_CHANCE = math.log(1e-20)  # that values which were never quantised lie on a grid so well
_MOST_OFF = 0.01  # share of blocks, as those whose scale is too small for its own dtype


@dataclass(frozen=True)
class ValueType:
    """What the values of a tensor are rounded to.

    Attributes:
        dtype: The narrowest dtype that holds all values; with a grid it holds the products of step and multiple.
        grid: Name of the quantisation, such as `q4_0`; empty if there is none.
        step_energy: Mean square of the error that rounding to the grid makes, if it is even; 0 without a grid.
    """

    dtype: FloatType
    grid: str = ""
    step_energy: float = 0.0

    @property
    def name(self) -> str:
        """Name of the quantisation, or of the dtype."""
        return self.grid or self.dtype


@dataclass(frozen=True)
class _Grid:
    """Values of a block: multiples of a step, counted from zero or from the smallest value.

    Attributes:
        name: Its name, as llama.cpp and bitsandbytes have it.
        block: Weights of a block; 0 for a row.
        counts: How many steps the largest value, or the range, can be.
        from_lowest: Whether multiples are counted from the smallest value.
    """

    name: str
    block: int
    counts: range
    from_lowest: bool = False


# Fewer bits first, since a grid lies on finer ones too. github.com/ggml-org/llama.cpp, ggml/src/ggml-common.h
_GRIDS = (
    _Grid("q2_k", 16, range(1, 4), from_lowest=True),
    _Grid("q3_k", 16, range(1, 5)),
    _Grid("q4_0", 32, range(8, 9)),
    _Grid("q4_1", 32, range(15, 16), from_lowest=True),
    _Grid("q4_k", 32, range(1, 16), from_lowest=True),
    _Grid("q5_0", 32, range(16, 17)),
    _Grid("q5_1", 32, range(31, 32), from_lowest=True),
    _Grid("q5_k", 32, range(1, 32), from_lowest=True),
    _Grid("q6_k", 16, range(1, 33)),
    _Grid("q8_0", 32, range(127, 128)),
    _Grid("int8", 0, range(127, 128)),
)
_BY_GGUF = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0")
_CODES = ("nf4", "fp4")
_CODE_BLOCK = 64


def value_type(weights: torch.Tensor) -> ValueType:
    """What the values of a tensor are rounded to; only matrices are looked at for quantisation.

    Args:
        weights: In float32.
    """
    dtype = _float_type(weights)
    if weights.ndim != 2 or not bool(weights.any()):  # noqa: PLR2004
        return ValueType(dtype)
    for name in _CODES:
        if (energy := _code_energy(weights, name, dtype)) is not None:
            return ValueType(dtype, name, energy)
    for grid in _GRIDS:
        block = grid.block or weights.shape[1]
        if weights.shape[1] % block == 0 and block > 1:
            energy = _grid_energy(_some_blocks(weights, block, _BLOCKS if grid.block else _ROWS), grid, dtype)
            if energy is not None:
                return ValueType(dtype, grid.name, energy)
    return ValueType(dtype)


def round_to(weights: torch.Tensor, values: ValueType) -> torch.Tensor:
    """Weights rounded to a type, in float32; for grids that cannot be computed here, only to the dtype."""
    import torch

    if values.grid in _BY_GGUF:
        import gguf

        kind = gguf.GGMLQuantizationType[values.grid.upper()]
        packed = gguf.quants.quantize(weights.numpy(), kind)
        weights = torch.from_numpy(gguf.quants.dequantize(packed, kind))
    elif values.grid in _CODES:
        bits = _bitsandbytes()
        packed, state = bits.quantize_4bit(weights, quant_type=values.grid, blocksize=_CODE_BLOCK)
        weights = bits.dequantize_4bit(packed, state)
    elif values.grid == "int8":
        step = weights.abs().amax(1, keepdim=True) / 127
        weights = (weights / step.clamp_min(torch.finfo().tiny)).round() * step
    return weights.to(getattr(torch, values.dtype)).float()


def can_round(values: ValueType) -> bool:
    """Whether `round_to` computes the type's grid, or there is none."""
    return values.grid in {"", "int8", *_BY_GGUF, *_CODES}


def _float_type(weights: torch.Tensor) -> FloatType:
    import torch

    return next((name for name in _FLOATS if bool((weights.to(getattr(torch, name)) == weights).all())), "float32")


def _some_blocks(weights: torch.Tensor, block: int, most: int) -> torch.Tensor:
    """Blocks from all over a tensor, without those of zeros: [blocks, block]."""
    blocks = weights.reshape(-1, block)
    blocks = blocks[spread_indices(len(blocks), most)]
    return blocks[blocks.any(1)]


def spread_indices(count: int, most: int) -> torch.Tensor:
    """At most so many of the indices below a count, evenly spread."""
    import torch

    some = min(count, most)
    return torch.arange(some) * count // max(some, 1)


def _grid_energy(blocks: torch.Tensor, grid: _Grid, dtype: FloatType) -> float | None:
    """Mean square error of rounding to the grid on which the blocks lie; None if they do not."""
    enough = blocks[: int(_MOST_OFF * len(blocks)) + 1]  # to be too many if none of them lies on it
    if not bool(_best_steps(enough, grid, dtype)[0].any()):
        return None
    best, steps = _best_steps(blocks, grid, dtype)
    if float((best == 0).float().mean()) > _MOST_OFF or float(best.sum()) > _LOG_CHANCE:
        return None
    return float(steps.square().mean() / 12)


def _best_steps(blocks: torch.Tensor, grid: _Grid, dtype: FloatType) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithm of the chance that numbers at random lie on the grid as each block does, 0 if it does not; its step."""
    import torch

    low = blocks.amin(1, keepdim=True) if grid.from_lowest else torch.zeros(len(blocks), 1)
    above = blocks - low
    largest = blocks.abs().amax(1, keepdim=True)
    top = above.abs().amax(1, keepdim=True)
    roundoff = ROUNDOFF[dtype] + _ARITHMETIC
    best = torch.zeros(len(blocks))  # log of the chance
    steps = torch.zeros(len(blocks))
    for count in grid.counts:
        step = (top / count).clamp_min(torch.finfo().tiny)
        multiples = above / step
        off = (multiples - multiples.round()).abs()
        # of the value and of the step, and of the smallest value where multiples are counted from it
        slack = ((3 * largest if grid.from_lowest else 2 * above.abs()) * roundoff + 2 * _SUBNORMAL[dtype]) / step
        chance = (2 * slack).clamp(max=1).log().sum(1) + math.log(len(grid.counts))
        better = (off <= slack).all(1) & (chance < best)
        best, steps = torch.where(better, chance, best), torch.where(better, step[:, 0], steps)
    return best, steps


def _code_energy(weights: torch.Tensor, name: str, dtype: FloatType) -> float | None:
    """Mean square error of rounding to bitsandbytes' 4-bit codes, on which the weights lie; None if they do not."""
    import torch

    if weights.numel() % _CODE_BLOCK:
        return None
    blocks = _some_blocks(weights, _CODE_BLOCK, _BLOCKS)
    codes = _codes(name)
    largest = blocks.abs().amax(1, keepdim=True)
    scaled = blocks / largest
    nearest = codes[torch.bucketize(scaled.contiguous(), (codes[1:] + codes[:-1]) / 2)]
    slack = 2 * nearest.abs() * (ROUNDOFF[dtype] + _ARITHMETIC) + _ARITHMETIC + 2 * _SUBNORMAL[dtype] / largest
    if float(((scaled - nearest).abs() <= slack).all(1).float().mean()) < 1 - _MOST_OFF:
        return None
    gap = (codes[1:] - codes[:-1]).square().mean()  # an even share of the values in each gap
    return float(gap / 12 * largest.square().mean())


@functools.cache
def _codes(name: str) -> torch.Tensor:
    import torch

    codes: torch.Tensor = torch.unique(_bitsandbytes().get_4bit_type(name, device="cpu", blocksize=_CODE_BLOCK))
    return codes


def _bitsandbytes() -> Any:
    from training.models.loading import quiet_bitsandbytes

    with quiet_bitsandbytes():
        from bitsandbytes import functional
    return functional
