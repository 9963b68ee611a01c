"""Start times of vLLM by base: a later start is faster, because it reuses what the first one compiled."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from reports.errors import UserError
from reports.files import read_json, sha256_value, write_json
from reports.home import medbench_home

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan

_FIRST_SECONDS = 140.0  # compiling and recording graphs for 8 billion parameters, on an H200


def last_start_seconds(plan: Plan) -> float:
    """Seconds of the last start with this base and these settings, or of a typical first start."""
    return _read().get(_key(plan), _FIRST_SECONDS)


def remember_start(plan: Plan, seconds: float) -> None:
    """Save a start for the next estimate, if medbench's folder is writable."""
    with contextlib.suppress(OSError, UserError):
        write_json(_path(), {**_read(), _key(plan): seconds})


def _read() -> dict[str, float]:
    try:
        value = read_json(_path())
    except (OSError, UserError):
        return {}
    return value if isinstance(value, dict) else {}


def _path() -> Path:
    return medbench_home() / "vllm" / "starts.json"


def _key(plan: Plan) -> str:
    return sha256_value([plan.base.sha256, plan.weights, len(plan.models), plan.recipe.scoring.vllm])
