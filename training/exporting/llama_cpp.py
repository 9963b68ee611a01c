"""llama.cpp's converter and quantiser, if they are on this machine: `MEDBENCH_LLAMA_CPP` or the search path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from reports.errors import UserError

_VARIABLE = "MEDBENCH_LLAMA_CPP"
_CONVERTER, _QUANTISER = "convert_hf_to_gguf.py", "llama-quantize"
CONVERTED = ("f32", "f16", "bf16", "q8_0")  # types that the converter writes itself
QUANTISED = (
    *("q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m"),
    *("q6_k", "iq4_nl", "iq4_xs"),
)


def converter() -> Path | None:
    """The script that converts model folders, or None if there is none."""
    return _tool(_CONVERTER)


def quantiser() -> Path | None:
    """The program that quantises GGUF files, or None if there is none."""
    return _tool(_QUANTISER)


def _tool(name: str) -> Path | None:
    given = os.environ.get(_VARIABLE)
    if given:
        folders = [Path(given).expanduser() / below for below in ("", "build/bin", "bin")]
        if not folders[0].is_dir():
            raise UserError("there is no such folder", where=f"{_VARIABLE}={given}", fix="write llama.cpp's folder")
        return next((folder / name for folder in folders if (folder / name).is_file()), None)
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


def convert(script: Path, folder: Path, out: Path, kind: str) -> None:
    """Convert a model folder to a GGUF file of one of `CONVERTED`.

    Raises:
        UserError: The converter fails.
    """
    _run([sys.executable, str(script), str(folder), "--outfile", str(out), "--outtype", kind])


def quantise_file(program: Path, source: Path, out: Path, kind: str) -> None:
    """Quantise a GGUF file to one of `QUANTISED`.

    Raises:
        UserError: The quantiser fails.
    """
    _run([str(program), str(source), str(out), kind.upper()])


def _run(command: list[str]) -> None:
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=offline)  # noqa: S603
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-1:]
        tool = Path(command[1] if command[0] == sys.executable else command[0]).name
        raise UserError(
            f"llama.cpp's {tool} failed: {said[0][:300] if said else 'it gave no reason'}",
            where=f"{_VARIABLE} or PATH",
            fix="check that this version of llama.cpp and its Python packages support the model",
        )
