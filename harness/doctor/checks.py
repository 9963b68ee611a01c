"""`medbench doctor`: looks at what a run needs of this machine, and says for each lack what to do."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from reports.errors import UserError
from reports.home import medbench_home
from training.models.device import Device, cards

State = Literal["ok", "note", "problem"]
_ROOT = Path(__file__).resolve().parents[2]
_GB = 1e9
_NEEDED_BYTES = 1e9  # on a disk that a run writes to; the quickstart's model alone takes 0.7 GB
_MODEL_BYTES = 20e9  # an 8B model takes 16 GB
_MEMORY_BYTES = 4e9  # the quickstart's peak is below this
_SECONDS = 3.0  # to wait for the hub
_PYTHON = ((3, 11), (3, 12), (3, 13), (3, 14))
_FOR = {
    "unsloth": "faster training on one NVIDIA or AMD card",
    "vllm": "faster generated answers on an NVIDIA or AMD card",
    "ray": "sweeps on a cluster",
    "track": "TensorBoard",
}


@dataclass(frozen=True)
class Finding:
    """What was found of one need: a `problem` stops something that medbench does, a `note` limits it.

    Attributes:
        place: The folder that it is about; no part of a bug report.
    """

    name: str
    state: State
    found: str
    fix: str = ""
    place: str = ""


def examine(run: Path, gpus: Sequence[Device] | None = None) -> list[Finding]:
    """All findings, in the order in which they are best fixed.

    Args:
        run: Where runs are written; it need not be there yet.
        gpus: The GPUs to look at; those of this machine if None.
    """
    return [_python(), *_packages(), *_extras(), *_devices(gpus), *_disks(run), _answers(), _hub(), _token()]


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] in _PYTHON:
        return Finding("Python", "ok", version)
    return Finding("Python", "problem", version, "make an environment with Python 3.11 to 3.14")


def requirements() -> dict[str, list[Requirement]]:
    """What medbench needs by extra, `` for all: of its checkout's pyproject.toml, else of the installed package."""
    file = _ROOT / "pyproject.toml"
    if file.is_file():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        named = {"": project["dependencies"], **project["optional-dependencies"]}
        return {extra: [Requirement(requirement) for requirement in listed] for extra, listed in named.items()}
    needed = [Requirement(requirement) for requirement in importlib.metadata.requires("medbench") or ()]
    extras = importlib.metadata.metadata("medbench").get_all("Provides-Extra") or []
    always = [package for package in needed if package.marker is None or package.marker.evaluate({"extra": ""})]
    return {"": always} | {
        extra: [package for package in needed if package.marker and package.marker.evaluate({"extra": extra})]
        for extra in extras
    }


def _packages() -> Iterator[Finding]:
    needed = requirements()[""]
    wrong = [finding for finding in map(_installed, needed) if finding is not None]
    yield from wrong
    if not wrong:
        yield Finding("packages", "ok", f"{len(needed)} of supported versions")


def _installed(needed: Requirement) -> Finding | None:
    """What is wrong with a package; None if a supported version is installed."""
    fix = f"pip install '{needed.name}{needed.specifier}'"
    try:
        version = importlib.metadata.version(needed.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(needed.name, "problem", "not installed", fix)
    if needed.specifier.contains(version, prereleases=True):
        return None
    return Finding(needed.name, "problem", f"{version}, supported is {needed.specifier}", fix)


def _extras() -> Iterator[Finding]:
    for extra, needed in requirements().items():
        if extra not in _FOR:
            continue
        wrong = [finding for finding in map(_installed, needed) if finding is not None]
        missing = all(finding.found == "not installed" for finding in wrong)
        name = f"extra {extra}"
        if not wrong:
            yield Finding(name, "ok", ", ".join(f"{finding.name} is there" for finding in needed))
        elif missing:
            yield Finding(name, "note", f"not installed; it is for {_FOR[extra]}", f"pip install 'medbench[{extra}]'")
        else:
            yield Finding(name, "problem", wrong[0].found, f"pip install 'medbench[{extra}]'")


def _devices(gpus: Sequence[Device] | None) -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available
    short = free < _MEMORY_BYTES
    yield Finding(
        "memory",
        "note" if short else "ok",
        f"{free / _GB:.1f} GB free, {os.cpu_count()} processors",
        "end other programs, or take a smaller base" if short else "",
    )
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken build fails in any way
        yield Finding("PyTorch", "problem", f"cannot be imported ({type(error).__name__})", "reinstall it with pip")
        return
    gpus = cards(torch) if gpus is None else gpus
    yield from map(_gpu, gpus)
    if gpus:
        return
    if shutil.which("nvidia-smi"):
        yield Finding(
            "GPU",
            "problem",
            f"there is an NVIDIA driver, but PyTorch {torch.__version__} finds no card",
            "install the build of PyTorch for the driver's version; see what nvidia-smi says",
        )
    else:
        yield Finding("GPU", "note", "none: the quickstart runs on the CPU, other recipes need a GPU")


def _gpu(device: Device) -> Finding:
    """A GPU's memory and driver, with a note on those that medbench was never run on."""
    free, total = device.available_memory() / _GB, device.total_memory() / _GB
    driver = [f"{name} {version}" for name, version in device.driver().items()]
    text = ", ".join([device.name(), f"{free:.1f} of {total:.1f} GB free", *driver])
    untested = "MPS" if device.type == "mps" else "ROCm" if "ROCm" in device.driver() else None
    fix = f"medbench is untested on {untested}: compare a few numbers with those of a CPU" if untested else ""
    return Finding(f"GPU {device.index}", "note" if untested else "ok", text, fix)


def _disks(run: Path) -> Iterator[Finding]:
    from huggingface_hub import constants

    yield _disk("run folder", run, _NEEDED_BYTES, "--out")
    yield _disk("medbench's cache", medbench_home(), _NEEDED_BYTES, "MEDBENCH_HOME")
    yield _disk("hub's cache", Path(constants.HF_HUB_CACHE), _MODEL_BYTES, "HF_HOME")


def _disk(name: str, folder: Path, needed: float, other: str) -> Finding:
    """Whether a folder, or the nearest above it that is there, can be written to and has room."""
    place = folder.expanduser().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Finding(
            name, "problem", f"{folder}: cannot be written to ({error.strerror})", f"choose another: {other}"
        )
    room = f"{free / _GB:.1f} GB free"
    if free >= needed:
        return Finding(name, "ok", room, place=str(folder))
    fix = f"free some space, or choose another disk: {other}"
    return Finding(
        name, "problem" if free < _NEEDED_BYTES else "note", f"{room}; a model may take more", fix, str(folder)
    )


def _answers() -> Finding:
    """Whether answers are kept across runs, and can be read."""
    from harness.answers.stored_answers import LIMIT, open_store

    name = "answer store"
    try:
        store = open_store()
        if store is None:
            return Finding(name, "note", f"none: {LIMIT} is 0, or medbench's cache cannot be written to")
        with contextlib.closing(store):
            info, aside = store.info(), store.set_aside
    except UserError as error:
        return Finding(name, "problem", error.what, error.fix or "")
    size = f"{info.entries:,} entries, {info.size / _GB:.2f} of at most {info.limit / _GB:g} GB"
    if aside:
        damaged = ", ".join(path.name for path in aside)
        return Finding(
            name,
            "note",
            f"was damaged or of another version, set aside as {damaged}; {size}",
            "its requests are repeated",
        )
    return Finding(name, "ok", size)


def _hub() -> Finding:
    import httpx
    from huggingface_hub import constants

    fix = "quickstart, local models and what is fetched already work without"
    if constants.HF_HUB_OFFLINE:
        return Finding("model hub", "note", "offline, by HF_HUB_OFFLINE", fix)
    try:
        httpx.head(constants.ENDPOINT, timeout=_SECONDS, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Finding("model hub", "note", f"cannot be reached ({type(error).__name__})", fix)
    return Finding("model hub", "ok", "can be reached")


def _token() -> Finding:
    from harness.releases.hub import has_token

    if has_token():
        return Finding("hub token", "ok", "there is one (not shown)")
    return Finding("hub token", "note", "none: gated models and push need one", "run `hf auth login`, or set HF_TOKEN")
