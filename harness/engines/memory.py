"""How much memory a piece of work needs at most, and how much there is."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import psutil
import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """The highest memory since the last reset: allocated on a GPU, resident on a CPU.

    Where the system cannot reset it, it is the highest of the whole process.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"

    def reset(self) -> None:
        """Count from now."""
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            with contextlib.suppress(OSError):
                _CLEAR.write_text("5")  # Linux: the high-water mark starts anew, see proc(5)

    def read(self) -> int:
        """Bytes."""
        if self._cuda:
            return int(torch.cuda.max_memory_allocated())
        with contextlib.suppress(OSError):
            for line in _STATUS.read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak if sys.platform == "darwin" else peak * 1024)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available)
