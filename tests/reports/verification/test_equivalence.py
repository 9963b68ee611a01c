"""Whether a deployed model is called equivalent, different or inconclusive, as it should be."""

import math

import numpy as np
import pytest

from reports.document.schema import TaskInfo
from reports.document.verification import EndsPart, PromptsPart
from reports.errors import UserError
from reports.gate.policy import Policy
from reports.verification.equivalence import NATS_PER_TOKEN, Explanation, judge, margins_of
from tests.reports.verification.deployments import (
    ACCURACY,
    CHOICES,
    MACRO_F1,
    PERPLEXITY,
    TEXTS,
    equal_parts,
    generated,
    quiz,
    random_nats,
    texts,
)


def noise(shape, size, seed=1):
    """Differences whose mean absolute value is `size`."""
    return np.random.default_rng(seed).normal(0, size * math.sqrt(math.pi / 2), shape)


def test_small_noise_on_many_items_is_equivalent():
    parts = equal_parts()
    assert (parts.outcome, parts.items, parts.items_needed) == ("equivalent", 500, None)
    assert parts.likelihoods.mean_size == pytest.approx(0.0008, abs=0.0001)
    (accuracy,) = parts.metrics
    assert -0.05 < accuracy.low <= accuracy.difference <= accuracy.high < 0.05


def test_identical_answers_to_few_items_are_inconclusive_and_the_number_of_items_is_said():
    parts = judge([CHOICES], quiz(random_nats(30)), quiz(random_nats(30)))
    (accuracy,) = parts.metrics
    assert (parts.outcome, accuracy.outcome, accuracy.difference) == ("inconclusive", "inconclusive", 0.0)
    assert parts.items_needed > 30
    more = random_nats(parts.items_needed)
    assert judge([CHOICES], quiz(more), quiz(more)).outcome == "equivalent"


@pytest.mark.parametrize("items", [1, 2, 9])
def test_below_ten_items_nothing_is_tested(items):
    nats = random_nats(items)
    for other in (nats, nats + 3.0):
        parts = judge([CHOICES], quiz(nats), quiz(other))
        assert parts.outcome == "inconclusive"
        assert parts.likelihoods.low is parts.likelihoods.high is parts.metrics[0].low is None


def test_log_likelihoods_beyond_the_margin_are_different_though_no_choice_changes():
    nats = random_nats(300)
    parts = judge([CHOICES], quiz(nats), quiz(nats - 0.1))
    assert (parts.outcome, parts.likelihoods.outcome, parts.metrics[0].difference) == ("different", "different", 0.0)
    assert (parts.likelihoods.mean, parts.likelihoods.mean_size) == (pytest.approx(-0.1), pytest.approx(0.1))
    assert parts.answers[0].changed == 0
    assert parts.reasons == ["0.1 nats per token: beyond the margin of 0.02."]


def test_differences_of_both_signs_do_not_cancel():
    nats = random_nats(300)
    signs = np.where(np.arange(300) % 2, 1, -1)[:, None]
    likelihoods = judge([CHOICES], quiz(nats), quiz(nats + 0.1 * signs)).likelihoods
    assert (likelihoods.outcome, likelihoods.mean_size) == ("different", pytest.approx(0.1))
    assert likelihoods.mean == pytest.approx(0.0)


def test_a_few_items_that_differ_much_keep_log_likelihoods_from_being_equivalent():
    """Such as prompts that a server cut: 2 % of the items differ by 2 nats."""
    nats = random_nats(300)
    cut = nats.copy()
    cut[:6] -= 2.0
    likelihoods = judge([CHOICES], quiz(nats), quiz(cut)).likelihoods
    assert likelihoods.outcome != "equivalent"
    assert (likelihoods.largest, likelihoods.largest_item[:4]) == (pytest.approx(2.0), "quiz")


def test_what_rounding_explains_is_not_held_against_the_target():
    nats = random_nats(400)
    rounded = nats + noise(nats.shape, 0.05)
    rounding = Explanation("rounding", "our own weights in q4_0", quiz(nats), quiz(rounded), is_exact=True)
    parts = judge([CHOICES], quiz(nats), quiz(rounded + noise(nats.shape, 0.001, 2)), explained=[rounding])
    assert parts.likelihoods.outcome == "equivalent"
    assert parts.likelihoods.explained == pytest.approx(parts.likelihoods.mean_size, abs=0.001)
    assert judge([CHOICES], quiz(nats), quiz(rounded)).likelihoods.outcome == "different"


def test_another_model_whose_difference_is_as_large_as_rounding_is_different_where_rounding_is_exact():
    nats = random_nats(400)
    rounded, other = nats + noise(nats.shape, 0.05), nats + noise(nats.shape, 0.05, 2)
    rounding = Explanation("rounding", "q4_0", quiz(nats), quiz(rounded), is_exact=True)
    assert judge([CHOICES], quiz(nats), quiz(other), explained=[rounding]).likelihoods.outcome == "different"


def test_another_kernel_explains_as_much_as_the_base_changes_and_no_more():
    nats, base = random_nats(400), random_nats(400, 5)
    kernel = Explanation("kernel", "vLLM", quiz(base), quiz(base + noise(base.shape, 0.03)))
    same = judge([CHOICES], quiz(nats), quiz(nats + noise(nats.shape, 0.03, 2)), explained=[kernel])
    more = judge([CHOICES], quiz(nats), quiz(nats + noise(nats.shape, 0.12, 2)), explained=[kernel])
    assert (same.likelihoods.outcome, more.likelihoods.outcome) == ("equivalent", "different")
    assert same.explained[0].nats_per_token == pytest.approx(0.03, abs=0.003)


def test_arithmetic_explains_the_likelihoods_of_each_task_by_some_of_its_items_and_no_metric():
    """Log-likelihoods of short choices move further in 16 bits than those of long texts; a tenth is computed again."""
    calm, shaky = CHOICES.model_copy(update={"name": "calm"}), CHOICES.model_copy(update={"name": "shaky"})
    nats = {"calm": random_nats(400), "shaky": random_nats(400, 5)}
    sizes = {"calm": 0.004, "shaky": 0.06}

    def moved(seed, factor=1.0):
        return {task: values + factor * noise(values.shape, sizes[task], seed) for task, values in nats.items()}

    def answers(values, most=400):
        return {task: quiz(rows)["quiz"][:most] for task, rows in values.items()}

    arithmetic = Explanation("arithmetic", "again", answers(nats), answers(moved(2), most=40))
    tasks = [calm, shaky]
    same = judge(tasks, answers(nats), answers(moved(3)), explained=[arithmetic])
    assert (same.likelihoods.outcome, same.outcome) == ("equivalent", "equivalent")
    assert same.likelihoods.explained == pytest.approx(same.likelihoods.mean_size, rel=0.2)
    assert same.explained[0].items == 80
    assert [part.explained for part in same.metrics] == [None, None]
    assert [part.explained for part in same.answers] == [None]
    assert judge(tasks, answers(nats), answers(moved(3))).likelihoods.outcome == "different"
    assert judge(tasks, answers(nats), answers(moved(3, 2)), explained=[arithmetic]).outcome == "different"
    only_calm = {"calm": answers(moved(2))["calm"]}
    half = judge(
        tasks, answers(nats), answers(moved(3)), explained=[Explanation("arithmetic", "", answers(nats), only_calm)]
    )
    assert half.likelihoods.outcome == "different"  # a task that was not computed again has nothing explained


def flipped(nats, share, seed=3):
    """The same log-likelihoods with the choices of some items exchanged."""
    changed = nats.copy()
    rows = np.random.default_rng(seed).permutation(len(nats))[: round(share * len(nats))]
    changed[rows] = changed[rows][:, ::-1]
    return changed


def test_a_loss_of_accuracy_is_different_unless_rounding_loses_as_much():
    nats = np.tile([-1.0, -2.0], (400, 1))
    worse = flipped(nats, 0.2)
    parts = judge([CHOICES], quiz(nats), quiz(worse))
    assert (parts.outcome, parts.metrics[0].outcome) == ("different", "different")
    assert parts.metrics[0].p_difference < 0.001
    assert parts.answers[0].changed == 80
    rounding = Explanation("rounding", "q2_k", quiz(nats), quiz(worse), is_exact=True)
    explained = judge([CHOICES], quiz(nats), quiz(worse), explained=[rounding])
    assert explained.outcome == "inconclusive"
    assert explained.metrics[0].explained == pytest.approx(-0.2)


def test_a_significant_difference_within_the_margin_is_equivalent():
    nats = np.tile([-1.0, -1.005], (5000, 1))
    (accuracy,) = judge([CHOICES], quiz(nats), quiz(flipped(nats, 0.01))).metrics
    assert accuracy.difference == pytest.approx(-0.01)
    assert accuracy.outcome == "equivalent"
    assert accuracy.high < 0


def test_margins_come_from_the_policy():
    rule = {"rule": "deployed_equals", "margins": {"quiz/acc": 0.002, "*/*": 0.3}, "max_nats_per_token": 0.001}
    margins = margins_of(Policy.model_validate({"rules": [{"rule": "complete"}, rule]}))
    assert margins.of("quiz", ACCURACY, 0.5) == 0.002
    assert margins.of("texts", PERPLEXITY, 8.0) == pytest.approx(2.4)
    assert margins.nats_per_token == 0.001
    assert margins_of(None).nats_per_token == NATS_PER_TOKEN
    assert margins_of(Policy.model_validate({"rules": [{"rule": "complete"}]})).of("quiz", ACCURACY, 0.5) == 0.05
    nats = random_nats(500)
    assert judge([CHOICES], quiz(nats), quiz(nats), margins=margins).metrics[0].outcome == "inconclusive"


def test_perplexity_has_a_margin_relative_to_the_reference():
    nats = np.random.default_rng(0).normal(-2, 0.3, 400)
    outcomes = []
    for shift in (0.0, -0.2):
        parts = judge([TEXTS], texts(nats), texts(nats + shift + noise(400, 0.002)))
        (perplexity,) = parts.metrics
        assert perplexity.margin == pytest.approx(0.05 * perplexity.reference)
        outcomes.append((perplexity.outcome, parts.likelihoods.outcome, parts.outcome))
    assert outcomes == [("equivalent",) * 3, ("different",) * 3]


def test_a_prompt_with_other_tokens_is_a_difference():
    nats = random_nats(500)
    parts = judge([CHOICES], quiz(nats), quiz(nats), prompts=PromptsPart(items=500, equal=499))
    assert (parts.outcome, parts.reasons) == ("different", ["1 of 500 prompts have other tokens."])
    assert judge([CHOICES], quiz(nats), quiz(nats), prompts=PromptsPart(items=500, equal=500)).outcome == "equivalent"


def test_a_missing_end_is_a_difference_and_a_further_one_is_not():
    nats = random_nats(500)

    def outcome(target):
        ends = EndsPart(reference=["<eos>", "<end>"], target=target)
        return judge([CHOICES], quiz(nats), quiz(nats), ends=ends).outcome

    assert [outcome(target) for target in (["<eos>"], ["<eos>", "<end>", "<x>"], None)] == [
        "different",
        "equivalent",
        "equivalent",
    ]


def test_answers_that_run_on_are_a_difference():
    parts = judge([CHOICES], generated([True] * 200), generated([True] * 150 + [False] * 50))
    assert (parts.outcome, parts.ends.stopping, parts.ends.reference_ended, parts.ends.target_ended) == (
        *("different", "different"),
        200,
        150,
    )
    same = judge([CHOICES], generated([True] * 200), generated([True] * 200))
    assert (same.outcome, same.ends.stopping, same.likelihoods) == ("equivalent", "equivalent", None)
    assert same.reasons[0] == "No log-likelihoods were compared: the metrics alone decide."


def test_items_that_the_target_lacks_are_never_equivalent():
    nats = random_nats(500)
    target = quiz(nats)
    for lacking in (
        {"quiz": target["quiz"][:-1]},
        {"quiz": [*target["quiz"][:-1], target["quiz"][-1].model_copy(update={"doc_hash": "changed"})]},
    ):
        parts = judge([CHOICES], quiz(nats), lacking)
        assert (parts.outcome, parts.metrics[0].caution) == (
            "inconclusive",
            "the target has no value for 1 answers",
        )
    with pytest.raises(UserError, match="none of the items"):
        judge([CHOICES], quiz(nats), {"quiz": []})


def test_order_of_the_samples_does_not_matter():
    nats = random_nats(200)
    reference, target = quiz(nats), quiz(nats + noise(nats.shape, 0.01))
    turned = {"quiz": target["quiz"][::-1]}
    assert judge([CHOICES], reference, target) == judge([CHOICES], reference, turned)


def test_ties_and_probabilities_near_0_and_1_have_finite_numbers():
    task = TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY, MACRO_F1])
    for nats in (np.zeros((60, 2)), np.tile([-1e-12, -700.0], (60, 1)), np.tile([-1e300, 0.0], (60, 1))):
        gold = np.array([1] + [0] * 59)
        parts = judge([task], quiz(nats, gold), quiz(nats, gold))
        assert parts.outcome in ("equivalent", "inconclusive")
        assert parts.model_dump_json()
