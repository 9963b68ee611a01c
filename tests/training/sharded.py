"""The command as FSDP would run it on GPUs, for CPUs: started by `torchrun`, with what CUDA does to weights imitated.

Accelerate shards on accelerators only, so it is told that these processes are some. CUDA's kernel that copies what FSDP
gathers takes 16-bit floats through float32, which turns every NaN into one and the same.
"""

import os
from collections.abc import Sequence
from typing import Any

import accelerate.state
import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from harness.__main__ import main

_NAN = 0x7FFF
_set_up = accelerate.state.AcceleratorState.__init__
_copy = torch._foreach_copy_


def sharding(
    state: Any, *arguments: Any, fsdp_plugin: FullyShardedDataParallelPlugin | None = None, **further: Any
) -> None:
    """Set up accelerate's state as it is on several GPUs with FSDP."""
    _set_up(state, *arguments, fsdp_plugin=fsdp_plugin, **further)
    if fsdp_plugin is not None:
        accelerate.state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        state.distributed_type = DistributedType.FSDP
        state.fsdp_plugin = fsdp_plugin
        fsdp_plugin.set_mixed_precision(state._mixed_precision)


def copying(into: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    """Copy tensors as CUDA does."""
    _copy([*into], [*values])
    for each in into:
        if each.dtype == torch.bfloat16:
            each.view(torch.int16)[each.isnan()] = _NAN


os.environ |= {
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}
accelerate.state.AcceleratorState.__init__ = sharding
setattr(torch, "_foreach_copy_", copying)  # noqa: B010 - a plain assignment is not for functions
main()
