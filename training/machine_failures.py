"""Says of what the machine did wrong while computing (a full disk, a lost device) what it is and how to go on."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from reports.errors import MachineError
from training.models import device

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_DISK_WORDS = (
    *("No space left on device", "os error 28", "File too large", "file write failed"),
    *("PytorchStreamWriter", "unexpected pos"),  # of torch.save
)
_DEVICE_KINDS = ("AcceleratorError",)
_PEER_WORDS = ("NCCL", "Connection closed by peer", "Connection reset by peer", "EngineDeadError", "EngineCore")
_GO_ON = "what is done is kept, and the same command goes on"


@contextlib.contextmanager
def raise_machine_errors() -> Iterator[None]:
    """Raise a `MachineError` in place of what libraries raise when the machine fails."""
    try:
        yield
    except Exception as error:
        failure = None if isinstance(error, MachineError) else machine_error(error)
        if failure is None:
            raise
        raise failure from error


def machine_error(error: BaseException) -> MachineError | None:
    """The error for a failure of the machine, or None if the error is another one."""
    kind = type(error).__name__
    text = f"{kind}: {error}"
    first = text.splitlines()[0]
    if isinstance(error, OSError):
        return _disk(error.strerror or first, error.filename) if error.errno in _DISK else None
    if any(word in text for word in _DISK_WORDS):
        return _disk(first, None)
    if is_out_of_memory(error):
        return MachineError(
            "memory ran out, with one row at a time",
            where="the device, or the machine's memory",
            fix="end other programs on it, lower scoring.max_new_tokens, or take a machine with more memory; " + _GO_ON,
        )
    if kind in _PEER_WORDS or (isinstance(error, RuntimeError) and any(word in text for word in _PEER_WORDS)):
        return MachineError(
            f"another process of this run ended: {first}",
            where="a process that computes with this one",
            fix=f"see in its own messages, and with `dmesg`, what ended it; {_GO_ON}",
        )
    if kind in _DEVICE_KINDS or (isinstance(error, RuntimeError) and any(word in text for word in device.FAILURES)):
        return MachineError(
            f"the device failed: {first}",
            where="the GPU",
            fix=f"look at it with `nvidia-smi`, and restart the machine where it is lost; {_GO_ON}",
        )
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a computation failed for lack of memory."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in device.OUT_OF_MEMORY)
    )


def _disk(what: str, where: object) -> MachineError:
    return MachineError(
        f"the disk cannot be written to ({what})",
        where=None if where is None else str(where),
        fix=f"free some space or check the rights; {_GO_ON}",
    )
