"""`--models base,adapter@*`: kept checkpoints are found, scored in one pass, and shown as a learning curve."""

import json
import os
import shutil

import pytest

import harness
from harness.opening import open_run
from harness.releases.scored_adapters import check_adapters, own_adapters
from harness.runs.unchanged import signature
from reports.document.reading import read_results
from reports.errors import UserError

SETTINGS = ["trainer.max_steps=6", "trainer.save_steps=2", "trainer.keep_checkpoints=all"]
TASKS = ["medbench_pubmedqa", "medbench_perplexity"]


@pytest.fixture(scope="module")
def run(tiny_recipe, tmp_path_factory):
    """A finished run of the base and all checkpoints; tests must not change it."""
    folder = tmp_path_factory.mktemp("checkpoints") / "run"
    arguments = {"models": "base,adapter@*", "tasks": TASKS, "settings": SETTINGS, "quiet": True}
    harness.run(str(tiny_recipe), out=folder, **arguments)
    return folder


def score(recipe, folder, models, *settings):
    return harness.score(
        str(recipe), out=folder, models=models, tasks=TASKS, settings=[*SETTINGS, *settings], quiet=True
    )


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def test_a_run_trains_and_scores_all_checkpoints_against_the_base(run):
    results = read_results(run)
    names = ["base", "adapter-step-2", "adapter-step-4", "adapter-step-6"]
    assert [(model.name, model.step) for model in results.models] == list(zip(names, [None, 2, 4, 6], strict=True))
    assert len({model.sha256 for model in results.models}) == 4
    assert {model.training_data for model in results.models[1:]} == {"known"}
    assert {pair.candidate for pair in results.comparisons} == set(names[1:])
    assert {pair.baseline for pair in results.comparisons} == {"base"}
    assert results.overlap.models == names[1:]
    assert results.training.steps == 6
    assert (results.learning_curve.steps, results.learning_curve.models) == ([2, 4, 6], names[1:])
    tested = [one for one in results.metrics().values() if one[1].sign and not one[1].secondary]
    assert 0 < results.learning_curve.tests <= 3 * len(tested)


def test_both_reports_have_the_curve(run):
    markdown = (run / "report.md").read_text(encoding="utf-8")
    rows = markdown.partition("### Learning curve")[2].partition("\n\n###")[0].split("\n| ")[1:]
    assert [row.partition(" |")[0] for row in rows] == ["Step", "---", "base", "2", "4", "6"]
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "Perplexity ↓ by step with 95 % intervals" in html


def test_some_steps_and_the_adapter_are_scored_in_the_order_given(run, tiny_recipe, copied):
    results = score(tiny_recipe, copied, "adapter@4,base,adapter@2")
    assert [model.name for model in results.models] == ["adapter-step-4", "base", "adapter-step-2"]
    assert results.learning_curve.steps == [2, 4]
    both = score(tiny_recipe, copied, "base,adapter,adapter@*")
    assert [(model.name, model.step) for model in both.models[1:]] == [
        ("adapter", 6),
        ("adapter-step-2", 2),
        ("adapter-step-4", 4),
    ]
    assert both.models[1].sha256 == read_results(run).models[-1].sha256
    assert both.learning_curve.models == ["adapter-step-2", "adapter-step-4", "adapter"]


def test_a_step_that_is_not_there_is_one_message_with_the_steps_that_are(copied, tiny_recipe):
    with pytest.raises(UserError, match="no checkpoint of step 5 was kept; the steps are 2, 4, 6") as error:
        score(tiny_recipe, copied, "base,adapter@5")
    assert "adapter@6" in error.value.fix
    assert score(tiny_recipe, copied, "base,adapter@6").models[1].step == 6


def test_steps_that_will_not_be_kept_are_reported_before_the_training(tiny_recipe, tmp_path):
    with pytest.raises(UserError, match="no checkpoint of step 5 will be kept; the steps are 2, 4, 6"):
        harness.run(str(tiny_recipe), out=tmp_path / "a", models="base,adapter@5", settings=SETTINGS, quiet=True)
    with pytest.raises(UserError, match="keeps no checkpoints") as error:
        harness.run(str(tiny_recipe), out=tmp_path / "b", models="base,adapter@2", quiet=True)
    assert error.value.fix == "add --set trainer.keep_checkpoints=all"
    several = {"models": "base,adapter,adapter@5", "seeds": [1, 2], "settings": SETTINGS}
    with pytest.raises(UserError, match="no checkpoint of step 5 will be kept; the steps are 2, 4, 6"):
        harness.run(str(tiny_recipe), out=tmp_path / "c", **several, quiet=True)
    assert not [*tmp_path.rglob("adapter_model.safetensors")]


def test_a_training_without_checkpoints_is_not_done_again(tiny_run, tiny_recipe, tmp_path, command):
    folder = shutil.copytree(tiny_run, tmp_path / "run")
    code, _, err = command(
        *("score", "--recipe", tiny_recipe, "--out", folder, "--models", "base,adapter@*"),
        *("--set", "trainer.keep_checkpoints=all"),
    )
    assert code == 2
    assert "was trained without keeping checkpoints" in err
    assert "train into another folder with --out" in err
    code, out, _ = command(
        *("train", "--recipe", tiny_recipe, "--out", folder, "--set", "trainer.keep_checkpoints=all"),
    )
    assert code == 0
    assert "trainer.keep_checkpoints has no effect" in " ".join(out.split())
    assert "nothing to train" in " ".join(out.split())


def test_checkpoints_of_another_training_are_none_of_this(copied, tiny_recipe):
    with pytest.raises(UserError, match="it holds no adapter of this recipe"):
        score(tiny_recipe, copied, "base,adapter@*", "trainer.learning_rate=0.02")


def test_a_kept_checkpoint_is_an_adapter_like_any_other(copied, tiny_recipe):
    results = score(tiny_recipe, copied, f"base,mine={copied}/checkpoints/step-*")
    assert [(model.name, model.trained_here, model.step, model.training_data) for model in results.models[1:]] == [
        (f"mine-step-{step}", False, None, "known") for step in (2, 4, 6)
    ]
    assert results.learning_curve is None


def test_the_gate_knows_the_folder_of_a_checkpoint_and_takes_none_by_itself(copied, tiny_recipe, command, tmp_path):
    results = read_results(copied)
    folder = open_run(str(tiny_recipe), out=copied)[1]
    assert own_adapters(results) == []
    assert own_adapters(score(tiny_recipe, copied, "base,adapter@2,adapter")) == ["adapter"]
    assert check_adapters(folder, results, "adapter-step-4")
    shutil.copy(copied / "checkpoints/step-2/adapter_model.safetensors", copied / "checkpoints/step-4")
    with pytest.raises(UserError, match="are not those that were scored"):
        check_adapters(folder, results, "adapter-step-4")
    shutil.rmtree(copied / "checkpoints/step-4")
    assert not check_adapters(folder, results, "adapter-step-4")


def test_a_changed_checkpoint_is_noticed_by_a_run_that_would_only_be_repeated(copied, tiny_recipe):
    recipe, folder = open_run(str(tiny_recipe), out=copied, settings=SETTINGS)
    before = signature(recipe, folder, "base,adapter@*", TASKS)
    assert before == signature(recipe, folder, "base,adapter@*", TASKS)
    path = copied / "checkpoints/step-4/adapter_model.safetensors"
    about, value = path.stat(), bytearray(path.read_bytes())
    value[-1] ^= 1
    path.write_bytes(value)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert signature(recipe, folder, "base,adapter@*", TASKS) != before


def test_one_question_is_answered_by_a_checkpoint(copied, tiny_recipe):
    answers = harness.ask("Why?", str(tiny_recipe), out=copied, models="adapter@2", settings=SETTINGS, max_new_tokens=2)
    assert [*answers] == ["adapter-step-2"]
    other = [*SETTINGS, "trainer.learning_rate=0.02"]
    with pytest.raises(UserError, match="checkpoints are not of this recipe"):
        harness.ask("Why?", str(tiny_recipe), out=copied, models="adapter@2", settings=other)


def test_results_say_the_step_of_each_model(run):
    models = json.loads((run / "results.json").read_text(encoding="utf-8"))["models"]
    assert [model["step"] for model in models] == [None, 2, 4, 6]
