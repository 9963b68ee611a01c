"""`trainer.keep_checkpoints`: adapters of earlier steps, each with its record, also after a kill."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from reports.errors import UserError
from training.backends import sft, trl_backend
from training.checkpoints import checkpoint_fingerprint, checkpoint_folders, steps_to_keep
from training.exporting.provenance import recorded_rows
from training.finetune import finetune, fingerprint, kept_steps, rows_hash, trained_adapter
from training.log import read_log
from training.models.adapters import find_adapter
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows

WEIGHTS = "adapter_model.safetensors"
SETTINGS = ["trainer.max_steps=7", "trainer.save_steps=2", "trainer.schedule=constant"]


def ignore(*_):
    pass


@pytest.fixture
def train(tiny_recipe, tmp_path):
    """Train the tiny recipe with these settings into a folder of this name; returns the log."""

    def call(name, *settings, progress=ignore, backend=None):
        recipe = load_recipe(str(tiny_recipe), [*SETTINGS, *settings])
        rows = training_rows(recipe)
        return finetune(recipe, find_base(recipe.model), rows, tmp_path / name / "adapter", progress, backend)

    return call


def contents(kept):
    """Everything in the kept adapters but the times and memory in their logs."""
    files = {}
    for path in sorted(path for path in kept.rglob("*") if path.is_file()):
        value = path.read_bytes()
        if path.name == "training_log.json":
            measured = ("seconds", "seconds_per_step", "tokens_per_second", "memory")
            value = {key: part for key, part in json.loads(value).items() if key not in measured}
        files[str(path.relative_to(kept))] = value
    return files


def test_every_save_steps_and_the_last_step_are_kept_with_their_records(train, tmp_path, tiny_recipe):
    log = train("run", "trainer.keep_checkpoints=all", "trainer.eval_steps=2")
    kept = checkpoint_folders(tmp_path / "run" / "checkpoints")
    assert [*kept] == [2, 4, 6, 7]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["adapter", "checkpoints"]
    recipe = load_recipe(str(tiny_recipe), [*SETTINGS, "trainer.eval_steps=2"])
    base, rows = find_base(recipe.model), training_rows(recipe)
    wanted = fingerprint(recipe, base, rows)
    assert kept_steps(tmp_path / "run" / "adapter", wanted) == kept
    weights = set()
    for step, folder in kept.items():
        own = read_log(folder)
        assert (own.step, own.steps, own.fingerprint) == (step, step, checkpoint_fingerprint(wanted, step))
        assert [record["step"] for record in own.losses if "loss" in record] == [*range(1, step + 1)]
        assert own.final_loss == [record["loss"] for record in log.losses if "loss" in record][step - 1]
        model = find_adapter("mine", str(folder), base)
        assert (own.weights_sha256, own.config_sha256) == (model.sha256, model.config_sha256)
        assert rows_hash(recorded_rows(model).train) == log.data_sha256
        assert not any("optimizer" in path.name or "scheduler" in path.name for path in folder.iterdir())
        weights.add(model.sha256)
    assert len(weights) == 4
    assert log.step == 7
    last, whole = (load_file(folder / WEIGHTS) for folder in (kept[7], tmp_path / "run" / "adapter"))
    assert all((last[name] == whole[name]).all() for name in whole)


def test_a_kept_adapter_is_that_of_a_training_which_ends_there(train, tmp_path):
    train("long", "trainer.keep_checkpoints=all")
    train("short", "trainer.max_steps=4")
    kept = tmp_path / "long" / "checkpoints" / "step-4"
    for name in (WEIGHTS, "adapter_config.json", "tokenizer.json", "README.md"):
        assert (kept / name).read_bytes() == (tmp_path / "short" / "adapter" / name).read_bytes()


def test_keeping_changes_neither_adapter_nor_fingerprint(train, tmp_path, tiny_recipe):
    logs = [train("plain"), train("keeps", "trainer.keep_checkpoints=2", "lora.dropout=0.0")]
    assert logs[0].fingerprint == logs[1].fingerprint
    assert logs[0].losses == logs[1].losses
    assert logs[0].settings == logs[1].settings
    assert "keep_checkpoints" not in logs[0].settings["trainer"]
    files = [tmp_path / name / "adapter" / WEIGHTS for name in ("plain", "keeps")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [*checkpoint_folders(tmp_path / "keeps" / "checkpoints")] == [6, 7]
    assert not (tmp_path / "plain" / "checkpoints").exists()


def test_a_kept_adapter_is_not_taken_for_the_finished_training(train, tmp_path):
    log = train("run", "trainer.keep_checkpoints=all")
    assert trained_adapter(tmp_path / "run" / "checkpoints" / "step-7", log.fingerprint) is None


@pytest.mark.parametrize("keep", ["all", "2"])
@pytest.mark.parametrize("killed_at", [1, 3, 5])
def test_a_killed_training_that_goes_on_has_the_checkpoints_of_an_undisturbed_one(train, tmp_path, keep, killed_at):
    settings = [f"trainer.keep_checkpoints={keep}", "trainer.eval_steps=3", "lora.dropout=0.1"]
    train("whole", *settings)

    def killed(done, *_):
        if done == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("killed", *settings, progress=killed)
    assert not (tmp_path / "killed" / "checkpoints").exists()
    notes = []
    train("killed", *settings, progress=lambda *said: notes.append(said[2]))
    assert not any("cannot be kept" in note for note in notes)
    whole, resumed = (contents(tmp_path / name / "checkpoints") for name in ("whole", "killed"))
    assert whole == resumed
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["adapter", "checkpoints"]


@pytest.mark.parametrize(("step", "kept"), [(4, [2, 4]), (7, [2, 4, 6, 7])])
def test_killed_between_a_kept_adapter_and_the_trainers_checkpoint(train, tmp_path, step, kept):
    """The step is trained again from the one before; a half-written folder is never taken for a kept adapter."""
    train("whole", "trainer.keep_checkpoints=all")

    def killed_while_saving(*arguments, **further):
        trainer = sft.make_trainer(*arguments, **further)
        save = trainer.model.save_pretrained

        def save_until_the_step(path, **settings):
            save(path, **settings)
            if str(path).endswith(f"checkpoint-{step}"):
                raise KeyboardInterrupt

        trainer.model.save_pretrained = save_until_the_step
        return trainer

    with pytest.raises(KeyboardInterrupt):
        train("killed", "trainer.keep_checkpoints=all", backend=partial(trl_backend.train, make=killed_while_saving))
    (work,) = (tmp_path / "killed").glob(".training-*")
    assert [*checkpoint_folders(work / "kept")] == kept
    (work / "kept" / f".step-{step}").mkdir()
    train("killed", "trainer.keep_checkpoints=all")
    assert contents(tmp_path / "killed" / "checkpoints") == contents(tmp_path / "whole" / "checkpoints")


def test_killed_between_putting_checkpoints_and_adapter(train, tmp_path, monkeypatch):
    replace = Path.replace

    def killed(path, target):
        if target == tmp_path / "run" / "adapter":
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            train("run", "trainer.keep_checkpoints=all")
    before = contents(tmp_path / "run" / "checkpoints")
    assert [path.rpartition("/")[0] for path in before if path.endswith(WEIGHTS)] == [
        "step-2",
        "step-4",
        "step-6",
        "step-7",
    ]
    train("run", "trainer.keep_checkpoints=all")
    assert contents(tmp_path / "run" / "checkpoints") == before
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["adapter", "checkpoints"]


def test_the_checkpoints_of_another_training_are_moved_aside_with_its_adapter(train, tmp_path):
    train("run", "trainer.keep_checkpoints=all")
    train("run", "trainer.learning_rate=0.02")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["adapter", "adapter.old-1", "checkpoints.old-1"]


def test_steps_that_were_trained_before_the_setting_are_reported(train, tmp_path):
    def killed(done, *_):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("run", progress=killed)
    notes = []
    train("run", "trainer.keep_checkpoints=all", progress=lambda *said: notes.append(said[2]))
    note = "the adapters of steps 2, 4 cannot be kept: an earlier part of the training did not keep any"
    assert note in notes
    assert [*checkpoint_folders(tmp_path / "run" / "checkpoints")] == [6, 7]


def test_with_keep_best_other_steps_are_kept_than_the_trainer_saves(train, tmp_path):
    log = train("run", "trainer.keep_checkpoints=all", "trainer.keep_best=true", "trainer.eval_steps=3")
    assert [*checkpoint_folders(tmp_path / "run" / "checkpoints")] == [2, 4, 6, 7]
    validations = {int(record["step"]): record["eval_loss"] for record in log.losses[:-1] if "eval_loss" in record}
    assert log.step == min(validations, key=validations.__getitem__)


def test_the_last_step_is_kept_when_early_stopping_ends_the_training(train, tmp_path):
    log = train(
        "run",
        *("trainer.max_steps=30", "trainer.learning_rate=1e-30", "trainer.save_steps=4", "trainer.eval_steps=3"),
        *("trainer.keep_checkpoints=all", "trainer.keep_best=true", "trainer.early_stopping_patience=1"),
    )
    assert (log.steps, log.step) == (6, 3)  # the validation loss is the same every time
    assert [*checkpoint_folders(tmp_path / "run" / "checkpoints")] == [4, 6]


def test_a_kept_adapter_that_was_changed_is_an_error(train, tmp_path):
    log = train("run", "trainer.keep_checkpoints=all")
    folder = tmp_path / "run" / "checkpoints"
    shutil.copy(folder / "step-2" / WEIGHTS, folder / "step-4" / WEIGHTS)
    with pytest.raises(UserError, match=r"weights .* are not those that its training produced"):
        kept_steps(tmp_path / "run" / "adapter", log.fingerprint)


@pytest.mark.parametrize(
    ("keep", "last", "steps"),
    [("all", 7, [2, 4, 6, 7]), ("all", 6, [2, 4, 6]), ("1", 7, [7]), ("3", 7, [4, 6, 7]), ("all", 1, [1])],
)
def test_the_steps_to_keep(tiny_recipe, keep, last, steps):
    recipe = load_recipe(str(tiny_recipe), [*SETTINGS, f"trainer.keep_checkpoints={keep}"])
    assert steps_to_keep(recipe.trainer, last) == steps
    assert steps_to_keep(recipe.trainer, None) == []
