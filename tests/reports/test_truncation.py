"""Answers that the token limit cut are reported first, for every task whose answer comes after reasoning."""

import pytest

from reports.comparison.verdict import sentences
from reports.document.schema import Score, TaskCost, TaskInfo
from reports.document.truncation import truncated_share
from tests.reports.comparison.handmade import model
from tests.reports.skeleton import results_of

CUT = "Truncated reasoning: the limit of {} new tokens cut 60.0 % of the answers of base to Exam; those without a final"
RAISE = " answer count as wrong, so raise scoring.max_new_tokens."
OF_TASK = " answer count as wrong, and the task's own file sets the limit."


def document(metrics, *, cut=0, **task):
    scores = [Score(model="base", task="exam", metric=key, value=value, n=50) for key, value in metrics.items()]
    cost = TaskCost(model="base", task="exam", seconds=1.0, prompt_tokens=1, output_tokens=1, truncated=cut)
    return results_of(
        seed=7,
        recipe={"scoring": {"max_new_tokens": 512}},
        models=[model("base", "base")],
        tasks=[TaskInfo(name="exam", title="Exam", **task)],
        scores=scores,
        costs=[cost],
    )


@pytest.mark.parametrize(
    ("metrics", "cut", "task", "sentence"),
    [
        ({"accuracy": 0.2, "truncated": 0.6}, 0, {"reasoned": True}, CUT.format(512) + RAISE),
        ({"accuracy": 0.2, "ended": 0.4}, 0, {"reasoned": True}, CUT.format(512) + RAISE),
        ({"exact_match": 0.2}, 30, {"reasoned": True, "own_token_limit": 2048}, CUT.format("2048") + OF_TASK),
    ],
)
def test_truncated_reasoning_comes_first(metrics, cut, task, sentence):
    assert sentences(document(metrics, cut=cut, **task))[0] == sentence


def test_other_generated_answers_are_not_reasoning():
    results = document({"rouge_l": 0.2, "ended": 0.1}, cut=45)
    assert truncated_share(results, results.tasks[0], "base") is None
    assert not sentences(results)[0].startswith("Truncated")


def test_few_cut_answers_are_no_warning():
    results = document({"accuracy": 0.2, "truncated": 0.04}, reasoned=True)
    assert truncated_share(results, results.tasks[0], "base") == 0.04
    assert sentences(results) == ["Only base was scored, so there is nothing to compare it with."]
