"""Experiment trackers by name, through transformers' own integrations: what each requires, and where its files go."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from reports.errors import UserError

_PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
}
_WANDB_HOST = "api.wandb.ai"
PROJECT = "medbench"


def check_trackers(names: Sequence[str]) -> None:
    """Check that each tracker's package is installed, and its token set if it requires one.

    Raises:
        UserError: One is missing; the message says which and how to get it.
    """
    for name in names:
        if not any(importlib.util.find_spec(package) for package in _PACKAGES[name]):
            raise UserError(
                f"the package for {name} is not installed",
                where=f"trainer.trackers: {name}",
                fix=f"run `pip install {_PACKAGES[name][0]}`, or leave it out: --set trainer.trackers=[]",
            )
        if name == "wandb" and not _wandb_has_token():
            raise UserError(
                "Weights & Biases has no token on this machine",
                where=f"trainer.trackers: {name}",
                fix="run `wandb login` or set WANDB_API_KEY; WANDB_MODE=offline needs none",
            )


def _wandb_has_token() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return True
    import netrc

    try:
        return netrc.netrc().authenticators(_WANDB_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def keep_in(folder: Path) -> None:
    """Let trackers write below a run folder unless the environment names another."""
    defaults = {
        "TENSORBOARD_LOGGING_DIR": folder / "tensorboard",
        "MLFLOW_TRACKING_URI": f"sqlite:///{(folder / 'mlflow.db').resolve()}",
        "MLFLOW_EXPERIMENT_NAME": PROJECT,
        "WANDB_DIR": folder,
        "WANDB_PROJECT": PROJECT,
        "TRACKIO_DIR": folder / "trackio",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, str(value))
