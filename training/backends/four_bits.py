"""Dense weights from 4-bit ones of bitsandbytes: on a GPU in one kernel, which takes a third of its time, bit for bit.

bitsandbytes makes the scales of the blocks first, in three operations, and starts each from Python by way of PyTorch's
dispatcher: in training, where a layer's weights are made three times per batch, that is as long as the copying itself.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def dense(weight: torch.Tensor, state: Any, dtype: torch.dtype) -> torch.Tensor:
    """A layer's weight [outputs, inputs] in a dtype.

    Args:
        weight: Its values, packed if they are quantised.
        state: bitsandbytes' state of a quantised weight, else None.
        dtype: Of the result.
    """
    if state is None:
        return weight if weight.dtype == dtype else weight.to(dtype)
    if uses_kernel(weight, state):
        from training.backends.kernels import dequantised

        return dequantised(weight, state).to(dtype)
    return _by_bitsandbytes(weight, state).to(dtype)


def dense_and_more(
    weight: torch.Tensor, state: Any, dtype: torch.dtype, more: torch.Tensor, column: int, columns: int
) -> torch.Tensor:
    """A quantised weight [outputs, inputs] followed by further columns, as [outputs, inputs + columns].

    Args:
        weight: As for `dense`.
        state: As for `dense`; not None.
        dtype: Of the result.
        more: [outputs, some columns], in the same dtype.
        column: Which of the further columns is the first of `more`; the rest are zeros.
        columns: How many further columns there are.
    """
    if uses_kernel(weight, state) and state.dtype == dtype:
        from training.backends.kernels import dequantised

        return dequantised(weight, state, more, column, columns)
    values = _by_bitsandbytes(weight, state)
    result = values.new_zeros(len(values), values.shape[1] + columns, dtype=dtype)
    result[:, : values.shape[1]] = values
    place = values.shape[1] + column
    result[:, place : place + more.shape[1]] = more
    return result


def _by_bitsandbytes(weight: torch.Tensor, state: Any) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    values: torch.Tensor = dequantize_4bit(weight.data.view(-1, 1), state)
    return values


def uses_kernel(weight: torch.Tensor, state: Any) -> bool:
    """Whether the kernel computes this weight, and what bitsandbytes does, where it is."""
    if not weight.is_cuda or state.shape[1] % state.blocksize:
        return False
    nested = state.state2 if state.nested else None
    scales = None if nested is None else (nested.blocksize, nested.code.dtype, nested.absmax.dtype, state.offset.dtype)
    return _is_exact(weight.device, state.dtype, state.blocksize, state.quant_type, scales)


@functools.lru_cache
def _is_exact(
    device: torch.device, dtype: torch.dtype, blocksize: int, kind: str, scales: tuple[Any, ...] | None
) -> bool:
    """Whether the kernel gives bitsandbytes' values for random weights."""
    import torch
    from bitsandbytes.functional import quantize_4bit

    if scales is not None and scales[1:] != (torch.float32,) * 3:
        return False
    try:
        from training.backends.kernels import dequantised

        values = torch.randn(96, 4 * blocksize, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        weight, state = quantize_4bit(
            values, blocksize=blocksize, quant_type=kind, compress_statistics=scales is not None
        )
        return torch.equal(dequantised(weight, state), _by_bitsandbytes(weight, state))
    except (ImportError, RuntimeError, ValueError, TypeError, AttributeError):
        return False
