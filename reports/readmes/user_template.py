"""Renders the template of a README block, which may come from a stranger, in a process with limited time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from reports.errors import UserError

SECONDS = 2  # of computing
_WAIT = 60  # seconds; for systems that cannot limit the time of computing
_WORKER = "reports.readmes.template_worker"


def render_template(template: Path, runs: Sequence[Path]) -> str:
    """Render a template with the results of runs.

    Raises:
        UserError: A file cannot be read, or the template fails or takes too much time or memory.
    """
    ours = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join([ours, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        worker = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", _WORKER, str(template), *map(str, runs)],
            env=os.environ | {"PYTHONPATH": search_path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WAIT,
            check=True,
        )
    except subprocess.SubprocessError as error:  # timeout or killed
        raise UserError(
            f"the template takes more than {SECONDS} s or too much memory", where=str(template), fix="shorten it"
        ) from error
    answer = json.loads(worker.stdout)
    if "error" in answer:
        raise UserError(**answer["error"])
    return str(answer["text"])
