"""Remembers how long vLLM took to start with a base, because a later start finds what the first one compiled."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from reports.errors import UserError
from reports.files import read_json, sha256_value, write_json
from training.home import medbench_home

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan

_FIRST_SECONDS = 140.0  # compiling and recording graphs for 8 billion parameters, on an H200


def known_start_seconds(plan: Plan) -> float:
    """The last start with this base and these settings, else a first one."""
    return _read().get(_key(plan), _FIRST_SECONDS)


def remember_start(plan: Plan, seconds: float) -> None:
    """Note a start for the next estimate; only an estimate is lost where it cannot be written."""
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
