"""Experiment trackers: nothing by default, real TensorBoard files by name, one message where something is missing."""

import os
import sys

import pytest

from reports.errors import UserError
from training.backends.trackers import check_trackers, keep_in
from training.finetune import finetune, fingerprint
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows


@pytest.fixture
def wandb_is_installed(monkeypatch, tmp_path):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"mlflow is not installed\n.*pip install mlflow"):
        check_trackers(["mlflow"])


def test_wandb_wants_a_token_unless_it_is_offline(wandb_is_installed, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"no token(.|\n)*WANDB_API_KEY"):
        check_trackers(["wandb"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_trackers(["wandb"])


@pytest.mark.parametrize(("below", "logs"), [("", "tensorboard"), ("seeds/7", "tensorboard/seed-7")])
def test_trackers_write_below_the_run_folder_unless_the_environment_says_otherwise(tmp_path, monkeypatch, below, logs):
    names = ("TENSORBOARD_LOGGING_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_DIR", "WANDB_PROJECT")
    for name in (*names, "TRACKIO_DIR"):
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    keep_in(tmp_path / below)
    assert {name: os.environ[name] for name in (*names, "TRACKIO_DIR")} == {
        "TENSORBOARD_LOGGING_DIR": str(tmp_path / logs),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path.resolve()}/mlflow.db",
        "MLFLOW_EXPERIMENT_NAME": "medbench",
        "WANDB_DIR": str(tmp_path),
        "WANDB_PROJECT": "mine",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
    }


def test_tensorboard_gets_the_losses_and_the_adapter_is_the_same_training(tiny_recipe, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tensorboard"))
    recipe = load_recipe(str(tiny_recipe), ["trainer.trackers=[tensorboard]"])
    base, rows = find_base(recipe.model), training_rows(recipe)
    log = finetune(recipe, base, rows, tmp_path / "adapter", lambda *_: None)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [each.value for each in events.Scalars("train/loss")]
    assert losses == pytest.approx([each["loss"] for each in log.losses if "loss" in each])
    assert log.fingerprint == fingerprint(load_recipe(str(tiny_recipe)), base, rows)
