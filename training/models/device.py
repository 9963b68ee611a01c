"""The device that computes (CPU, CUDA or ROCm card, Apple's GPU): its batch sizes, dtypes, memory, name and seed."""

# ruff: noqa: D102 - what a method does is said once, in the base class

from __future__ import annotations

import contextlib
import gc
import importlib
import random
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import psutil

from reports.errors import UserError
from training.models.cpu_process import give_back_memory, keep_freed_memory, use_cores
from training.processes import local_index

if TYPE_CHECKING:
    import torch

DTypeName = Literal["bfloat16", "float16", "float32"]
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"  # the variable that hides cards; PyTorch for ROCm reads it too
FAILURES = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "cuDNN error", "HIP error", "NVML")  # of a lost device
OUT_OF_MEMORY = ("can't allocate memory", "MPS backend out of memory")  # in a RuntimeError, on a CPU and on MPS
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Memory(NamedTuple):
    """Bytes that tensors hold, and bytes that the process took from the device for them."""

    allocated: int
    reserved: int


@dataclass(frozen=True)
class Device:
    """The CPU; its subclasses are the GPUs.

    Attributes:
        torch: The module to ask, PyTorch itself by default.
        index: The number of the card.
        type: PyTorch's name for this kind of device, which results have too.
        batch_tokens: Rows times longest row that scoring computes at once.
        batch_rows: Rows that it generates at once.
        logit_bytes: Bytes of float32 logits that it holds at once.
        shortest_prefix: Tokens from which on a shared prefix is computed once.
        train_layer_seconds: Estimated overhead of a layer for each training batch, whatever its size.
        decode_layer_seconds: Estimated overhead of a layer for each decoding step, whatever the batch.
        matmul_size: Rows of square matrices whose product measures its speed.
        fallback_dtype: What `auto` means where the hardware has no bfloat16.
        supports_graphs: Whether decoding steps can be recorded and replayed.
        steps_ahead: Decoding steps that are started before the tokens of the last one are read.
        supports_kernel_packages: Whether FlashAttention, Unsloth and vLLM run, which bring their own kernels.
        supports_8bit_optimizers: Whether bitsandbytes' 8-bit and paged optimizers run (as of bitsandbytes 0.50).
        supports_pinned_memory: Whether copies from pinned memory run beside the computation.
        more_memory: How to run a command that did not fit into its memory.
    """

    type: ClassVar[Literal["cpu", "cuda", "mps"]] = "cpu"
    batch_tokens = 1024
    batch_rows = 32
    logit_bytes = 64 * 2**20
    shortest_prefix = 16
    train_layer_seconds = 0.0
    decode_layer_seconds = 0.0035
    matmul_size = 1024
    fallback_dtype: ClassVar[DTypeName] = "float32"
    supports_graphs = False
    steps_ahead = 0
    supports_kernel_packages = False
    supports_8bit_optimizers = True
    supports_pinned_memory = False
    more_memory = "take a machine with more memory"

    torch: Any = field(default_factory=lambda: importlib.import_module("torch"), compare=False, repr=False)
    index: int = 0

    def __str__(self) -> str:
        """PyTorch's name of the device."""
        return self.type

    @property
    def place(self) -> str | int:
        """The device as `model.to` and device maps take it."""
        return self.type

    def name(self) -> str:
        """The chip's name; `cpu` for a CPU, as results have it."""
        return self.type

    def chip(self) -> str:
        """Identifier of a chip; chips with different ones may round differently."""
        return str(self.torch.backends.cpu.get_cpu_capability())

    def driver(self) -> dict[str, str]:
        """Name and version of the GPU's platform; empty for a CPU."""
        return {}

    def default_dtype(self, wanted: str) -> DTypeName:
        """The wanted dtype; for `auto` bfloat16 where the hardware has it, else float16 on a GPU, float32 on a CPU.

        Raises:
            UserError: The device does not compute in it.
        """
        if wanted == "float16" and self.fallback_dtype == "float32":
            raise UserError("float16 is not for CPUs", where="dtype", fix="use auto, bfloat16 or float32")
        if wanted != "auto":
            return wanted  # type: ignore[return-value]
        return "bfloat16" if self.has_bfloat16() else self.fallback_dtype

    def has_bfloat16(self) -> bool:
        """Whether the hardware computes in bfloat16."""
        test = getattr(self.torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(test and test())

    def total_memory(self) -> int:
        """Bytes of memory."""
        return int(psutil.virtual_memory().total)

    def available_memory(self) -> int:
        """Bytes that this process can still take."""
        return int(psutil.virtual_memory().available)

    def used_memory(self) -> Memory:
        """What this process holds; the resident set for both on a CPU."""
        resident = int(psutil.Process().memory_info().rss)
        return Memory(resident, resident)

    def peak_memory(self) -> Memory:
        """The most that this process held since the last reset, or ever where the system cannot reset it."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        with contextlib.suppress(OSError):
            lines = _STATUS.read_text(encoding="ascii").splitlines()
            peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), peak)
        return Memory(peak, peak)

    def reset_peak_memory(self) -> None:
        """Count the peak from now."""
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")  # Linux: resets the high-water mark, see proc(5)

    def prepare(self) -> None:
        """Prepare this process for computing."""
        use_cores()
        if self.type == "cpu":
            keep_freed_memory()

    def release_memory(self) -> None:
        """Give back what is no longer used: layers of PEFT, and a trainer's parts, refer to one another."""
        gc.collect()
        give_back_memory()

    def synchronize(self) -> None:
        """Wait until the device has computed everything."""

    def copied(self, numbers: torch.Tensor) -> Callable[[], list[int]]:
        """Start to copy a vector to main memory; the returned function waits for it."""
        return numbers.tolist  # type: ignore[no-any-return]

    def vector(self, numbers: list[int]) -> torch.Tensor:
        """Integers on the device; copied there without waiting for what it computes."""
        import torch

        return torch.tensor(numbers, dtype=torch.long, device=self.place)

    def seed(self, seed: int) -> None:
        """Start all random numbers of a training from a seed, the device's among them."""
        import numpy as np

        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - libraries draw from it
        self.torch.manual_seed(seed)  # of every device

    def disable_slow_kernels(self) -> None:
        """Switch off kernels that are slow for batches of many shapes."""


class Cuda(Device):
    """An NVIDIA card, or an AMD card with PyTorch for ROCm, which goes by the same name."""

    type = "cuda"
    batch_tokens = 16384
    batch_rows = 256
    logit_bytes = 256 * 2**20
    shortest_prefix = 64
    train_layer_seconds = 0.009
    decode_layer_seconds = 0.0016
    matmul_size = 4096
    fallback_dtype = "float16"
    supports_graphs = True
    steps_ahead = 1
    supports_kernel_packages = True
    supports_pinned_memory = True
    more_memory = f'do it in main memory: {VISIBLE_DEVICES}="" medbench ...'

    @property
    def place(self) -> int:
        return self.index

    def name(self) -> str:
        return str(self.torch.cuda.get_device_name(self.index))

    def chip(self) -> str:
        return self.name()

    def driver(self) -> dict[str, str]:
        version = self.torch.version
        return {"ROCm": version.hip} if version.hip else {"CUDA": version.cuda}

    def has_bfloat16(self) -> bool:
        return bool(self.torch.cuda.is_bf16_supported(including_emulation=False))

    def total_memory(self) -> int:
        return int(self.torch.cuda.get_device_properties(self.index).total_memory)

    def available_memory(self) -> int:
        free, _ = self.torch.cuda.mem_get_info(self.index)
        used = self.used_memory()
        return int(free) + used.reserved - used.allocated

    def used_memory(self) -> Memory:
        cuda = self.torch.cuda
        return Memory(int(cuda.memory_allocated(self.index)), int(cuda.memory_reserved(self.index)))

    def peak_memory(self) -> Memory:
        cuda = self.torch.cuda
        return Memory(int(cuda.max_memory_allocated(self.index)), int(cuda.max_memory_reserved(self.index)))

    def reset_peak_memory(self) -> None:
        self.torch.cuda.reset_peak_memory_stats(self.index)

    def release_memory(self) -> None:
        super().release_memory()
        self.torch.cuda.empty_cache()

    def synchronize(self) -> None:
        self.torch.cuda.synchronize(self.index)

    def copied(self, numbers: torch.Tensor) -> Callable[[], list[int]]:
        copy = self.torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        copy.copy_(numbers, non_blocking=True)
        done = self.torch.cuda.Event()
        done.record()

        def values() -> list[int]:
            done.synchronize()
            return copy.tolist()  # type: ignore[no-any-return]

        return values

    def vector(self, numbers: list[int]) -> torch.Tensor:
        values = self.torch.tensor(numbers, dtype=self.torch.long, pin_memory=True)
        return values.to(self.place, non_blocking=True)  # type: ignore[no-any-return]

    def disable_slow_kernels(self) -> None:
        # cuDNN's attention makes a plan for every new shape of a batch, which takes longer than the batch.
        self.torch.backends.cuda.enable_cudnn_sdp(enabled=False)


class Mps(Device):
    """Apple's GPU, which shares the machine's memory. Untested: nobody has run or measured it."""

    type = "mps"
    batch_tokens = 4096
    batch_rows = 64
    logit_bytes = 128 * 2**20
    shortest_prefix = 64
    train_layer_seconds = 0.009
    decode_layer_seconds = 0.0035
    matmul_size = 2048
    fallback_dtype = "float16"
    supports_8bit_optimizers = False
    more_memory = "let it take more than Metal recommends: PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 medbench ..."

    def name(self) -> str:
        return str(self.torch.backends.mps.get_name())

    def chip(self) -> str:
        return self.name()

    def has_bfloat16(self) -> bool:
        return bool(self.torch.backends.mps.is_macos_or_newer(14, 0))

    def total_memory(self) -> int:
        return int(self.torch.mps.recommended_max_memory())

    def available_memory(self) -> int:
        return min(self.total_memory() - self.used_memory().allocated, super().available_memory())

    def used_memory(self) -> Memory:
        mps = self.torch.mps
        return Memory(int(mps.current_allocated_memory()), int(mps.driver_allocated_memory()))

    def peak_memory(self) -> Memory:
        """What Metal holds now, in its cache too: it counts no peak, and the cache only grows until it is released."""
        reserved = self.used_memory().reserved
        return Memory(reserved, reserved)

    def reset_peak_memory(self) -> None:
        pass

    def release_memory(self) -> None:
        super().release_memory()
        self.torch.mps.empty_cache()

    def synchronize(self) -> None:
        self.torch.mps.synchronize()


def pick_device(torch: Any = None) -> Device:
    """The device to compute on: this process's CUDA or ROCm card, else Apple's GPU, else the CPU."""
    if torch is None:
        import torch
    if torch.cuda.is_available():
        return Cuda(torch, local_index())
    return Mps(torch) if torch.backends.mps.is_available() else Device(torch)


def cards(torch: Any = None) -> list[Device]:
    """All GPUs of this machine."""
    first = pick_device(torch)
    if isinstance(first, Cuda):
        return [Cuda(first.torch, index) for index in range(first.torch.cuda.device_count())]
    return [first] if isinstance(first, Mps) else []


def device_of(place: torch.device | str) -> Device:
    """The device with PyTorch's name or object for it."""
    kind, _, index = str(place).partition(":")
    kinds: dict[str, type[Device]] = {kind.type: kind for kind in (Device, Cuda, Mps)}
    return kinds[kind](index=int(index) if index else local_index())


def torch_dtype(name: DTypeName) -> torch.dtype:
    """The torch dtype of that name."""
    import torch

    return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[name]
