"""Experiment trackers by name, through transformers' own integrations: what each requires, and where its files go."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.errors import UserError
from training.checkpoints import SEEDS

if TYPE_CHECKING:
    from training.recipes.recipe import Recipe

_PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
}
_WANDB_HOST = "api.wandb.ai"
PROJECT = "medbench"
TENSORBOARD = "tensorboard"
WANDB = "wandb"  # folder that Weights & Biases makes, with links to its own cache
_set_here: dict[str, str] = {}  # variables of the environment


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
    """Let trackers write below a run folder unless the environment names another.

    The seeds of a run share the folder of the run, in which TensorBoard has a folder for each.

    Args:
        folder: The folder with the adapter's.
    """
    home, logs = folder, folder / TENSORBOARD
    if folder.parent.name == SEEDS:
        home = folder.parent.parent
        logs = home / TENSORBOARD / f"seed-{folder.name}"
    defaults = {
        "TENSORBOARD_LOGGING_DIR": logs,
        "MLFLOW_TRACKING_URI": f"sqlite:///{(home / 'mlflow.db').resolve()}",
        "MLFLOW_EXPERIMENT_NAME": PROJECT,
        "WANDB_DIR": home,
        "WANDB_PROJECT": PROJECT,
        "TRACKIO_DIR": home / "trackio",
    }
    for name, value in defaults.items():
        if os.environ.get(name) in (None, _set_here.get(name)):  # not the user's, but perhaps of an earlier training
            os.environ[name] = _set_here[name] = str(value)


def run_name(recipe: Recipe) -> str:
    """Name of a training in trackers."""
    seed = recipe.trainer.seed
    return recipe.name if seed is None else f"{recipe.name}-seed-{seed}"
