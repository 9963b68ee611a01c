"""What the machine does wrong is told in words; what is anything else stays what it is."""

import errno
import os

import pytest
import safetensors
import torch

from reports.errors import MachineError
from training.machine_failures import machine_error, raise_machine_errors


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nsecond line"),
            "the device failed: AcceleratorError",
        ),
        (RuntimeError("cuBLAS: CUBLAS_STATUS_EXECUTION_FAILED"), "the device failed"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory ran out"),
        (RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:4321"), "another process of this run ended"),
        (type("EngineDeadError", (Exception,), {})("core died"), "another process of this run ended"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "file"), "file: the disk cannot be written to"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "file"), "Read-only file system"),
        (safetensors.SafetensorError("I/O error: No space left on device (os error 28)"), "the disk cannot be written"),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/0"), "the disk cannot be written"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), "the disk cannot be"),
    ],
)
def test_failures_of_the_machine_are_told_with_the_way_on(error, message):
    told = str(machine_error(error))
    assert message in told
    assert "what is done is kept, and the same command goes on" in told
    assert "second line" not in told


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), FileNotFoundError(2, "none"), ValueError("no"), KeyError()]
)
def test_other_errors_stay_what_they_are(error):
    assert machine_error(error) is None
    with pytest.raises(type(error)), raise_machine_errors():
        raise error


GO_ON = "what is done is kept, and the same command goes on"


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            [
                "the device, or the machine's memory: memory ran out, with one row at a time",
                "fix: end other programs on it, lower scoring.max_new_tokens, or take a machine with more memory",
            ],
        ),
        (
            RuntimeError("[gloo] Connection closed by peer"),
            [
                (
                    "a process that computes with this one: another process of this run ended: RuntimeError: [gloo]"
                    " Connection closed by peer"
                ),
                "fix: see in its own messages, and with `dmesg`, what ended it",
            ],
        ),
        (
            torch.AcceleratorError("CUDA error: lost"),
            [
                "the GPU: the device failed: AcceleratorError: CUDA error: lost",
                "fix: look at it with `nvidia-smi`, and restart the machine where it is lost",
            ],
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "file"),
            [
                "file: the disk cannot be written to (No space left on device)",
                "fix: free some space or check the rights",
            ],
        ),
    ],
)
def test_each_failure_has_what_where_and_a_way_out(error, lines):
    assert str(machine_error(error)) == "\n  ".join(lines) + f"; {GO_ON}"


def test_what_is_told_already_is_not_told_around():
    told = MachineError("the disk cannot be written to (No space left on device)")
    with pytest.raises(MachineError) as raised, raise_machine_errors():
        raise told
    assert raised.value is told
