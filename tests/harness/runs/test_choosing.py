"""`trainer.choose_by` and `trainer.score_steps`: scores on items set aside, while training and to choose a step."""

import shutil

import pytest

import harness
from reports.document.reading import read_results, read_samples
from reports.errors import UserError
from training.log import read_log

STEPS = ["trainer.max_steps=6", "trainer.save_steps=2", "trainer.keep_checkpoints=all"]
ITEMS = ["trainer.validation_items=12"]
BY_F1 = [*STEPS, *ITEMS, "trainer.choose_by=medbench_pubmedqa/macro_f1", "trainer.score_steps=2"]
TASKS = ["medbench_pubmedqa", "medbench_perplexity"]


@pytest.fixture(scope="module")
def run(tiny_recipe, tmp_path_factory):
    """A finished run whose checkpoint was chosen by macro-F1; tests must not change it."""
    folder = tmp_path_factory.mktemp("choosing") / "run"
    harness.run(str(tiny_recipe), out=folder, models="base,adapter,adapter@*", tasks=TASKS, settings=BY_F1, quiet=True)
    return folder


def ids(run, model, task):
    return {sample.id for sample in read_samples(run / "samples" / model / f"{task}.jsonl")}


def test_the_adapter_is_the_checkpoint_with_the_best_score(run):
    log = read_log(run / "adapter")
    choice = log.choice
    assert (choice.task, choice.metric, choice.items, choice.steps) == ("medbench_pubmedqa", "macro_f1", 12, [2, 4, 6])
    best = max(choice.scores)
    assert choice.step == choice.steps[choice.scores.index(best)] == log.step
    assert choice.score == best
    assert log.steps == 6
    weights = [run / part / "adapter_model.safetensors" for part in ("adapter", f"checkpoints/step-{choice.step}")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert read_results(run).training.choice == choice


def test_reported_items_are_fresh_and_a_limit_takes_the_same_ones_as_before(run, tiny_recipe, tmp_path):
    plain = tmp_path / "plain"
    harness.score(str(tiny_recipe), models="base", tasks=TASKS, out=plain, quiet=True)
    for task in TASKS:
        assert ids(run, "adapter", task) == ids(run, "base", task) == ids(plain, "base", task)
    more = shutil.copytree(run, tmp_path / "more")
    every = [*BY_F1, "scoring.limit=null"]
    arguments = {"models": "base,adapter", "out": more, "settings": every, "quiet": True}
    results = harness.score(str(tiny_recipe), tasks=[*TASKS, "medbench_pubmedqa_cot"], **arguments)
    counts = {task.name: len(ids(more, "adapter", task.name)) for task in results.tasks}
    assert counts == {"medbench_pubmedqa": 54, "medbench_perplexity": 24, "medbench_pubmedqa_cot": 54}
    assert ids(more, "adapter", "medbench_pubmedqa") == ids(more, "adapter", "medbench_pubmedqa_cot")
    assert {data.role: data.available for data in results.data if data.role in counts} == counts
    assert "54 of 66 items drawn by seed, 12 others set aside" in results.tasks[0].setting
    assert results.overlap.matches == []


def test_scores_while_training_are_those_of_the_checkpoints(tiny_recipe, tmp_path):
    """Early stopping needs every scoring, also where a tenth of the time of such fast steps is not enough."""
    settings = [*BY_F1, "trainer.choose_by=medbench_perplexity/perplexity", "trainer.early_stopping_patience=3"]
    log = harness.train(str(tiny_recipe), out=tmp_path / "run", settings=settings, quiet=True)
    assert [record["step"] for record in log.scores] == log.choice.steps == [2, 4, 6]
    while_training = [record["medbench_perplexity/perplexity"] for record in log.scores]
    assert while_training == pytest.approx(log.choice.scores, rel=1e-4)
    assert log.choice.step == log.choice.steps[while_training.index(min(while_training))]
    assert {*log.scores[0]} >= {"seconds", "medbench_pubmedqa/macro_f1", "medbench_pubmedqa/accuracy"}


def test_scoring_while_training_changes_no_weight(tiny_recipe, tmp_path):
    stops = ["trainer.choose_by=medbench_pubmedqa/accuracy", "trainer.early_stopping_patience=9", *ITEMS]
    logs = []
    for name, further in (("plain", []), ("scored", ["trainer.score_steps=1", *stops])):
        settings = ["lora.dropout=0.1", "trainer.keep_checkpoints=all", *further]
        logs.append(harness.train(str(tiny_recipe), out=tmp_path / name, settings=settings, quiet=True))
    assert logs[0].losses == logs[1].losses
    assert len(logs[1].scores) == 3
    files = [tmp_path / name / "checkpoints/step-3/adapter_model.safetensors" for name in ("plain", "scored")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_training_that_gets_no_better_is_stopped(tiny_recipe, tmp_path):
    """Nothing is learned at a rate of zero, so the second scoring is no better than the first."""
    settings = [*BY_F1, "trainer.learning_rate=1e-30", "trainer.early_stopping_patience=1", "trainer.save_steps=3"]
    log = harness.train(str(tiny_recipe), out=tmp_path / "run", settings=settings, quiet=True)
    assert [record["step"] for record in log.scores] == [2, 4]
    assert (log.steps, log.choice.steps, log.step) == (4, [3, 4], 3)
    assert log.choice.scores[0] == log.choice.scores[1]


def test_another_run_on_the_items_that_chose_the_checkpoint_says_so(run, tiny_recipe, tmp_path):
    models = f"base,chosen={run}/adapter,first={run}/checkpoints/step-2"
    settings = ["scoring.limit=null"]
    results = harness.score(
        str(tiny_recipe), models=models, tasks=TASKS[:1], out=tmp_path / "run", settings=settings, quiet=True
    )
    matches = results.overlap.matches
    assert len({match.item for match in matches}) == 12
    assert {(match.role, match.row, *match.models) for match in matches} == {
        ("validation", "of trainer.choose_by", "chosen")
    }
    used = {match.item for match in matches}
    assert used.isdisjoint(ids(run, "adapter", "medbench_pubmedqa"))


def test_the_report_says_how_the_checkpoint_was_chosen(run):
    choice = read_results(run).training.choice
    text = (run / "report.md").read_text(encoding="utf-8")
    assert (
        f"| Checkpoint | step {choice.step} of 2, 4, 6, by Macro-F1 ↑ (PubMedQA, synthetic items) on 12 items" in text
    )


@pytest.mark.parametrize(
    ("settings", "message", "fix"),
    [
        (["trainer.choose_by=medbench_pubmedqa/f1"], "has no metric 'f1'", "medbench_pubmedqa/macro_f1"),
        pytest.param(
            ["trainer.choose_by=medbench_nothing/f1"],
            "medbench_nothing",
            "medbench list tasks",
            marks=pytest.mark.slow,  # reads the index of lm-eval's tasks
        ),
        (["trainer.choose_by=medbench_pubmedqa/accuracy", "trainer.validation_items=65"], "leaves too few", "=13"),
        (["trainer.score_steps=2", "scoring.tasks=[medbench_generation]"], "none of the tasks compares", "perplexity"),
        (
            [
                "trainer.choose_by=medbench_pubmedqa_cot/accuracy",
                *("trainer.score_steps=2", "trainer.early_stopping_patience=2", *ITEMS),
            ],
            "no scores in medbench_pubmedqa_cot/accuracy to stop by",
            "log-likelihoods",
        ),
        (["trainer.choose_by=medbench_pubmedqa/accuracy", "trainer.keep_best=true"], "not both", ""),
        (["trainer.validation_items=5"], "goes with choose_by or score_steps", ""),
        (
            ["trainer.choose_by=medbench_pubmedqa/accuracy", "trainer.early_stopping_patience=2"],
            "with choose_by needs score_steps",
            "",
        ),
    ],
)
def test_what_cannot_choose_is_one_message_before_the_training(tiny_recipe, tmp_path, settings, message, fix):
    with pytest.raises(UserError) as error:
        harness.train(str(tiny_recipe), out=tmp_path / "run", settings=settings, quiet=True)
    assert message in str(error.value)
    assert fix in (error.value.fix or "")
    assert not (tmp_path / "run" / "adapter").exists()
