"""Label collapse, and the comparison with always giving the majority label."""

import pytest

from harness.stats import score_interval, wilson_interval
from reports.comparison.label_use import label_use

GOLD = ["yes"] * 55 + ["no"] * 34 + ["maybe"] * 11


def use_of(*models):
    answers = {(f"m{number}", "t"): list(zip(GOLD, given, strict=True)) for number, given in enumerate(models)}
    return label_use(answers)


def test_a_model_that_says_yes_to_everything_collapsed_and_equals_the_majority():
    (use,) = use_of(["yes"] * 100)
    assert (use.model, use.task, use.items, use.label, use.share) == ("m0", "t", 100, "yes", 1.0)
    assert (use.gold_share, use.majority, use.majority_accuracy) == (0.55, "yes", 0.55)
    assert use.low == pytest.approx(wilson_interval(100, 100)[0])
    assert (use.difference, use.outcome, use.is_collapsed) == (0.0, "equivalent", True)


def test_a_model_is_compared_with_the_majority_label_by_mcnemar():
    given = ["yes"] * 50 + ["no"] * 5 + ["no"] * 30 + ["yes"] * 4 + ["maybe"] * 9 + ["none"] * 2
    (use,) = use_of(given)
    assert use.difference == pytest.approx((39 - 5) / 100)
    assert (use.difference_low, use.difference_high) == score_interval(39, 5, 100)
    assert (use.outcome, use.level, use.share, use.is_collapsed) == ("better", 0.05, 0.54, False)
    worse = use_of(["no"] * 100)[0]
    assert (worse.label, worse.difference, worse.outcome) == ("no", pytest.approx(-0.21), "worse")


def test_models_are_corrected_together_and_the_collapsed_leave_the_family():
    good = ["yes"] * 55 + ["no"] * 34 + ["yes"] * 11
    first, second, third = use_of(good, ["yes"] * 100, [*good[:99], "maybe"])
    assert sorted([first.level, third.level]) == pytest.approx([0.025, 0.05])
    assert second.level == 0.05
    assert (first.difference_low, first.difference_high) == score_interval(34, 0, 100, first.level)


def test_collapse_takes_nine_of_ten_items_and_more_than_gold_has():
    assert use_of(["yes"] * 90 + ["no"] * 10)[0].is_collapsed
    assert not use_of(["yes"] * 89 + ["no"] * 11)[0].is_collapsed
    one_sided = label_use({("m", "t"): [("yes", "yes")] * 95 + [("no", "no")] * 5})[0]
    assert (one_sided.share, one_sided.is_collapsed) == (0.95, False)
    few = label_use({("m", "t"): [("yes", "no"), ("no", "no")]})[0]
    assert (few.share, few.is_collapsed) == (1.0, False)  # two items show nothing


def test_unparsed_answers_are_a_label_that_a_model_can_collapse_onto():
    (use,) = use_of(["none"] * 95 + ["yes"] * 5)
    assert (use.label, use.gold_share, use.is_collapsed, use.outcome) == ("none", 0.0, True, "worse")


def test_ties_are_decided_by_name_and_nothing_is_made_of_no_models():
    use = label_use({("m", "t"): [("yes", "yes"), ("no", "no")]})[0]
    assert (use.label, use.majority, use.majority_accuracy) == ("no", "no", 0.5)
    assert label_use({}) == []
