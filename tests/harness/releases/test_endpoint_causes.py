"""Causes of an endpoint's differences from its replies: prompts, log-probabilities under hypotheses, answers."""

from dataclasses import replace

import numpy as np
import pytest

from harness.releases.endpoint_causes import (
    Observation,
    Prediction,
    answer_findings,
    best_fit,
    errors,
    prompt_findings,
)

BOS = 1
PROMPTS = [(BOS, *range(10, 20 + n)) for n in range(6)]


def observations(**values):
    return [Observation(prompt, (5, 6, 7), sent=len(prompt) + 3, **values) for prompt in PROMPTS]


def keys(observed, bos=BOS):
    return [finding.key for finding in prompt_findings(observed, bos)]


@pytest.mark.parametrize(
    ("chat", "key"),
    [
        (lambda prompt: prompt, []),
        (lambda prompt: (BOS, *prompt), ["double_bos"]),
        (lambda prompt: prompt[1:], ["missing_bos"]),
        (lambda prompt: (*prompt, 9), ["template"]),
        (lambda prompt: (prompt[0], 8, *prompt[1:]), ["template"]),
    ],
)
def test_the_tokens_of_chat_prompts_show_what_is_wrong_with_them(chat, key):
    assert keys([replace(one, chat_prompt=chat(one.prompt)) for one in observations()]) == key


def test_a_template_finding_says_where_the_first_prompt_differs():
    observed = [replace(one, chat_prompt=(*one.prompt[:4], 8, *one.prompt[5:])) for one in observations()]
    (finding,) = prompt_findings(observed, BOS)
    assert finding.evidence == {"prompts": 6, "different": 6, "first_difference": 4}


@pytest.mark.parametrize(
    ("shift", "key"), [(0, []), (1, ["double_bos"]), (-1, ["missing_bos"]), (5, ["template"]), (-3, ["template"])]
)
def test_the_number_of_tokens_shows_it_where_the_tokens_are_not_told(shift, key):
    observed = [replace(one, chat_counted=len(one.prompt) + shift) for one in observations()]
    assert keys(observed) == key


def test_without_a_start_token_one_token_more_is_another_template():
    assert keys([replace(one, chat_counted=len(one.prompt) + 1) for one in observations()], bos=None) == ["template"]


def test_a_cut_context_leaves_the_same_number_of_all_longer_requests():
    observed = [replace(one, counted=min(one.sent, 14)) for one in observations()]
    (finding,) = prompt_findings(observed, BOS)
    assert finding.key == "context_cut"
    assert finding.evidence == {"tokens_read": 14, "requests_cut": sum(one.sent > 15 for one in observed)}


def test_errors_are_nats_per_token_or_the_share_of_the_answer_after_the_first_difference():
    scored = Observation((1,), (2, 3), logprobs=(-1.0, -2.0))
    answered = Observation((1,), (2, 3), answers=((4, 5, 6, 7),))
    predictions = [Prediction((-1.5, -1.0)), Prediction((), answer=(4, 5, 9, 7))]
    assert errors([scored, answered], predictions).tolist() == [0.75, 0.5]


def test_a_reply_of_another_length_fits_nothing():
    assert errors([Observation((1,), (2, 3), logprobs=(-1.0,))], [Prediction((-1.0, -1.0))]).tolist() == [np.inf]


NOISE = 0.02


def fit(**means):
    """The best fit of hypotheses with these mean errors, over nine items whose errors vary by a tenth."""
    generator = np.random.default_rng(0)
    wrong = {name: np.abs(generator.normal(mean, 0.1 * mean, 9)) for name, mean in means.items()}
    return best_fit(wrong, "none", NOISE)


@pytest.mark.parametrize(
    ("means", "names", "is_different"),
    [
        ({"none": 0.03, "half": 0.5}, {"none"}, False),
        ({"none": 0.5, "half": 0.02, "absent": 0.9}, {"half"}, True),
        ({"none": 0.5, "half": 0.2, "absent": 0.9}, set(), True),
        ({"none": 0.5, "half": 0.02, "rounded": 0.021}, {"half", "rounded"}, True),
        ({"none": 0.5, "half": 0.6}, set(), True),
    ],
    ids=["within the noise", "one leaves only noise", "more than a tenth is left", "two fit alike", "none is better"],
)
def test_the_hypothesis_that_explains_the_replies_is_named(means, names, is_different):
    best = fit(**means)
    assert (set(best.hypotheses), best.is_different) == (names, is_different)


def answered(*answers, ended=True):
    return Observation((1,), (2,), answers=answers, ended=ended)


def test_greedy_answers_that_change_are_sampled():
    observed = [answered((4, 5, n), (4, 5, 6)) for n in range(8)]
    (finding,) = answer_findings(observed, [Prediction((), (4, 5, 6))] * 8)
    assert (finding.key, finding.evidence) == ("sampling", {"repeated": 8, "changed": 7})


def test_one_change_may_be_a_near_tie():
    observed = [answered((4, 5, 6), (4, 5, 7)), *[answered((4, 5, 6), (4, 5, 6))] * 7]
    assert answer_findings(observed, [Prediction((), (4, 5, 6))] * 8) == []


@pytest.mark.parametrize(("changed", "keys"), [(2, []), (3, ["sampling"])])
def test_more_than_a_quarter_of_the_answers_has_to_change(changed, keys):
    observed = [answered((4, 5, 6), (4, 5, 7 if n < changed else 6)) for n in range(8)]
    assert [finding.key for finding in answer_findings(observed, [Prediction((), (4, 5, 6))] * 8)] == keys


def test_answers_that_go_on_after_the_whole_gold_answer_miss_the_end_token():
    observed = [Observation((1,), (2,), whole=(1, 2, 3), stops=n > 5) for n in range(8)]
    ours = Prediction((), stops=True)
    (finding,) = answer_findings(observed, [ours] * 8)
    assert (finding.key, finding.evidence) == ("end_token", {"answers": 8, "past_the_end": 6})
    assert answer_findings(observed, [ours] * 2 + [Prediction((), stops=False)] * 6)[0].evidence["answers"] == 2
    assert answer_findings([replace(one, stops=True) for one in observed], [ours] * 8) == []
    assert answer_findings([replace(one, whole=()) for one in observed], [ours] * 8) == []


def test_answers_that_go_on_after_ours_ended_miss_the_end_token():
    observed = [answered((4, 5, 6, 9, 9, 9), (4, 5, 6, 9, 9, 9))] * 5
    (finding,) = answer_findings(observed, [Prediction((), (4, 5, 6))] * 5)
    assert (finding.key, finding.evidence) == ("end_token", {"answers": 5, "past_the_end": 5})
    assert answer_findings(observed, [Prediction((), (4, 5, 6), ended=False)] * 5) == []
