"""What a run ran on: machine, versions and git commit, without names of users, hosts or folders."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from harness.engines.kinds import ENGINES
from reports.version import __version__
from training.models.device import Device

_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "lm_eval",
    "rouge_score",
    "tokenizers",
    "vllm",
    "numpy",
    "scipy",
)


def describe(device: Device) -> dict[str, Any]:
    """The environment as a JSON-able mapping."""
    import torch

    environment: dict[str, Any] = {
        "medbench": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": device.type,
        "packages": package_versions(),
        "git_commit": _git_commit(),
    }
    if device.type != "cpu":
        driver = {name.lower(): version for name, version in device.driver().items()}
        environment |= {"gpu": device.name(), "gpu_memory_bytes": device.total_memory(), **driver}
    return environment


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide numbers, of those that are installed."""
    engines = (name for kind in ENGINES.values() for name in kind.packages)
    return {name: version for name in dict.fromkeys((*_PACKAGES, *engines)) if (version := _version(name))}


@functools.cache
def _version(package: str) -> str | None:
    """An installed package's version; extras need not be there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git_commit() -> str | None:
    """The commit of medbench's own checkout; None if it is installed without one."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
