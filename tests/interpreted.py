"""Runs a module in Triton's interpreter, which computes kernels on a CPU as they are written."""

import os
import subprocess
import sys


def check_in_interpreter(module):
    """The module ends without an error; in a process of its own, since the interpreter must be on from the start."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
