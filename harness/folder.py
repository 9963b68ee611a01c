"""The run folder: where each file of a run lies, and reading back what earlier stages left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from reports.document.reading import samples_path
from reports.errors import UserError
from reports.files import PART, remove_parts
from training.backends.trackers import WANDB
from training.checkpoints import KEPT, SEEDS
from training.models.links import refuse_links_out

_LOCK = ".lock"
_PROBE_SECONDS = 1.0  # others that only ask whether it is locked hold the lock for far less
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run.

    `recipe.yaml`, `adapter/`, `checkpoints/step-STEP/`, `samples/MODEL/TASK.jsonl` (and `.json`, what the answers rest
    on), `predictions/MODEL/TASK.json`, `results.json`, `report.md`, `report.html`, `run.log`.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.yaml"

    @property
    def adapter(self) -> Path:
        """The recipe's own adapter."""
        return self.path / "adapter"

    @property
    def checkpoints(self) -> Path:
        """The adapters of earlier steps that its training has kept."""
        return self.path / KEPT

    def of_seed(self, seed: int) -> RunFolder:
        """Where the adapter of one of several seeds is trained."""
        return RunFolder(self.path / SEEDS / str(seed))

    @property
    def results(self) -> Path:
        """The results document."""
        return self.path / "results.json"

    @property
    def log(self) -> Path:
        """What libraries and stages said."""
        return self.path / "run.log"

    def samples(self, model: str, task: str) -> Path:
        """The samples of one model on one task."""
        return samples_path(self.path, model, task)

    def predictions(self, model: str, task: str) -> Path:
        """The labels that a model gave on a PubMedQA task, in the official submission format."""
        return self.path / "predictions" / model / f"{task}.json"

    @property
    def ratings(self) -> Path:
        """Rating sheets, their key, and the marks that came back."""
        return self.path / "ratings"

    @property
    def judging(self) -> Path:
        """Replies of judges, by judge and rubric."""
        return self.path / "judging"

    @property
    def served(self) -> Path:
        """How servers replied while they answered; without it their answers are requested again."""
        return self.path / ".served"

    def make(self) -> None:
        """Create the folder.

        Raises:
            UserError: It cannot be created or written to, or a link in it leads elsewhere.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            refuse_links_out(self.path, unread=(WANDB,))
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink(missing_ok=True)  # another process of a shared run may have been faster
        except OSError as error:
            raise UserError(
                f"cannot write to the run folder ({error.strerror})",
                where=str(self.path),
                fix="check its rights and the disk, or give another with --out",
            ) from error

    @contextlib.contextmanager
    def lock(self, wait: float = _PROBE_SECONDS) -> Iterator[None]:
        """Keep a second process out of the folder while this one works in it, and tidy up after one that was killed.

        Args:
            wait: Seconds to wait for another process to finish.

        Raises:
            UserError: Another process still works in the folder.
        """
        lock = FileLock(self.path / _LOCK)
        try:
            lock.acquire(timeout=wait, poll_interval=_POLL_SECONDS)
        except Timeout as error:
            raise UserError(
                "another medbench is working in this run folder",
                where=str(self.path),
                fix="wait for it, or give another folder with --out",
            ) from error
        try:
            remove_parts(self.path.rglob(f".*{PART}"))
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        """Whether another process works in the folder; many may ask at once, and nothing is changed by asking."""
        path = self.path / _LOCK
        if not path.is_file():
            return False
        try:
            FileLock(path).acquire(_PROBE_SECONDS, _POLL_SECONDS).lock.release()
        except Timeout:
            return True
        except OSError:  # a folder that cannot be written to, such as an artifact, is locked by nobody
            pass
        return False
