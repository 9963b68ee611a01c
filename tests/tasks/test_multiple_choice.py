"""Multiple choice: the order of the options, prompts, and metrics of letters and of reasoned answers."""

import math

import pytest

from reports.comparison.sums import ABSENT
from reports.document.row_account import RowAccount
from tasks.answers import GeneratedText
from tasks.choice_metrics import accuracy_calibrated, letter_results, position_spread, reasoned_results
from tasks.multiple_choice import (
    ChoiceItem,
    likelihood_documents,
    reasoned_documents,
    show,
    shuffled_order,
)
from tasks.task_settings import TaskSettings


def item(number=0, options=("x", "y", "z", "w"), gold=0):
    return ChoiceItem(id=str(number), question=f"Question {number}?", options=[*options], gold=gold)


def test_a_prompt_has_the_options_by_letter():
    (document,) = likelihood_documents([item()], RowAccount(kind="multiple-choice"))["test"]
    assert document["prompt"] == "Question: Question 0?\nA. x\nB. y\nC. z\nD. w\nAnswer:"
    assert (document["letters"], document["gold"], document["label"]) == (["A", "B", "C", "D"], 0, "A")
    (shot,) = likelihood_documents([item()], RowAccount(kind="a"), examples={"0": [item(1, gold=2)]})["test"]
    assert shot["prompt"].startswith(
        "Question: Question 1?\nA. x\nB. y\nC. z\nD. w\nAnswer: C\n\nQuestion: Question 0?\n"
    )


def test_a_reasoned_prompt_asks_in_the_answer_format():
    settings = TaskSettings(format="think")
    (document,) = reasoned_documents([item()], settings, RowAccount(kind="multiple-choice"))["test"]
    assert document["prompt"] == (
        "Question 0?\nA. x\nB. y\nC. z\nD. w\n\n"
        'End your response with "Answer: " and the letter of the right option.\n\n'
        "Put your reasoning between <think> and </think>, then give your answer.\n\n"
    )
    assert (document["label"], document["options"]) == ("A", ["x", "y", "z", "w"])


def test_the_order_depends_on_the_seed_and_the_content_alone():
    orders = {tuple(shuffled_order(item(number), 7)) for number in range(100)}
    assert len(orders) == 24
    turned = item(options=("w", "z", "y", "x"), gold=3)
    assert show(turned, shuffled_order(turned, 7)).text == show(item(), shuffled_order(item(), 7)).text
    assert [shuffled_order(item(n), 7) for n in range(5)] != [shuffled_order(item(n), 8) for n in range(5)]
    golds = [show(item(number), shuffled_order(item(number), 7)).gold for number in range(4000)]
    assert max(abs(golds.count(place) - 1000) for place in range(4)) < 80  # three standard deviations


@pytest.mark.parametrize(
    "option", ["All of the above", "None of the above", "Both A and B", "A, B and C", "(A) and (C)"]
)
def test_options_that_speak_of_others_stay_in_order(option):
    assert shuffled_order(item(options=("x", "y", option)), 3) == [0, 1, 2]


@pytest.mark.parametrize("option", ["All of these drugs", "Vitamin A and zinc", "Above 5 mg"])
def test_options_that_only_look_like_it_are_shuffled(option):
    assert {tuple(shuffled_order(item(number, ("x", "y", option)), 3)) for number in range(50)} > {(0, 1, 2)}


def test_the_order_is_recorded_by_the_letters_of_the_file():
    documents = likelihood_documents([item(n) for n in range(9)], RowAccount(kind="a"), shuffled_by=7)["test"]
    for document in documents:
        shown = " ".join("ABCD"["xyzw".index(option)] for option in document["options"])
        assert document["fields"] == f'{{"options_order": "{shown}"}}'
        assert document["options"][document["gold"]] == "x"


def test_the_most_likely_letter_counts_with_its_probability():
    results = letter_results({"gold": 1, "width": 4}, [(-1.0, False), (-2.0, False), (-3.0, False)])
    shares = [0.6652410, 0.2447285, 0.0900306]
    assert (results["accuracy"], results["position_spread"]) == (0.0, (1, 0))
    assert results["ece"] == (pytest.approx(shares[0]), 0.0)
    assert results["brier"] == pytest.approx(shares[0] ** 2 + (1 - shares[1]) ** 2 + shares[2] ** 2)
    assert results["log_score"] == pytest.approx(-math.log(shares[1]))
    assert results["accuracy_calibrated"] == (1.0, -1.0, -2.0, -3.0, ABSENT)


def test_batch_calibration_takes_the_mean_over_the_questions_that_offer_a_letter():
    """C is likely wherever it is offered; a mean over all questions would take it for unlikely and prefer it more."""

    def value(gold, *shares):
        return (gold, *map(math.log, shares), *[ABSENT] * (3 - len(shares)))

    of_two = [value(0.0, 0.55, 0.45), value(1.0, 0.45, 0.55)] * 4
    assert accuracy_calibrated([*of_two, value(0.0, 0.37, 0.03, 0.6), value(2.0, 0.05, 0.05, 0.9)]) == 1.0
    assert accuracy_calibrated([value(2.0, 0.6, 0.4), *of_two]) == pytest.approx(8 / 9)


DOC = {"format": "think", "prompt": "Which?", "gold": 1, "options": ["x-ray", "rest"]}


@pytest.mark.parametrize(
    ("answer", "right", "answered", "chosen"),
    [
        ("<think>A looks right.</think>Answer: B", 1.0, 1.0, 1),
        ("<think>B looks right.</think>Answer: A", 0.0, 1.0, 0),
        ("<think>Answer: B, so", 0.0, 0.0, 26),  # the letter is in the reasoning alone
        ("<think>Answer: B</think>I do not know.", 0.0, 0.0, 26),
    ],
)
def test_the_letter_comes_from_the_final_response(answer, right, answered, chosen):
    assert reasoned_results(DOC, [answer]) == {"accuracy": right, "answered": answered, "position_spread": (1, chosen)}


def test_an_answer_that_the_limit_cut_is_truncated():
    cost = {"prompt_tokens": 1, "output_tokens": 2, "seconds": 0.1}
    for reason, truncated in (("length", 1.0), ("stop", 0.0)):
        text = GeneratedText("<think>Because", finish_reason=reason, **cost)
        assert reasoned_results(DOC, [text])["truncated"] == truncated


def test_the_spread_over_positions_is_the_standard_deviation_of_the_accuracies():
    pairs = [(0, 0), (0, 0), (1, 0), (1, 1), (2, 0), (2, 26)]
    assert position_spread(pairs) == pytest.approx(math.sqrt(((1 - 0.5) ** 2 + 0 + (0 - 0.5) ** 2) / 3))
