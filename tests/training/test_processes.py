"""Several processes of one training: what they share, and what is refused (together: test_two_processes.py)."""

import os
import subprocess
import sys
from functools import partial

import pytest

from reports.errors import UserError
from training.backends import sft, trl_backend
from training.finetune import finetune
from training.log import read_log
from training.models.base_model import find_base
from training.processes import share_of_one
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows

_SETTINGS = ("trainer.gradient_accumulation=2", "trainer.max_steps=2", "data.train.rows=12")


def test_accumulation_is_shared_out_evenly_or_refused(tiny_recipe, monkeypatch):
    recipe = load_recipe(str(tiny_recipe), ["trainer.gradient_accumulation=4"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert share_of_one(recipe).trainer.gradient_accumulation == 2
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="3 processes cannot share 4 batches") as error:
        share_of_one(recipe)
    assert error.value.where == "trainer.gradient_accumulation"
    assert error.value.fix == "start a number of processes that divides 4, or make it a multiple of 3"


def test_a_whole_run_is_refused_in_several_processes(tiny_recipe, command, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, error = command("run", "--recipe", tiny_recipe, "--out", tmp_path / "run")
    assert code == 2
    assert "`medbench run` runs in one process" in error


@pytest.mark.slow
def test_sharded_weights_are_gathered_bit_for_bit(tiny_recipe, command, tmp_path):
    settings = (*_SETTINGS, "model.dtype=bfloat16", "trainer.packing=false")  # which several processes do not do
    words = ["train", "--recipe", str(tiny_recipe), *(word for setting in settings for word in ("--set", setting))]
    code, _, error = command(*words, "--out", tmp_path / "one")
    assert code == 0, error
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "tests.training.sharded"]
    done = subprocess.run(
        [*launcher, *words, "--out", str(tmp_path / "two")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (read_log(tmp_path / name / "adapter") for name in ("one", "two"))
    assert (two.processes, two.total_parameters) == (2, one.total_parameters)
    for key in ("loss", "grad_norm", "eval_loss"):  # bfloat16 rounds by the number of threads
        wanted = [losses[key] for losses in one.losses if key in losses]
        assert [losses[key] for losses in two.losses if key in losses] == pytest.approx(wanted, rel=5e-3), key


@pytest.mark.parametrize(
    ("settings", "where", "fix"),
    [
        ({}, "fsdp_version, in the configuration of `accelerate launch`", "set fsdp_version: 2"),
        (
            {"FSDP_VERSION": "2", "FSDP_ACTIVATION_CHECKPOINTING": "true"},
            "fsdp_activation_checkpointing, in the configuration of `accelerate launch`",
            "trainer.gradient_checkpointing=true",
        ),
    ],
)
def test_kinds_of_fsdp_that_cannot_train_an_adapter_are_refused(
    tiny_recipe, command, tmp_path, monkeypatch, settings, where, fix
):
    for name, value in {"ACCELERATE_USE_FSDP": "true", **settings}.items():
        monkeypatch.setenv(name, value)
    code, _, error = command("train", "--recipe", tiny_recipe, "--out", tmp_path / "run")
    assert code == 2
    assert where in error
    assert fix in error


def test_one_process_uses_one_card_of_a_machine_with_several(tiny_recipe, tmp_path, monkeypatch):
    """Transformers would spread the batch over all of them, and add up the losses."""
    from transformers import TrainingArguments

    made = TrainingArguments.__post_init__

    def two_cards(self):
        made(self)
        self._n_gpu = 2

    monkeypatch.setattr(TrainingArguments, "__post_init__", two_cards)
    trainers = []

    def kept(*arguments, **further):
        trainers.append(sft.make_trainer(*arguments, **further))
        return trainers[-1]

    recipe = load_recipe(str(tiny_recipe), ["trainer.max_steps=1", "trainer.eval_steps=null"])
    base, backend = find_base(recipe.model), partial(trl_backend.train, make=kept)
    finetune(recipe, base, training_rows(recipe), tmp_path / "adapter", lambda *_: None, backend)
    assert trainers[0].args.n_gpu == 1
    assert trainers[0].model_wrapped is trainers[0].model
