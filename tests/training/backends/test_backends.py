"""Which backend trains, and Unsloth's process: what it is told, what it tells, and how it ends."""

import sys
import textwrap
from importlib.util import find_spec

import pytest
import torch

from benchmarks.tiny_models import make_model
from reports.errors import UserError
from tests.fake_torch import fake_torch
from training.backends import choice as backends
from training.backends import unsloth_backend
from training.backends.job import Job, as_dataset
from training.encoding import encode_rows
from training.models.base_model import find_base
from training.models.device import Cuda, device_of
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows


@pytest.fixture
def unsloth_is_installed(monkeypatch, tmp_path):
    (tmp_path / "packages" / "unsloth").mkdir(parents=True)
    (tmp_path / "packages" / "unsloth" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")


def recipe_with(tiny_recipe, *settings):
    return load_recipe(str(tiny_recipe), settings)


def picked(tiny_recipe, device, *settings):
    recipe = recipe_with(tiny_recipe, *settings)
    return backends.pick_backend(recipe, find_base(recipe.model), device)


CARD = Cuda(fake_torch(cuda=True))
PADDED = "trainer.packing=false"


def test_auto_is_the_faster_backend(tiny_recipe, unsloth_is_installed):
    """On a card TRL if it packs rows, for which attention needs a kernel that older cards do not have, else Unsloth."""
    assert picked(tiny_recipe, CARD) == "trl"
    assert picked(tiny_recipe, CARD, PADDED) == "unsloth"
    assert picked(tiny_recipe, Cuda(fake_torch(cuda=True, bf16=False))) == "unsloth"
    assert picked(tiny_recipe, CARD, PADDED, "trainer.backend=trl") == "trl"
    assert picked(tiny_recipe, CARD, "trainer.backend=unsloth") == "unsloth"
    assert picked(tiny_recipe, device_of("cpu")) == "trl"


def test_models_whose_attention_has_windows_are_trained_with_unsloth(tiny_recipe, unsloth_is_installed, tmp_path):
    base = f"model.base={make_model('mistral', tmp_path)}"
    assert picked(tiny_recipe, CARD, base) == "unsloth"


NF4_ONLY = "Unsloth quantises to NF4 with double quantisation only", "set quantization to that"


@pytest.mark.parametrize(
    ("setting", "reason", "fix"),
    [
        ("quantization.method=fp4", *NF4_ONLY),
        ("quantization.method=int8", *NF4_ONLY),
        ("quantization.double_quant=false", *NF4_ONLY),
        ("trainer.packing=true", "packing is done with TRL here", "set trainer.packing=false"),
        ("trainer.attention=eager", "Unsloth chooses its own attention", "set trainer.attention=auto"),
        (
            "trainer.score_steps=2",
            "scoring while training is done with TRL here",
            "leave trainer.score_steps out",
        ),
    ],
)
def test_what_unsloth_cannot_do_is_trained_with_trl_and_refused_where_unsloth_is_asked_for(
    tiny_recipe, unsloth_is_installed, setting, reason, fix
):
    settings = [setting] if "packing" in setting else [setting, PADDED]
    assert picked(tiny_recipe, CARD, *settings) == "trl"
    with pytest.raises(UserError) as error:
        picked(tiny_recipe, CARD, *settings, "trainer.backend=unsloth")
    assert (error.value.what, error.value.where) == (reason, "trainer.backend: unsloth")
    assert error.value.fix == f"{fix}, or --set trainer.backend=trl"


def test_a_machine_on_which_unsloth_does_not_train_is_named(tiny_recipe, unsloth_is_installed, monkeypatch):
    recipe = recipe_with(tiny_recipe)
    assert backends.unsloth_unsupported(recipe, CARD) is None
    assert backends.unsloth_unsupported(recipe, device_of("cpu")) == (
        "Unsloth trains on an NVIDIA or AMD GPU, and there is none here",
        "use such a machine",
    )
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert backends.unsloth_unsupported(recipe, CARD) == (
        "Unsloth trains on one GPU here, and a launcher started several processes",
        "start one process",
    )


def test_sharded_weights_are_not_scored_while_they_are_trained(tiny_recipe, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    recipe = recipe_with(tiny_recipe, "trainer.score_steps=2")
    with pytest.raises(UserError) as error:
        backends.check_can_train(recipe, find_base(recipe.model), CARD)
    assert error.value.what == "an adapter whose weights are sharded (FSDP) is not scored while it is trained"
    assert error.value.where == "trainer.score_steps"
    assert error.value.fix == "leave it out; trainer.choose_by works without it"


def test_several_processes_train_with_trl(tiny_recipe, unsloth_is_installed, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert picked(tiny_recipe, CARD) == "trl"


def test_unsloth_without_a_card_is_refused_before_anything_is_loaded(tiny_recipe, command, tmp_path):
    words = ("--set", "trainer.backend=unsloth", "--out", tmp_path / "run")
    code, _, error = command("train", "--recipe", tiny_recipe, *words)
    assert code == 2
    assert "there is none here" in error
    assert not (tmp_path / "run" / "recipe.yaml").exists()


@pytest.fixture
def job(tiny_recipe, tmp_path):
    from tasks.rendering import load_tokenizer

    recipe = load_recipe(str(tiny_recipe))
    base = find_base(recipe.model)
    rows = training_rows(recipe)
    tokenizer = load_tokenizer(str(base.folder))
    sets = [as_dataset(encode_rows(tokenizer, recipe, each)) for each in (rows.train, rows.validation)]
    return Job(recipe, base, sets[0], sets[1], tmp_path, device_of("cpu"), "float32")


def test_a_job_is_the_same_after_its_way_to_another_process(job):
    job.save()
    read = Job.load(job.work)
    assert (read.recipe, read.base, read.device, read.dtype) == (job.recipe, job.base, job.device, job.dtype)
    assert read.train.to_dict() == job.train.to_dict()
    assert read.validation.to_dict() == job.validation.to_dict()


@pytest.mark.skipif(find_spec("unsloth") is not None, reason="Unsloth is installed")
def test_the_worker_is_ours_beside_modules_of_the_same_names(job, tmp_path, monkeypatch):
    for name in ("training", "tasks", "reports"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="No module named 'unsloth'"):
        unsloth_backend.train(job, lambda *_: None)


@pytest.fixture
def train_with(tmp_path, job):
    """Train the job with a script in the place of Unsloth's process."""

    def train(text, progress=lambda *_: None):
        path = tmp_path / "worker.py"
        path.write_text("import json, sys\n" + textwrap.dedent(text))
        return unsloth_backend.train(job, progress, command=[sys.executable, str(path)])

    return train


def test_progress_comes_from_the_worker_and_what_libraries_print_does_not(train_with):
    notes = []
    script = """
        print(json.dumps({"step": 1, "steps": 3, "note": "loss 2.000"}))
        print("noise", file=sys.stderr)
        print("Unsloth: Will patch your computer")
        print(3)
        print(json.dumps({"error": {"what": "the loss became nan", "where": "trainer", "fix": "less"}}))
    """
    with pytest.raises(UserError, match="trainer: the loss became nan\n  fix: less"):
        train_with(script, lambda *progress: notes.append(progress))
    assert notes == [(1, 3, "loss 2.000")]


def test_the_workers_lack_of_memory_is_ours(train_with):
    with pytest.raises(torch.OutOfMemoryError, match="2 GiB"):
        train_with('print(json.dumps({"out_of_memory": "tried to allocate 2 GiB"}))')


def test_a_worker_that_dies_is_reported_with_its_last_words(train_with):
    with pytest.raises(UserError, match=r"code 1(.|\n)*no kernel image(.|\n)*backend=trl"):
        train_with('sys.exit("no kernel image is available")')


def test_what_a_library_prints_is_among_the_last_words(train_with):
    with pytest.raises(UserError, match=r"no result(.|\n)*a library's line"):
        train_with('print("a library\'s line")')


def test_the_worker_ends_when_we_are_stopped(train_with):
    script = """
        print(json.dumps({"step": 1, "steps": 3, "note": ""}), flush=True)
        sys.stdin.read()
    """

    def stopped(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_with(script, stopped)  # would wait for ever for a worker that goes on
