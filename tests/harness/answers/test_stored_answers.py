"""Answers of engines in the answer store: what is found is what was kept, to the last bit."""

from dataclasses import replace

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
        ("base", ScoreRequest((5, 6), (7,))): ScoreAnswer(-1 / 3, greedy=True, cost=cost),
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
