"""Values that are reported after a training go into the training's own tracker runs, once."""

import importlib.util
import json
import sqlite3
import sys
from types import SimpleNamespace

import pytest

from training.backends.tracked_runs import FILE, active_runs, end_runs, follow_runs, report_values
from training.backends.trackers import run_name
from training.finetune import finetune
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows

FINGERPRINT = "0123456789abcdef" * 4
VALUES = {"0": {"scores/quiz/acc": 0.5}, "20": {"scores/quiz/acc": 0.75, "scores/quiz/loss": 1.5}}
VARIABLES = ("TENSORBOARD_LOGGING_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_DIR", "WANDB_PROJECT")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """Without variables of the environment, which are put back afterwards."""
    for name in (*VARIABLES, "TRACKIO_DIR", "WANDB_MODE", "WANDB_RUN_ID"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def recipe_with(tiny_recipe, *trackers):
    return load_recipe(str(tiny_recipe), [f"trainer.trackers=[{','.join(trackers)}]"])


def scalars(folder):
    """Steps and values of each tag in the event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_has_the_values_by_step_and_a_second_report_adds_nothing(tiny_recipe, tmp_path):
    recipe = recipe_with(tiny_recipe, "tensorboard")
    for _ in range(2):
        assert report_values(recipe, tmp_path, FINGERPRINT, {}, VALUES) == []
    assert scalars(tmp_path / "tensorboard") == {
        "scores/quiz/acc": [(0, 0.5), (20, 0.75)],
        "scores/quiz/loss": [(20, 1.5)],
    }
    assert len([*(tmp_path / "tensorboard").iterdir()]) == 1


def test_a_changed_value_replaces_the_earlier_one_in_tensorboard_and_other_steps_stay(tiny_recipe, tmp_path):
    recipe = recipe_with(tiny_recipe, "tensorboard")
    report_values(recipe, tmp_path, FINGERPRINT, {}, VALUES)
    report_values(recipe, tmp_path, "f" * 64, {}, {"20": {"scores/quiz/acc": 0.1}})  # of another training
    (tmp_path / FILE).unlink()
    report_values(recipe, tmp_path, FINGERPRINT, {}, VALUES)
    report_values(recipe, tmp_path, FINGERPRINT, {}, {"20": {"scores/quiz/acc": 0.25}})
    names = sorted(path.name.rpartition("-")[2] for path in (tmp_path / "tensorboard").iterdir())
    assert names == [FINGERPRINT[:16], "f" * 16]
    next((tmp_path / "tensorboard").glob(f"*{'f' * 16}")).unlink()
    assert scalars(tmp_path / "tensorboard")["scores/quiz/acc"] == [(0, 0.5), (20, 0.25)]


def test_a_file_that_is_gone_is_written_again(tiny_recipe, tmp_path):
    recipe = recipe_with(tiny_recipe, "tensorboard")
    report_values(recipe, tmp_path, FINGERPRINT, {}, VALUES)
    next((tmp_path / "tensorboard").iterdir()).unlink()
    report_values(recipe, tmp_path, FINGERPRINT, {}, VALUES)
    assert scalars(tmp_path / "tensorboard")["scores/quiz/loss"] == [(20, 1.5)]


def test_the_seeds_of_a_run_share_its_folder(tiny_recipe, tmp_path, monkeypatch):
    recipe = recipe_with(tiny_recipe, "tensorboard")
    for seed in ("1", "2"):
        (tmp_path / "seeds" / seed).mkdir(parents=True)
        report_values(recipe, tmp_path / "seeds" / seed, FINGERPRINT, {}, VALUES)
    assert sorted(path.name for path in (tmp_path / "tensorboard").iterdir()) == ["seed-1", "seed-2"]
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "mine"))
    report_values(recipe, tmp_path, FINGERPRINT, {}, VALUES)
    assert scalars(tmp_path / "mine")["scores/quiz/loss"] == [(20, 1.5)]


def test_a_tracker_that_fails_is_a_note_and_is_tried_again(tiny_recipe, tmp_path, monkeypatch):
    recipe = recipe_with(tiny_recipe, "wandb", "tensorboard")

    def fail(**_):
        raise RuntimeError("no network\nat all")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None, init=fail))
    (note,) = report_values(recipe, tmp_path, FINGERPRINT, {}, VALUES)
    assert note == "the scores were not reported to wandb (RuntimeError: no network); to retry, score the run again"
    assert scalars(tmp_path / "tensorboard")["scores/quiz/loss"] == [(20, 1.5)]
    assert [*json.loads((tmp_path / FILE).read_text())["values"]] == ["tensorboard"]


@pytest.mark.parametrize("content", ["no JSON", "{}", '{"training": "../x", "runs": {}}', "[1]"])
def test_a_broken_note_of_runs_is_as_none(tiny_recipe, tmp_path, content):
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    assert report_values(recipe_with(tiny_recipe, "tensorboard"), tmp_path, FINGERPRINT, {}, VALUES) == []
    assert scalars(tmp_path / "tensorboard")["scores/quiz/loss"] == [(20, 1.5)]
    assert json.loads((tmp_path / FILE).read_text())["training"] == FINGERPRINT


class FakeRun:
    """A run of Weights & Biases that remembers what it was told."""

    def __init__(self, **settings):
        self.settings, self.id, self.rows, self.finished = settings, settings.get("id", "new-id"), [], False

    def define_metric(self, *_, **__):
        """Take the axis of the plots."""

    def log(self, row):
        """Take the values of a step."""
        self.rows.append(row)

    def finish(self):
        """End the run."""
        self.finished = True


def test_wandb_resumes_the_noted_run_and_gets_only_what_is_new(tiny_recipe, tmp_path, monkeypatch):
    runs = []

    def init(**settings):
        runs.append(FakeRun(**settings))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None, init=init))
    recipe = recipe_with(tiny_recipe, "wandb")
    more = VALUES | {"40": {"scores/quiz/acc": 0.5}}
    for values in (VALUES, VALUES, more):
        assert report_values(recipe, tmp_path, FINGERPRINT, {}, values) == []
    assert [run.settings for run in runs] == [
        {"project": "medbench", "name": "tiny"},
        {"project": "medbench", "id": "new-id", "resume": "allow"},
    ]
    assert runs[0].rows == [
        {"scores/quiz/acc": 0.5, "train/global_step": 0},
        {"scores/quiz/acc": 0.75, "scores/quiz/loss": 1.5, "train/global_step": 20},
    ]
    assert runs[1].rows == [{"scores/quiz/acc": 0.5, "train/global_step": 40}]
    assert all(run.finished for run in runs)


def test_wandb_offline_cannot_resume_and_gets_a_run_of_the_same_name(tiny_recipe, tmp_path, monkeypatch):
    runs = []

    def init(**settings):
        runs.append(FakeRun(**settings))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=None, init=init))
    monkeypatch.setenv("WANDB_MODE", "offline")
    of_training = {"wandb": "of-the-training"}
    assert report_values(recipe_with(tiny_recipe, "wandb"), tmp_path, FINGERPRINT, of_training, VALUES) == []
    assert [run.settings for run in runs] == [{"project": "medbench", "name": "tiny"}]
    assert json.loads((tmp_path / FILE).read_text())["runs"] == {}


def test_the_users_own_wandb_run_is_written_to_and_left_open(tiny_recipe, tmp_path, monkeypatch):
    mine = FakeRun(id="mine")
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=mine, init=None))
    assert report_values(recipe_with(tiny_recipe, "wandb"), tmp_path, FINGERPRINT, {}, VALUES) == []
    assert (len(mine.rows), mine.finished) == (2, False)


def test_a_run_that_a_training_left_open_ends_before_the_next_and_the_users_own_stays(monkeypatch):
    wandb = SimpleNamespace(run=None, finished=[])

    def finish():
        wandb.finished.append(wandb.run.id)
        wandb.run = None

    wandb.finish = finish
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    for seed in ("a", "b"):
        callback = follow_runs(["wandb"])
        assert wandb.run is None
        wandb.run = FakeRun(id=seed)  # which transformers opens
        callback.on_train_begin()
        assert active_runs(["wandb", "mlflow", "tensorboard"]) == {"wandb": seed}
    end_runs()
    assert wandb.finished == ["a", "b"]
    wandb.run = FakeRun(id="mine")
    follow_runs(["wandb"]).on_train_begin()
    end_runs()
    assert (wandb.run.id, wandb.finished) == ("mine", ["a", "b"])


def test_mlflows_run_is_open_for_the_last_validation(monkeypatch):
    """Transformers ends it with the training, and logs what comes after into a new one."""
    mlflow = SimpleNamespace(current=None, ended=[])

    def start_run(run_id):
        mlflow.current = SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def end_run():
        mlflow.ended.append(mlflow.current.info.run_id)
        mlflow.current = None

    mlflow.start_run, mlflow.end_run, mlflow.active_run = start_run, end_run, lambda: mlflow.current
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    callback = follow_runs(["mlflow"])
    start_run("losses")
    callback.on_train_begin()
    end_run()
    callback.on_train_end()
    assert active_runs(["mlflow"]) == {"mlflow": "losses"}
    end_runs()
    assert mlflow.ended == ["losses", "losses"]


def test_seeds_are_runs_of_different_names(tiny_recipe):
    assert run_name(load_recipe(str(tiny_recipe))) == "tiny"
    assert run_name(load_recipe(str(tiny_recipe), ["trainer.seed=3"])) == "tiny-seed-3"


def trained(tiny_recipe, folder, *trackers):
    """Train with these trackers, and report values twice; returns the recipe and the log."""
    recipe = recipe_with(tiny_recipe, *trackers)
    base, rows = find_base(recipe.model), training_rows(recipe)
    log = finetune(recipe, base, rows, folder / "adapter", lambda *_: None)
    for _ in range(2):
        assert report_values(recipe, folder, log.fingerprint, log.tracker_runs, VALUES) == []
    return recipe, log


def test_mlflow_has_losses_and_values_in_one_run(tiny_recipe, tmp_path):
    pytest.importorskip("mlflow")
    trained(tiny_recipe, tmp_path, "mlflow")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("select name, status from runs").fetchall() == [("tiny", "FINISHED")]
        rows = database.execute("select key, step, value from metrics where key like 'scores/%' order by key, step")
        assert rows.fetchall() == [
            ("scores/quiz/acc", 0, 0.5),
            ("scores/quiz/acc", 20, 0.75),
            ("scores/quiz/loss", 20, 1.5),
        ]
        losses = database.execute("select count(*) from metrics where key = 'loss'").fetchall()
        assert losses == [(3,)]


def test_wandb_offline_has_losses_and_values_in_one_run_and_later_ones_in_another(tiny_recipe, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    recipe, log = trained(tiny_recipe, tmp_path, "wandb")
    run = log.tracker_runs["wandb"]
    (folder,) = [path for path in (tmp_path / "wandb").glob("offline-run-*") if path.is_dir()]
    assert folder.name.endswith(f"-{run}")
    report_values(recipe, tmp_path, log.fingerprint, log.tracker_runs, {"40": {"scores/quiz/acc": 0.5}})
    folders = [path.name for path in (tmp_path / "wandb").glob("offline-run-*") if path.is_dir()]
    assert [name.endswith(f"-{run}") for name in sorted(folders)] == [True, False]


def test_trackio_has_losses_and_values_in_one_run(tiny_recipe, tmp_path):
    if importlib.util.find_spec("trackio") is None:
        pytest.skip("trackio is not installed")
    trained(tiny_recipe, tmp_path, "trackio")
    folder = importlib.import_module("trackio").TRACKIO_DIR  # which is fixed when it is imported first
    with sqlite3.connect(folder / "medbench.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics order by id").fetchall()
    assert {name for name, _, _ in rows} == {"tiny"}
    logged = [(step, json.loads(values)) for _, step, values in rows]
    scores = [(step, values) for step, values in logged if "scores/quiz/acc" in values]
    assert [(step, values["scores/quiz/acc"]) for step, values in scores] == [(0, 0.5), (20, 0.75)]
    assert sum("train/loss" in values for _, values in logged) == 3
    assert [values["train/global_step"] for _, values in scores] == [0, 20]
