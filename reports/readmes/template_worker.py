"""The process of a README block's template: `python -m reports.readmes.template_worker TEMPLATE RUN...`.

It prints JSON: `text`, or `error` with the fields of a `UserError`. The template gets the results as data and our
functions for tables; methods of pydantic models, which unpickle what they are given, are out of its reach.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from reports import tables, training_tables
from reports.document.reading import displayed_results, read_results
from reports.document.schema import Results
from reports.errors import UserError
from reports.readmes.blocks import BLOCKS
from reports.readmes.user_template import SECONDS
from reports.templating import sandbox, template_errors
from reports.text import Markdown

_MEMORY = 512 << 20  # bytes, beside what this process has before it renders
_MOST_CHARACTERS = 1_000_000  # of the block
_NEEDS_FOLDER = "examples"  # the block that needs the run's folder


def _main(template: Path, runs: list[Path]) -> dict[str, Any]:
    try:
        loaded = [displayed_results(read_results(run)) for run in runs]
        _limit_process()
        with template_errors("", template):
            return {"text": _render(template.read_text(encoding="utf-8"), loaded)}
    except UserError as error:
        return {"error": {"what": error.what, "where": error.where, "fix": error.fix}}


def _limit_process() -> None:
    """Set limits at which Python raises `MemoryError` or `TimeoutError`; if it cannot, the system kills the process."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"it takes more than {SECONDS} s")

    with contextlib.suppress(ImportError, OSError, ValueError):  # not on Windows, and in part on macOS
        import resource

        signal.signal(signal.SIGXCPU, stop)
        used = psutil.Process().cpu_times()
        end = int(used.user + used.system) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (end, end + 2))
        size = psutil.Process().memory_info().vms + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _render(text: str, runs: list[Results]) -> str:
    blocks = {
        name: lambda results, make=make: Markdown(make(Path(), results))
        for name, make in BLOCKS.items()
        if name != _NEEDS_FOLDER
    }
    parts, size = [], 0
    for part in (
        sandbox()
        .from_string(text)
        .generate(
            runs=runs,
            results=runs[0],
            tables=_functions(tables),
            training_tables=_functions(training_tables),
            blocks=blocks,
        )
    ):
        parts.append(part)
        size += len(part)
        if size > _MOST_CHARACTERS:
            raise ValueError(f"it writes more than {_MOST_CHARACTERS:,} characters")
    return "".join(parts)


def _functions(module: ModuleType) -> dict[str, Any]:
    """The public functions and texts that a module defines, and nothing that it imports."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, str) or (isfunction(value) and value.__module__ == module.__name__))
    }


if __name__ == "__main__":
    json.dump(_main(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]]), sys.stdout)
