"""A training whose checkpoint is chosen by its caller: what a kill or a failure of the choice costs."""

import pytest

from reports.document.learning_curve import CheckpointChoice
from reports.errors import UserError
from training.checkpoints import checkpoint_folders
from training.finetune import Selection, finetune
from training.log import read_log
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows

WEIGHTS = "adapter_model.safetensors"
STEPS = ["trainer.max_steps=6", "trainer.save_steps=2"]


def choose(step, metric="accuracy", seen=None):
    """A choice of this step, whatever the scores; notes the steps that it was offered."""

    def chosen(folders, work):
        assert work.is_dir()
        if seen is not None:
            seen.append([*folders])
        scores = [float(offered == step) for offered in folders]
        return CheckpointChoice(task="quiz", metric=metric, items=9, steps=[*folders], scores=scores, step=step)

    return chosen


def fails(*_):
    raise UserError("no checkpoint has a score", where="here", fix="choose by another metric")


def killed(*_):
    raise KeyboardInterrupt


@pytest.fixture
def train(tiny_recipe, tmp_path):
    """Train into RUN/adapter with a choice by a metric; returns the log and the notes on the way."""

    def call(choice, *settings, metric="accuracy", items="hash of the items", scorer=None):
        recipe = load_recipe(str(tiny_recipe), [*STEPS, f"trainer.choose_by=quiz/{metric}", *settings])
        notes = []
        log = finetune(
            recipe,
            find_base(recipe.model),
            training_rows(recipe),
            tmp_path / "run" / "adapter",
            lambda *said: notes.append(said[2]),
            selection=Selection(items=items, scorer=scorer, choose=choice),
        )
        return log, notes

    return call


def resumed(notes):
    return [note for note in notes if note.startswith("resuming")]


def test_the_adapter_is_the_chosen_step_and_the_others_go(train, tmp_path):
    log, _ = train(choose(4))
    assert (log.step, log.steps, log.choice.score) == (4, 6, 1.0)
    assert read_log(tmp_path / "run" / "adapter") == log
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["adapter"]


@pytest.mark.parametrize(("keep", "kept"), [("all", [2, 4, 6]), ("1", [6])])
def test_those_that_the_recipe_keeps_stay(train, tmp_path, keep, kept):
    train(choose(2), f"trainer.keep_checkpoints={keep}")
    folders = checkpoint_folders(tmp_path / "run" / "checkpoints")
    assert [*folders] == kept
    if 2 in folders:
        assert (folders[2] / WEIGHTS).read_bytes() == (tmp_path / "run" / "adapter" / WEIGHTS).read_bytes()


@pytest.mark.parametrize("interruption", [killed, fails])
def test_a_choice_that_is_killed_or_fails_costs_no_training(train, tmp_path, interruption):
    seen: list[list[int]] = []
    with pytest.raises((KeyboardInterrupt, UserError)):
        train(interruption)
    assert not (tmp_path / "run" / "adapter").exists()
    log, notes = train(choose(4, seen=seen))
    assert resumed(notes) == ["resuming from step 6, where an earlier training stopped"]
    assert (seen, log.step) == ([[2, 4, 6]], 4)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["adapter"]


class NoBetter:
    """Gives every step the same score."""

    tokens, sign = 1, 1

    def __call__(self, model):
        """Scores by TASK/METRIC."""
        return {"quiz/accuracy": 0.5}


def test_a_training_that_stopped_early_does_not_go_on_after_its_choice_was_killed(train):
    stops = ["trainer.score_steps=1", "trainer.early_stopping_patience=2"]
    seen: list[list[int]] = []
    with pytest.raises(KeyboardInterrupt):
        train(killed, *stops, scorer=NoBetter())
    log, notes = train(choose(2, seen=seen), *stops, scorer=NoBetter())
    assert resumed(notes) == ["resuming from step 3, where an earlier training stopped"]
    assert (seen, log.steps, [record["step"] for record in log.scores]) == ([[2, 3]], 3, [1, 2, 3])


def test_another_metric_or_other_items_choose_among_the_same_weights(train):
    """But with early stopping, the metric decides which steps there are."""
    with pytest.raises(UserError):
        train(fails)
    _, notes = train(choose(2, "log_score"), metric="log_score", items="hash of others")
    assert resumed(notes)
    stops = ["trainer.score_steps=2", "trainer.early_stopping_patience=1"]
    with pytest.raises(UserError):
        train(fails, *stops)
    _, notes = train(choose(2, "brier"), *stops, metric="brier")
    assert not resumed(notes)


def test_the_items_that_choose_are_part_of_the_fingerprint(train):
    logs = [train(choose(2), items=items)[0] for items in ("some", "others")]
    assert logs[0].fingerprint != logs[1].fingerprint
