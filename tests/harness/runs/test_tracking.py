"""Scores of checkpoints in the trackers of their training: the values of the learning curve, by step, once."""

import shutil

import pytest

import harness
from harness.runs.tracking import scores_by_step
from reports.document.reading import read_results
from tests.reports.page.curves import curve_results, seed_curve_results
from tests.training.backends.test_tracked_runs import scalars

pytestmark = pytest.mark.usefixtures("without_plots")

SETTINGS = ["trainer.max_steps=4", "trainer.save_steps=2", "trainer.keep_checkpoints=all"]
TRACKED = [*SETTINGS, "trainer.trackers=[tensorboard]"]
ARGUMENTS = {"models": "base,adapter@*", "tasks": ["medbench_perplexity"], "quiet": True}


@pytest.fixture(scope="module")
def run(tiny_recipe, tmp_path_factory):
    """A finished run with checkpoints and TensorBoard; tests must not change it."""
    folder = tmp_path_factory.mktemp("tracked") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORBOARD_LOGGING_DIR", str(folder / "tensorboard"))
        harness.run(str(tiny_recipe), out=folder, settings=TRACKED, **ARGUMENTS)
    return folder


def test_the_losses_and_the_scores_of_all_steps_are_in_one_folder(run):
    results, events = read_results(run), scalars(run / "tensorboard")
    values = {score.model: score.value for score in results.scores if score.metric == "perplexity"}
    names = {0: "base", 2: "adapter-step-2", 4: "adapter-step-4"}
    shown = events["scores/medbench_perplexity/perplexity"]
    assert [step for step, _ in shown] == [0, 2, 4]
    assert [value for _, value in shown] == pytest.approx([values[name] for name in names.values()])
    losses = [entry["loss"] for entry in results.training.losses if "loss" in entry]
    assert [value for _, value in events["train/loss"]] == pytest.approx(losses)


def test_scoring_again_adds_no_point(run, tiny_recipe, tmp_path, monkeypatch):
    folder = shutil.copytree(run, tmp_path / "run")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(folder / "tensorboard"))
    before = scalars(folder / "tensorboard")
    harness.score(str(tiny_recipe), out=folder, settings=TRACKED, again=True, **ARGUMENTS)
    assert scalars(folder / "tensorboard") == before


def test_a_tracker_that_fails_leaves_scores_and_a_note(run, tiny_recipe, tmp_path, monkeypatch):
    folder = shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(file / "below"))
    results = harness.score(str(tiny_recipe), out=folder, settings=TRACKED, again=True, **ARGUMENTS)
    assert results.scores == read_results(run).scores
    assert results.notes[-1].startswith("the scores were not reported to tensorboard (NotADirectoryError")
    assert read_results(folder).notes == results.notes


def test_main_metrics_by_step_with_the_base_at_step_0():
    assert scores_by_step(curve_results(), None) == {
        "0": {"scores/quiz/acc": 0.4},
        "20": {"scores/quiz/acc": 0.5},
        "40": {"scores/quiz/acc": 0.7},
        "60": {"scores/quiz/acc": 0.5},
        "80": {"scores/quiz/acc": 0.48},
    }
    seeds = seed_curve_results({1: (50, 70), 2: (52, 74, 50)})
    assert scores_by_step(seeds, 2) == {
        "0": {"scores/quiz/acc": 0.4},
        "20": {"scores/quiz/acc": 0.52},
        "40": {"scores/quiz/acc": 0.74},
        "60": {"scores/quiz/acc": 0.5},
    }
    assert scores_by_step(seeds, None) == {}


def test_each_seed_has_its_own_curve(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    results = harness.run(str(tiny_recipe), out=tmp_path / "run", settings=TRACKED, seeds=[1, 2], **ARGUMENTS)
    values = {score.model: score.value for score in results.scores if score.metric == "perplexity"}
    for seed in (1, 2):
        events = scalars(tmp_path / f"run/tensorboard/seed-{seed}")
        names = ["base", f"seed-{seed}-step-2", f"seed-{seed}-step-4"]
        shown = events["scores/medbench_perplexity/perplexity"]
        assert [value for _, value in shown] == pytest.approx([values[name] for name in names])
        assert [step for step, _ in events["train/loss"]] == [1, 2, 3, 4]
