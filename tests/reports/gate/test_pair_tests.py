"""The rules that test paired items: limits, p-values, outcomes and reasons, by hand."""

import math

import numpy as np
import pytest

from reports.comparison.proportions import score_p_value
from reports.comparison.sums import Clusters
from reports.document.schema import MetricInfo
from reports.gate.estimate import CountedDifference, paired
from reports.gate.pair_tests import Gain, Regression, comparison_fields, margin_of
from reports.gate.policy import Policy
from reports.gate.targets import CannotJudgeError, Selected, Target
from tests.reports.gate.examples import (
    ACCURACY,
    LENGTH,
    PERPLEXITY,
    ROUGE,
    inputs,
    perplexities,
    right_and_wrong,
    verdict,
)

LOSSES = MetricInfo(key="m", title="Errors", kind="proportion", higher_is_better=False, percent=True)


def answers(gained, lost, items=400, metric=ACCURACY, **rule):
    result, _ = verdict({"metric": "t/m", **rule}, *inputs(metric, *right_and_wrong(gained, lost, items)))
    return result


def selected(gained, lost, items):
    tables = (np.stack([values, np.ones(items)], 1) for values in right_and_wrong(gained, lost, items))
    before, after = (Clusters(table, table, np.arange(items), 1) for table in tables)
    return Selected("proportion", [], [], before, after, items)


def target(metric, **rule):
    (parsed,) = Policy.model_validate({"rules": [{"metric": "t/m", "rule": "superiority"} | rule]}).rules
    return Target(parsed, "t", metric, "mine")


# Margins


def test_margins_are_in_the_unit_of_a_share_and_else_a_share_of_the_baseline():
    assert margin_of(target(ACCURACY), 0.05, 0.8) == 0.05
    assert margin_of(target(LENGTH), 0.05, 80.0) == 4.0
    assert margin_of(target(LENGTH, relative=False), 5.0, -1.0) == 5.0
    assert margin_of(target(ACCURACY, relative=True), 1.5, 0.5) == 0.75
    assert margin_of(target(ACCURACY), 0.999, 0.8) == 0.999


@pytest.mark.parametrize("baseline", [0.0, -1.0])
def test_a_relative_margin_needs_a_baseline_above_0(baseline):
    with pytest.raises(CannotJudgeError) as error:
        margin_of(target(LENGTH), 0.05, baseline)
    reason = "the baseline's value is not above 0, so there is no relative margin; set relative: false"
    assert str(error.value) == reason


# Gains


def gain(gained, lost, items, limit=-0.05):
    difference = CountedDifference(gained, lost, items)
    return Gain(difference, difference, limit, limit)


def test_the_p_values_of_a_gain():
    result = gain(4, 9, 100)
    assert result.p_value == score_p_value(4, 9, 100, -0.05, "greater", continuity=0.25)
    assert result.p_opposite == score_p_value(9, 4, 100, 0.05, "greater", continuity=0.75)
    assert result.p_worse == score_p_value(9, 4, 100, 0.0, "greater", continuity=0.75)


def test_nine_items_show_nothing_and_ten_may():
    for items, is_tested in ((9, False), (10, True)):
        result = gain(0, items, items)
        assert [p < 1 for p in (result.p_opposite, result.p_worse)] == [is_tested] * 2
        assert (gain(items, 0, items).p_value < 1) is is_tested


def test_the_items_that_a_gain_needs_are_at_least_ten():
    assert gain(0, 0, 400, -0.5).needed(0.0, 0.95, 0.8) == 10
    assert gain(2, 4, 60).needed(0.0, 0.975, 0.8) == 611
    assert gain(2, 4, 60, 0.0).needed(0.0, 0.95, 0.8) is None


def test_the_items_of_a_relative_gain_are_planned_on_its_own_scale():
    before, after = (np.array(side) for side in perplexities(30, 0.0))
    plain, shifted = (paired("perplexity", before, after, sign=-1, share=share) for share in (0.0, 0.03))
    result = Gain(plain, shifted, 0.0, -0.3)
    assert result.needed(0.1, 0.95, 0.8) == shifted.items_to_exceed(0.0, 0.4, 0.95, 0.8)


def test_a_target_on_which_nothing_differs_cannot_fail():
    assert [Regression(gain(*counts, 40), {}).can_fail for counts in ((0, 0), (1, 0), (0, 1))] == [False, True, True]


# Fields of a comparison


@pytest.mark.parametrize(
    ("gained", "lost", "sign", "relevant", "outcome"),
    [
        (0, 0, 1, 0.05, "identical"),
        (30, 5, 1, 0.05, "better"),
        (5, 30, 1, 0.05, "worse"),
        (30, 5, -1, 0.05, "worse"),
        (5, 30, -1, 0.05, "better"),
        (30, 5, 0, 0.05, "different"),
        (8, 8, 1, 0.05, "equivalent"),
        (8, 8, 1, 0.01, "inconclusive"),
    ],
)
def test_the_outcome_is_read_off_the_bounds(gained, lost, sign, relevant, outcome):
    fields = comparison_fields(selected(gained, lost, 400), 0.95, sign, relevant)
    low, high = CountedDifference(gained, lost, 400).bounds(0.95)
    assert fields["outcome"] == outcome
    assert (fields["low"], fields["high"], fields["n"]) == (low, high, 400)
    assert fields["difference"] == pytest.approx((gained - lost) / 400)
    assert fields["value"] - fields["baseline"] == pytest.approx((gained - lost) / 400)


def test_bounds_at_the_margin_are_not_equivalent():
    low, high = CountedDifference(8, 8, 400).bounds(0.95)
    assert low == pytest.approx(-high)
    assert comparison_fields(selected(8, 8, 400), 0.95, 1, high)["outcome"] == "inconclusive"
    assert comparison_fields(selected(8, 8, 400), 0.95, 1, max(high, -low) + 1e-9)["outcome"] == "equivalent"
    for counts in ((8, 6), (6, 8)):  # one end alone is within the margin
        ends = CountedDifference(*counts, 400).bounds(0.95)
        middle = (abs(ends[0]) + abs(ends[1])) / 2
        assert comparison_fields(selected(*counts, 400), 0.95, 1, middle)["outcome"] == "inconclusive"


def test_fewer_than_ten_items_have_no_bounds():
    fields = comparison_fields(selected(9, 0, 9), 0.95, 1, 0.05)
    assert (fields["low"], fields["high"], fields["outcome"]) == (None, None, "inconclusive")
    assert comparison_fields(selected(0, 0, 9), 0.95, 1, 2.0)["outcome"] == "identical"
    assert comparison_fields(selected(10, 0, 10), 0.95, 1, 0.05)["outcome"] == "better"


# Rules

HIDDEN = "which could still hide a loss of 0.8 pp (95 % bound)"


@pytest.mark.parametrize(
    ("gained", "lost", "wanted", "reason"),
    [
        (10, 10, "pass", "a loss of the margin is ruled out: 0.0 pp, equivalent"),
        (
            0,
            0,
            "pass",
            f"a loss of the margin is ruled out: identical on all 400 items, {HIDDEN}",
        ),
        (0, 40, "fail", "shown to lose more than the margin: -10.0 pp, worse"),
    ],
)
def test_non_inferiority_by_the_score_test(gained, lost, wanted, reason):
    result = answers(gained, lost, rule="non_inferiority", margin=0.05)
    assert (result.verdict, result.reason, result.limit) == (wanted, reason, "loses less than 5.0 pp")
    assert result.p_value == score_p_value(gained, lost, 400, -0.05, "greater", continuity=0.25)
    assert (result.items_needed, result.p_adjusted) == (None, None)
    assert [item.id for item in result.moved] == (sorted(map(str, range(40)))[:10] if wanted == "fail" else [])


def test_non_inferiority_that_is_not_decided():
    result = answers(30, 40, rule="non_inferiority", margin=0.05)
    assert (result.verdict, result.limit) == ("inconclusive", "loses less than 5.0 pp")
    needed = CountedDifference(30, 40, 400).items_to_exceed(-0.05, 0.0, 0.95, 0.8)
    assert result.items_needed == needed
    assert result.reason == (
        "a loss of the margin is not ruled out: -2.5 pp, inconclusive; 400 items are too few: it takes about"
        f" {needed:,} for an equal model to rule out a loss of 5.0 pp with 80% power"
    )
    assert result.moved[0].id == "30"


def test_no_number_of_items_rules_out_no_loss_at_all():
    """Where no answer has any spread, no number is planned."""
    texts = [(-20.0, 10.0)] * 12
    result, _ = verdict({"metric": "t/m", "rule": "non_inferiority", "margin": 0.1}, *inputs(PERPLEXITY, texts, texts))
    assert result.reason == (
        "a loss of the margin is not ruled out: identical on all 12 items, which are too few to limit what they could"
        " hide; no number of items is enough for an equal model to rule out a loss of 0.739"
    )
    assert (result.verdict, result.items_needed, result.low) == ("inconclusive", None, None)


@pytest.mark.parametrize(
    ("gained", "lost", "rule", "wanted", "reason", "limit"),
    [
        (20, 2, {}, "pass", "shown: +4.5 pp, better (p < 0.001)", "is better"),
        (12, 3, {}, "pass", "shown: +2.2 pp, better (p 0.017)", "is better"),
        (45, 2, {"margin": 0.05}, "pass", "shown: +10.8 pp, better (p < 0.001)", "gains more than 5.0 pp"),
        (2, 20, {}, "fail", "shown to be worse: -4.5 pp, worse", "is better"),
    ],
)
def test_superiority_by_the_score_test(gained, lost, rule, wanted, reason, limit):
    result = answers(gained, lost, rule="superiority", **rule)
    assert (result.verdict, result.reason, result.limit) == (wanted, reason, limit)
    limit = rule.get("margin", 0.0)
    assert result.p_value == score_p_value(gained, lost, 400, limit, "greater", continuity=0.75)
    assert bool(result.moved) is (wanted == "fail")


def test_superiority_fails_where_enough_items_do_not_show_it():
    result = answers(10, 10, rule="superiority")
    assert (result.verdict, result.items_needed, result.outcome) == ("fail", None, "equivalent")
    assert result.reason == (
        "not shown: 0.0 pp, equivalent; 400 items are enough for a model that gains 5.0 pp to show it with 80% power"
    )
    assert result.moved[0].id == "10"


def test_superiority_looks_for_the_gain_beyond_the_margin():
    result = answers(20, 2, rule="superiority", margin=0.05, detect=0.03)
    needed = CountedDifference(20, 2, 400).items_to_exceed(0.05, 0.08, 0.95, 0.8)
    assert (result.verdict, result.items_needed) == ("inconclusive", needed)
    assert result.reason == (
        f"not shown: +4.5 pp, better; 400 items are too few: it takes about {needed:,} for a model that gains 8.0 pp to"
        " show it with 80% power"
    )
    assert answers(20, 2, rule="superiority", margin=0.05).verdict == "fail"  # 10 points would have shown


def test_superiority_on_nine_items_is_never_a_fail():
    result = answers(0, 9, items=9, rule="superiority")
    assert (result.verdict, result.outcome, result.low) == ("inconclusive", "inconclusive", None)


def test_the_confidence_and_the_power_are_those_asked_for():
    before, after = right_and_wrong(12, 3, 400)
    rule = {"metric": "t/m", "rule": "superiority", "confidence": 0.99, "detect": 0.03}
    result, _ = verdict(rule, *inputs(ACCURACY, before, after), power=0.9)
    needed = CountedDifference(12, 3, 400).items_to_exceed(0.0, 0.03, 0.99, 0.9)
    assert (result.verdict, result.items_needed) == ("inconclusive", needed)
    assert result.reason.endswith("with 90% power")
    assert (result.low, result.high) == CountedDifference(12, 3, 400).bounds(0.99)
    loss = {"metric": "t/m", "rule": "non_inferiority", "margin": 0.02, "confidence": 0.99}
    result, _ = verdict(loss, *inputs(ACCURACY, after, before), power=0.9)
    assert result.items_needed == CountedDifference(3, 12, 400).items_to_exceed(-0.02, 0.0, 0.99, 0.9)


def test_lower_is_better_where_it_is():
    result = answers(2, 20, metric=LOSSES, rule="superiority")
    assert (result.verdict, result.reason) == ("pass", "shown: -4.5 pp, better (p < 0.001)")
    result = answers(20, 2, metric=LOSSES, rule="superiority")
    assert (result.verdict, result.reason) == ("fail", "shown to be worse: +4.5 pp, worse")
    assert {item.id for item in result.moved} <= {str(n) for n in range(20)}


@pytest.mark.parametrize(
    ("gained", "lost", "wanted", "reason"),
    [
        (0, 7, "fail", "shown to be worse: -1.8 pp, worse (corrected p 0.009)"),
        (0, 5, "pass", "a loss of the margin is ruled out: -1.2 pp, equivalent"),
    ],
)
def test_no_regression_by_the_score_test(gained, lost, wanted, reason):
    result = answers(gained, lost, rule="no_regression")
    assert (result.verdict, result.reason) == (wanted, reason)
    assert result.limit == "no loss shown, and one of 5.0 pp ruled out"
    assert result.p_value == result.p_adjusted == score_p_value(lost, gained, 400, 0.0, "greater", continuity=0.75)
    assert bool(result.moved) is (wanted == "fail")


def test_no_regression_that_is_not_decided():
    result = answers(30, 40, rule="no_regression", margin=0.04)
    needed = CountedDifference(30, 40, 400).items_to_exceed(-0.04, 0.0, 0.975, 0.8)
    assert (result.verdict, result.items_needed, result.outcome) == ("inconclusive", needed, "inconclusive")
    assert result.limit == "no loss shown, and one of 4.0 pp ruled out"
    assert result.reason == (
        "a loss of the margin is not ruled out: -2.5 pp, inconclusive; 400 items are too few: it takes about"
        f" {needed:,} for an equal model to rule out a loss of 4.0 pp with 80% power"
    )
    assert result.moved[0].id == "30"


def test_relative_margins_shift_the_difference_and_not_its_bounds():
    before, after = perplexities(60, 0.02)
    result, _ = verdict({"metric": "t/m", "rule": "superiority", "margin": 0.01}, *inputs(PERPLEXITY, after, before))
    tables = np.array(after), np.array(before)
    shifted, plain = paired("perplexity", *tables, sign=-1, share=-0.01), paired("perplexity", *tables)
    assert result.p_value == pytest.approx(shifted.p_above(0.0))
    assert (result.low, result.high) == pytest.approx(plain.bounds(0.95))
    assert result.baseline == pytest.approx(math.exp(-np.array(after)[:, 0].sum() / 1200))


def test_a_mean_of_shares_is_tested_by_its_parts():
    generator = np.random.default_rng(2)
    before = generator.random(40)
    after = before + generator.normal(0.02, 0.05, 40)
    result, _ = verdict({"metric": "t/m", "rule": "superiority"}, *inputs(ROUGE, list(before), list(after)))
    difference = paired("mean", *(np.stack([values, np.ones(40)], 1) for values in (before, after)))
    assert result.p_value == pytest.approx(difference.p_above(0.0))
