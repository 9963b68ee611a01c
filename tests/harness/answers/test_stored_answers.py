"""Answers of engines in the answer store: what is found is what was kept, to the last bit."""

import json
from array import array
from dataclasses import replace

import pytest

from harness.answers.answer_keys import answer_key
from harness.answers.answer_store import AnswerStore
from harness.answers.stored_answers import StoredAnswers
from harness.engines.interface import (
    Answer,
    Asked,
    Cost,
    GenerateAnswer,
    GenerateRequest,
    ScoreAnswer,
    ScoreRequest,
)


def test_an_answer_is_found_as_it_was_kept_but_that_it_is_reused(tmp_path):
    """Also its seconds: rounded twice they would be others in the samples of a run that goes on."""
    cost = Cost(0.00634996, 1 / 3, 1 << 30)
    given: dict[Asked, Answer] = {
        ("base", ScoreRequest((5, 6), (7, 8, 9))): ScoreAnswer(
            array("f", [-1 / 3, -1e-9, float("-inf")]), greedy=True, cost=cost
        ),
        ("one", GenerateRequest((5, 6), 9)): GenerateAnswer("né\n", (8, 9), "stop", cost),
    }
    store = AnswerStore(tmp_path / "answers.sqlite", 10**9)
    stored = StoredAnswers(store, {"base": b"base", "one": b"one"})
    for asked, answer in given.items():
        stored.keep(asked, answer)
    found = stored.find([*given, ("base", ScoreRequest((5, 6), (8,)))])
    assert [found[place] for place in (0, 1)] == [
        replace(answer, cost=replace(cost, reused=True)) for answer in given.values()
    ]
    assert set(found) == {0, 1}
    store.close()


@pytest.mark.parametrize("logprobs", [-2.5, "AAAA!AA==", "AAAA", None])
def test_log_probabilities_in_an_earlier_form_are_not_misread(tmp_path, logprobs):
    """Stores used to hold the sum as a number."""
    request = ScoreRequest((5, 6), (7,))
    store = AnswerStore(tmp_path / "answers.sqlite", 10**9)
    store.put(answer_key(b"base", request), json.dumps([[0.1, 0.2, 3], logprobs, True]).encode())
    assert StoredAnswers(store, {"base": b"base"}).find([("base", request)]) == {}
    store.close()
