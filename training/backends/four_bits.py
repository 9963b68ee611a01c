"""Dense weights from 4-bit ones of bitsandbytes, bit for bit: on a GPU in one kernel, not in four.

Training makes each layer's weights three times per batch. bitsandbytes makes the scales of the blocks first, by
operations of their own: the GPU of an H200 takes 1.5 to 2.2 times as long, and the processor starts four operations.
"""

from __future__ import annotations

import functools
import math
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
    if _uses_kernel(weight, state):
        from training.backends.kernels import dequantised

        return dequantised(weight, state).to(dtype)
    return _by_bitsandbytes(weight, state).to(dtype)


def _by_bitsandbytes(weight: torch.Tensor, state: Any) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit

    values: torch.Tensor = dequantize_4bit(weight.data.view(-1, 1), state)
    return values


def _uses_kernel(weight: torch.Tensor, state: Any) -> bool:
    """Whether the kernel computes this weight, and what bitsandbytes does, where it is."""
    import torch

    groups = (state.state2.code, state.state2.absmax, state.offset) if state.nested else ()
    return (
        weight.is_cuda
        and math.prod(state.shape) % state.blocksize == 0
        and all(values.is_cuda and values.dtype == torch.float32 for values in groups)
        and _is_exact(weight.device, state.dtype, state.blocksize, state.quant_type, bool(state.nested))
    )


@functools.lru_cache
def _is_exact(device: torch.device, dtype: torch.dtype, blocksize: int, kind: str, nested: bool) -> bool:  # noqa: FBT001
    """Whether the kernel gives bitsandbytes' values for random weights."""
    import torch
    from bitsandbytes.functional import quantize_4bit

    try:
        from training.backends.kernels import dequantised

        values = torch.randn(101, 4 * blocksize, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        weight, state = quantize_4bit(values, blocksize=blocksize, quant_type=kind, compress_statistics=nested)
        return torch.equal(dequantised(weight, state), _by_bitsandbytes(weight, state))
    except (ImportError, RuntimeError, ValueError, TypeError, AttributeError):
        return False
