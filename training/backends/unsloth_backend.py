"""The Unsloth backend, the parent's side: starts the worker process, relays its events, and never leaves it running.

Importing Unsloth patches transformers, PEFT and TRL for the whole process, so it runs in a subprocess.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import training
from reports.errors import UserError
from training.backends.job import Job, Progress, TrainingResult

NAME = "unsloth"
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "unsloth", "unsloth_zoo")
_LOG = "unsloth.log"
_TAIL_LINES = 8
_EVENTS = {"step", "done", "error", "out_of_memory"}  # one of these is in every event
COMMAND = (sys.executable, "-P", "-m", "training.backends.unsloth_worker")


def train(job: Job, progress: Progress, *, command: Sequence[str] = COMMAND) -> TrainingResult:
    """Train a job in a subprocess; see `training.backends.job.Backend`.

    Args:
        job: What to train.
        progress: Called after each step.
        command: Command that starts the process; the job's folder is appended.

    Raises:
        UserError: Also if the process ends without a result; the message has the last lines that it printed.
    """
    job.save()
    answer: dict[str, Any] | None = None
    with _worker(job.work, command) as worker:
        for line in worker.stdout or ():
            event = _event(line)
            if event is None:
                _append(job.work / _LOG, line)
            elif "step" in event:
                progress(event["step"], event["steps"], event["note"])
            else:
                answer = event
    if answer is None:
        raise _died(job.work / _LOG, worker.returncode)
    if "out_of_memory" in answer:
        import torch

        raise torch.OutOfMemoryError(answer["out_of_memory"])
    if "error" in answer:
        raise UserError(**answer["error"])
    return TrainingResult.model_validate(answer["done"])


def _event(line: str) -> dict[str, Any] | None:
    """An event of the worker, or None for a line that a library printed before the worker took over its output."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and event.keys() & _EVENTS else None


def _append(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(line)


@contextmanager
def _worker(work: Path, command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """The worker process: its output goes to a file, its events to `stdout`; it ends when `stdin` is closed."""
    ours = str(Path(training.__path__[0]).resolve().parent)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([ours, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "UNSLOTH_DISABLE_STATISTICS": "1",
        "UNSLOTH_DISABLE_CPU_FALLBACK": "1",
        "UNSLOTH_DISABLE_AUTO_PADDING_FREE": "1",
        "UNSLOTH_COMPILE_LOCATION": str((work / "unsloth_compiled").resolve()),
        "TOKENIZERS_PARALLELISM": "false",
    }
    (work / _LOG).unlink(missing_ok=True)
    with (work / _LOG).open("a", encoding="utf-8") as log:  # what is appended here does not overwrite the worker's
        worker = subprocess.Popen(  # noqa: S603 - our own module
            [*command, str(work.resolve())],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield worker
            worker.wait()
        finally:
            worker.kill()
            worker.communicate()


def _died(log: Path, code: int) -> UserError:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return UserError(
        f"Unsloth's process ended with code {code} and no result; its last lines:\n  "
        + "\n  ".join(lines[-_TAIL_LINES:]),
        where="trainer.backend: unsloth",
        fix="train with --set trainer.backend=trl, or fix what its output reports",
    )
