"""Fixed limits of numerical noise by dtype, device and engine, from the committed benchmark."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from reports.document.evidence import FixedNoise
from reports.files import read_json

LIMITS_FILE = Path(__file__).with_name("noise_limits.json")  # written by `python -m benchmarks.numerical_noise`


def fixed_noise(dtype: str, device: str, engine: str) -> FixedNoise | None:
    """Limits for an arithmetic, or None if the benchmark does not cover it."""
    rows = (FixedNoise.model_validate(row) for row in _document()["limits"])
    return next((row for row in rows if (row.dtype, row.device, row.engine) == (dtype, device, engine)), None)


@functools.cache
def _document() -> Any:
    return read_json(LIMITS_FILE)
