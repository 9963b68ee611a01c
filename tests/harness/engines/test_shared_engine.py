"""Scoring by several processes, as a launcher starts them: the same results as one, written once."""

import json
import subprocess
import sys

import pytest

from reports.document.reading import read_results
from reports.files import read_jsonl

TASKS = ("medbench_pubmedqa", "medbench_perplexity", "medbench_generation")


@pytest.fixture(scope="module")
def runs(tiny_recipe, tiny_run, tmp_path_factory):
    """The folders of the same scoring by one process and by two."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m"]
    folders = []
    for words in ([sys.executable, "-m"], launcher):
        out = tmp_path_factory.mktemp("shared") / "run"
        command = [*words, "harness", "score", "--recipe", tiny_recipe, "--models", f"base,mine={tiny_run / 'adapter'}"]
        done = subprocess.run([*command, "--out", out], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("  loading tiny") == 1  # one process speaks
        folders.append(out)
    return folders


def test_results_are_those_of_one_process(runs):
    one, two = map(read_results, runs)
    assert two.engine["processes"] == 2
    assert [(each.model, each.metric, each.n) for each in two.scores] == [
        (each.model, each.metric, each.n) for each in one.scores
    ]
    for mine, other in zip(one.scores, two.scores, strict=True):
        assert other.value == pytest.approx(mine.value, rel=1e-4)


def test_every_answer_is_that_of_one_process(runs):
    for model in ("base", "mine"):
        for task in TASKS:
            first, second = ([row for _, row in read_jsonl(run / "samples" / model / f"{task}.jsonl")] for run in runs)
            assert [row["output"] for row in first] == [row["output"] for row in second]
            assert [row["id"] for row in first] == [row["id"] for row in second]


def test_nothing_is_asked_again(runs, command):
    before = json.loads((runs[1] / "results.json").read_text())
    code, out, err = command("score", "--out", runs[1], "--models", ",".join(_models(before)))
    assert code == 0, err
    assert out.count("answered already, kept") == 6


def _models(results):
    source = results["command"].split("--models ")[1].split()[0]
    return source.split(",")
