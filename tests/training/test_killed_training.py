"""Trainings that were killed go on where they stopped, and end with the adapter of an uninterrupted one."""

from functools import partial
from pathlib import Path

import pytest

from training.backends import sft, trl_backend
from training.finetune import finetune
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows


def ignore(*_):
    pass


def with_trainer(make):
    """The TRL backend with trainers that `make` makes."""
    return partial(trl_backend.train, make=make)


@pytest.mark.parametrize("setting", ["lora.dropout=0.1", "model.dtype=bfloat16"])
def test_a_killed_training_goes_on_and_ends_with_the_same_adapter(tiny_recipe, tmp_path, setting):
    settings = ["trainer.max_steps=8", "trainer.save_steps=2", "trainer.eval_steps=3", setting]
    recipe = load_recipe(str(tiny_recipe), settings)
    base, rows = find_base(recipe.model), training_rows(recipe)
    whole = finetune(recipe, base, rows, tmp_path / "whole" / "adapter", ignore)

    def killed(done, *_):
        if done == 5:
            raise KeyboardInterrupt

    folder = tmp_path / "killed" / "adapter"
    with pytest.raises(KeyboardInterrupt):
        finetune(recipe, base, rows, folder, killed)
    assert not folder.exists()
    notes = []
    log = finetune(recipe, base, rows, folder, lambda *progress: notes.append(progress[2]))
    assert "resuming from step 4, where an earlier training stopped" in notes
    assert log.losses == whole.losses
    files = [adapter / "adapter_model.safetensors" for adapter in (folder, tmp_path / "whole" / "adapter")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]


@pytest.mark.parametrize(
    "settings",
    [
        ["trainer.eval_steps=null"],
        ["trainer.eval_steps=2"],
        ["trainer.max_steps=null", "trainer.epochs=1"],
        ["model.dtype=bfloat16"],
    ],
)
def test_a_training_killed_after_its_last_step_trains_no_step_more(tiny_recipe, tmp_path, settings):
    recipe = load_recipe(str(tiny_recipe), ["trainer.max_steps=4", "trainer.save_steps=2", *settings])
    base, rows = find_base(recipe.model), training_rows(recipe)
    whole = finetune(recipe, base, rows, tmp_path / "whole" / "adapter", ignore)
    folder = tmp_path / "killed" / "adapter"

    def killed_at_the_end(job, *arguments, **further):
        trainer = sft.make_trainer(job, *arguments, **further)
        save = trainer.model.save_pretrained

        def save_checkpoints_only(path, **settings):
            if Path(path) == job.made:
                raise KeyboardInterrupt
            save(path, **settings)

        trainer.model.save_pretrained = save_checkpoints_only
        return trainer

    with pytest.raises(KeyboardInterrupt):
        finetune(recipe, base, rows, folder, ignore, with_trainer(killed_at_the_end))
    log = finetune(recipe, base, rows, folder, ignore)
    assert (log.steps, log.epochs, log.losses) == (whole.steps, whole.epochs, whole.losses)
    files = [adapter / "adapter_model.safetensors" for adapter in (folder, tmp_path / "whole" / "adapter")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_a_training_of_another_recipe_left_is_not_gone_on_from(tiny_recipe, tmp_path):
    left = tmp_path / ".training-0123456789abcdef" / "checkpoints" / "checkpoint-2"
    left.mkdir(parents=True)
    (left / "trainer_state.json").write_text("{}")
    recipe = load_recipe(str(tiny_recipe), ["trainer.max_steps=1", "trainer.eval_steps=null"])
    notes = []
    rows, folder = training_rows(recipe), tmp_path / "adapter"
    finetune(recipe, find_base(recipe.model), rows, folder, lambda *progress: notes.append(progress[2]))
    assert not any("going on" in note for note in notes)
    assert not left.exists()
