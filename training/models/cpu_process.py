"""How this process uses a CPU: as many threads as it has cores, and memory that it keeps from one step to the next."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_KEPT_BYTES = 2**30


def use_cores() -> None:
    """Let PyTorch compute with as many threads as this process has cores, unless OMP_NUM_THREADS says otherwise.

    PyTorch starts a thread for each core of the machine, of which a container may get two.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        torch.set_num_threads(cpu_threads(len(affinity), _QUOTA, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def cpu_threads(cores: int, quota_file: Path, processes: int) -> int:
    """Threads of each of some processes on `cores`, or as many as the container's CPU quota allows."""
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such limit
        pass
    return max(1, cores // processes)


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep the memory of large tensors for the next ones, which the system need not clear again.

    By default it gives 32 MB and more back at once, which logits have; a twelfth of a training step was spent on that.
    Other C libraries, and settings in the environment, stay as they are.
    """
    if any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")):
        return
    with contextlib.suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        if set_option(_MMAP_THRESHOLD, _KEPT_BYTES):  # glibc before 2.35 has a lower limit
            set_option(_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back_memory() -> None:
    """Give the memory that glibc has kept back to the system."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
