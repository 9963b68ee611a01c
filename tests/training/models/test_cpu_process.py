"""Threads and memory of a process that computes on a CPU."""

import resource
import subprocess
import sys

import pytest

from training.models.cpu_process import cpu_threads

COUNT_FAULTS = """
import resource, sys
import torch
from training.models.cpu_process import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
torch.ones(2**24)  # 64 MB
counts = []
for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.ones(2**24)
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(counts))  # the system may take pages for reasons of its own
from training.models.device import Device
before = Device().used_memory().allocated
Device().release_memory()
print(before - Device().used_memory().allocated)
"""
PAGES = 2**26 // resource.getpagesize()  # of a tensor


@pytest.mark.parametrize(
    ("quota", "processes", "threads"), [("max 100000\n", 1, 8), ("250000 100000\n", 1, 3), (None, 1, 8), (None, 2, 4)]
)
def test_threads_are_those_this_process_may_use(tmp_path, quota, processes, threads):
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    assert cpu_threads(8, tmp_path / "cpu.max", processes) == threads


def measure(kind):
    """Fewest pages that the system cleared for 3 tensors of 64 MB, and bytes that were given back in the end."""
    command = [sys.executable, "-c", COUNT_FAULTS, kind]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return tuple(map(int, output.split()))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_memory_of_large_tensors_is_kept_for_the_next_and_given_back_when_nothing_computes():
    usual, kept = measure("usual"), measure("kept")
    assert kept[0] < PAGES / 10
    assert usual[0] > 10 * kept[0]
    assert kept[1] > 2**25
