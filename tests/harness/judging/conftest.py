"""A finished run whose answers are written by hand, so that a judge has something to tell apart."""

import json
import shutil

import pytest

from reports.document.checksums import write_facts
from tests.harness.judging.fake_judge import FakeJudge

ITEMS = 30


def write_answers(run, answer):
    """Replace the generated answers of both models; `answer` makes one of a model and the item's number."""
    for model in ("base", "adapter"):
        path = run / "samples" / model / "medbench_generation.jsonl"
        samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [
            samples[0]
            | {"id": f"item {number}", "doc_hash": f"hash {number}", "question": f"What about case {number}?"}
            | {"output": answer(model, number), "model": model}
            for number in range(ITEMS)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        write_facts(path)


def quality(model, number):
    """How good an answer is, from 1 to 4: the adapter is one better on every third item."""
    return 1 + number % 3 + (model == "adapter" and number % 3 == 0)


def answer(model, number):
    """An answer that shows its quality, and whose length says nothing of it."""
    return f"Quality {quality(model, number)}." + " Rest." * ((number * 7 + 3 * (model == "adapter")) % 11)


@pytest.fixture
def run(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run, tmp_path / "run")
    write_answers(folder, answer)
    return folder


@pytest.fixture
def judged(run, command, without_plots):
    """Judge the run by a rubric with a fake judge: (exit code, printed, error, the judge)."""

    def judge(verdict, *words, schema="applies"):
        fake = FakeJudge(verdict, schema)
        with fake.running() as address:
            return *command("judge", run, "--judge", address, *words), fake

    return judge


@pytest.fixture
def tiny_run_copy(tiny_run, tmp_path):
    """A copy of the tiny run with its own answers."""
    return shutil.copytree(tiny_run, tmp_path / "own run")


@pytest.fixture
def store(monkeypatch, tmp_path):
    """Turn the answer store on, in a folder of the test."""
    monkeypatch.setenv("MEDBENCH_CACHE_GB", "1")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
