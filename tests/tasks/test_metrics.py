"""The `evaluate` modules load offline from their folders and agree with the functions that lm-eval's tasks call."""

from pathlib import Path

import evaluate
import pytest
from rouge_score.rouge_scorer import RougeScorer

from tasks.formats import get_format

FOLDER = Path(__file__).resolve().parents[2] / "tasks" / "metrics"
GOOD = get_format("think").completion("one two three", "the cat sat on the mat")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", tmp_path)  # which it reads only when it is imported


def load(name):
    return evaluate.load(str(FOLDER / name), keep_in_memory=True)


def test_rouge_l_equals_rouge_score_on_the_final_response():
    reference = "a cat sat on a mat"
    found = load("rouge_l").compute(predictions=[GOOD], references=[reference], answer_format="think")
    wanted = RougeScorer(["rougeL"]).score(reference, "the cat sat on the mat")["rougeL"].fmeasure
    assert found["rouge_l"] == pytest.approx(wanted)


def test_format_compliance_gives_the_reason_of_each_failure():
    found = load("format_compliance").compute(predictions=[GOOD, "no"], answer_format="think", truncated=[True, False])
    assert found["format_compliance"] == 0.0
    assert found["problems"] == [["truncated"], ["missing: <think>", "missing: </think>"]]


def test_reasoning_length_in_words_and_tokens(tiny_model):
    found = load("reasoning_length").compute(predictions=[GOOD, "no"], answer_format="think", tokenizer=str(tiny_model))
    assert found["reasoning_words"] == 1.5
    assert found["reasoning_tokens"] > 1.5
