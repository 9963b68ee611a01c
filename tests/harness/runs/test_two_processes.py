"""Training and scoring by two processes, as a launcher starts them: the same results as one, written once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from reports.document.reading import read_results
from reports.files import read_jsonl
from training.log import read_log

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow
TASKS = ("medbench_pubmedqa", "medbench_perplexity", "medbench_generation")
TRAINING = ("trainer.gradient_accumulation=2", "trainer.max_steps=2", "data.train.rows=12")


@pytest.fixture(scope="module")
def two(tiny_recipe, tiny_run, tmp_path_factory):
    """The folders of a training and of a scoring of the tiny run's models, each by two processes."""
    trained, scored = (tmp_path_factory.mktemp("two") / name for name in ("trained", "scored"))
    shutil.copytree(tiny_run / "adapter", scored / "adapter")
    settings = [word for setting in TRAINING for word in ("--set", setting)]
    recipe = ("--recipe", str(tiny_recipe))
    commands = [["train", *recipe, "--out", str(trained), *settings], ["score", *recipe, "--out", str(scored)]]
    done = subprocess.run(
        [sys.executable, "-m", "tests.launched", json.dumps(commands)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for line in ("loss ", "  loading tiny"):
        assert done.stdout.count(line) == 1, "only one process speaks"
    return trained, scored


def test_two_processes_train_the_adapter_that_one_trains(two, tiny_recipe, tmp_path):
    harness.train(str(tiny_recipe), out=tmp_path / "one", settings=TRAINING, quiet=True)
    one, both = (read_log(folder / "adapter") for folder in (tmp_path / "one", two[0]))
    assert (both.processes, both.batch_size, both.gradient_accumulation) == (2, 2, 1)
    assert [row.get("loss") for row in both.losses] == pytest.approx([row.get("loss") for row in one.losses])


def test_results_are_those_of_one_process(two, tiny_run):
    one, both = map(read_results, (tiny_run, two[1]))
    assert both.engine["processes"] == 2
    assert [(score.model, score.metric, score.n) for score in both.scores] == [
        (score.model, score.metric, score.n) for score in one.scores
    ]
    for mine, other in zip(one.scores, both.scores, strict=True):
        assert other.value == pytest.approx(mine.value, rel=1e-4)


def test_every_answer_is_that_of_one_process(two, tiny_run):
    for model in ("base", "adapter"):
        for task in TASKS:
            paths = (run / "samples" / model / f"{task}.jsonl" for run in (tiny_run, two[1]))
            first, second = ([row for _, row in read_jsonl(path)] for path in paths)
            assert [row["output"] for row in first] == [row["output"] for row in second]
            assert [row["id"] for row in first] == [row["id"] for row in second]


def test_no_item_is_scored_again(two, command):
    code, out, err = command("score", "--out", two[1])
    assert code == 0, err
    assert out.count("answered already, kept") == 6
