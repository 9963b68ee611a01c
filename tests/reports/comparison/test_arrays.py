"""The public functions on plain arrays: what they give, and what they refuse."""

import numpy as np
import pytest

from harness.stats import compare, equivalence, interval, score_interval, score_p_value, wilson_interval
from reports.comparison.arrays import Estimate, PairedComparison
from reports.comparison.sums import value_of_samples

RIGHT = [1] * 30 + [0] * 10


def test_a_score_and_its_interval_at_a_level():
    found = interval(RIGHT, level=0.01)
    assert found.value == 0.75
    assert (found.low, found.high) == pytest.approx(wilson_interval(30, 40, 0.01))


def test_a_mean_of_shares_is_bounded_unless_it_is_said_not_to_be():
    values = [0.0, 0.1, 0.9, 1.0, 0.0, 0.0]
    assert interval(values, kind="mean").high <= 1.0
    assert interval([*values, 1.1], kind="mean", level=1e-4).high > 1.1
    assert interval(values, kind="mean", bounded=False, level=1e-4).high > 1.0


def test_a_difference_at_its_level_with_its_direction():
    before, after = [0] * 12 + [1] * 28, [1] * 10 + [0] * 2 + [1] * 28
    pair = compare(before, after, level=0.01)
    assert (pair.low, pair.high, pair.level) == (*score_interval(10, 0, 40, 0.01), 0.01)
    assert pair.p_value == pytest.approx(score_p_value(10, 0, 40))
    assert pair.outcome == "better"
    assert compare(before, after, higher_is_better=False).outcome == "worse"
    assert compare(before, after, higher_is_better=None).outcome == "different"
    assert compare(before, before).outcome == "identical"


def test_items_needed_are_whole_items_of_the_kind_that_was_given():
    pair = compare([0, 0, 1, 1] * 5, [0, 1, 1, 1] + [0, 0, 1, 1] * 4, margin=0.1)
    assert pair.outcome == "inconclusive"
    grouped = compare(
        [0, 0, 1, 1] * 5, [0, 1, 1, 1] + [0, 0, 1, 1] * 4, margin=0.1, clusters=[number // 2 for number in range(20)]
    )
    assert isinstance(pair.items_needed, int)
    assert isinstance(grouped.items_needed, int)
    assert grouped.items_needed > pair.items_needed


@pytest.mark.parametrize("wrong", [{"level": 2}, {"level": 0}, {"margin": -0.1}, {"margin": float("nan")}])
def test_a_level_or_margin_that_is_none_is_refused(wrong):
    given = {"margin": 0.05} | wrong
    for judge in (compare, equivalence):
        with pytest.raises(ValueError, match=f"the {next(iter(wrong))} is"):
            judge([0, 1] * 10, [1, 1] * 10, **given)


def test_equivalence_is_the_interval_inside_the_margin_with_both_one_sided_p_values():
    before, after = [0] * 100 + [1] * 900, [1] * 10 + [0] * 90 + [0] * 8 + [1] * 892
    shown, p_value = equivalence(before, after, 0.02)
    assert p_value == pytest.approx(score_p_value(10, 8, 1000, 0.02, "less"))
    assert (shown, p_value < 0.025) == (True, True)
    assert equivalence(after, before, 0.02) == pytest.approx((True, p_value))
    narrow, p_narrow = equivalence(before, after, 0.005)
    assert not narrow
    assert p_narrow == pytest.approx(score_p_value(10, 8, 1000, 0.005, "less"))
    beyond, p_beyond = equivalence(before, after, 0.001)
    assert not beyond
    assert p_beyond == pytest.approx(score_p_value(10, 8, 1000, 0.001, "less"))
    assert p_beyond > 0.5


def test_equivalence_at_another_level_and_without_an_interval():
    before, after = [0] * 100 + [1] * 900, [1] * 10 + [0] * 90 + [0] * 8 + [1] * 892
    _, p_value = equivalence(before, after, 0.012)
    assert equivalence(before, after, 0.012, level=2 * p_value * 1.01)[0]
    assert not equivalence(before, after, 0.012, level=2 * p_value * 0.99)[0]
    assert equivalence([0.1], [0.1], 0.5, kind="mean") == (False, 1.0)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "there are no values"),
        ([1, float("nan")], {}, "not numbers"),
        ([1, 2], {}, "from 0 to 1"),
        ([-1, 0], {}, "from 0 to 1"),
        ([(0, -1), (1, 1)], {"kind": "macro_f1"}, "label numbers from 0"),
        ([(0, 0.5), (1, 1)], {"kind": "macro_f1"}, "label numbers from 0"),
        ([1, 0], {"items": [1]}, "2 values, 1 items and 1 clusters"),
        ([1, 0], {"clusters": [1, 2, 3]}, "2 values, 2 items and 3 clusters"),
    ],
)
def test_values_that_no_metric_can_be_made_of_are_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        interval(values, **options)
    with pytest.raises(ValueError, match=message):
        compare(values, values, **options)


SKEWED = np.exp(np.random.default_rng(3).normal(size=30))
BESIDE = SKEWED + np.random.default_rng(4).normal(0.1, 1, 30)


def test_the_same_seed_draws_the_same_bootstrap_and_0_is_the_default():
    for function, values in ((interval, (SKEWED,)), (compare, (SKEWED, BESIDE)), (equivalence, (SKEWED, BESIDE, 0.1))):
        first, second, other = (function(*values, kind="mean", **seed) for seed in ({}, {"seed": 0}, {"seed": 1}))
        assert first == second != other


def test_a_single_item_has_a_score_and_a_difference_but_no_interval():
    assert interval([0.5], kind="mean") == Estimate(0.5, None, None, "no interval can be computed")
    assert compare([0.9], [0.2], kind="mean") == PairedComparison(
        pytest.approx(-0.7), None, None, 0.05, None, "", "inconclusive", None, "no interval can be computed"
    )


def test_few_groups_of_items_are_flagged_except_where_nothing_differs():
    groups = [number // 8 for number in range(40)]
    assert interval(RIGHT, clusters=groups).caution == "only 5 independent groups of items"
    assert interval(RIGHT).caution == ""
    assert compare(RIGHT, RIGHT[::-1], clusters=groups).caution == "only 5 independent groups of items"
    assert compare(RIGHT, RIGHT, clusters=groups).caution == ""
    assert equivalence(RIGHT, RIGHT[::-1], 0.1, clusters=groups) != equivalence(RIGHT, RIGHT[::-1], 0.1)


def test_repeated_answers_are_one_item():
    items = [number // 2 for number in range(40)]
    twice = [0, 1] * 20
    assert interval(twice, items=items) != interval(twice)
    assert compare([0] * 40, twice, items=items).difference == 0.5
    assert compare([0] * 40, twice, items=items).p_value != compare([0] * 40, twice).p_value
    assert equivalence([0] * 40, twice, 0.9, items=items) != equivalence([0] * 40, twice, 0.9)


def test_items_and_groups_of_one_name_do_not_mix():
    once = compare(RIGHT, RIGHT[::-1], items=[f"group {number}" for number in range(40)])
    assert once == compare(RIGHT, RIGHT[::-1])


def test_macro_f1_counts_the_labels_of_both_models():
    gold, before, after = [0] * 10 + [1] * 10, [0] * 20, [0] * 10 + [1] * 8 + [2] * 2
    first, second = np.column_stack([gold, before]), np.column_stack([gold, after])
    assert interval(first, kind="macro_f1").value == pytest.approx((2 * 10 / 30 + 0) / 2)
    pair = compare(first, second, kind="macro_f1")
    assert pair.difference == pytest.approx((1 + 2 * 8 / 18) / 2 - (2 * 10 / 30) / 2)
    assert pair.outcome == "better"
    assert interval(second, kind="macro_f1").high <= 1


def test_a_ratio_is_that_of_the_sums():
    pairs = [(1, 2), (3, 4), (5, 9), (2, 2), (0, 3), (4, 5)]
    assert interval(pairs, kind="ratio").value == 15 / 25
    doubled = [(2 * top, bottom) for top, bottom in pairs]
    assert compare(pairs, doubled, kind="ratio").difference == pytest.approx(15 / 25)


def test_the_margin_is_5_points_by_default_and_must_not_be_reached():
    before, after = [0] * 100 + [1] * 900, [1] * 10 + [0] * 90 + [0] * 8 + [1] * 892
    assert compare(before, after).outcome == "equivalent"
    assert compare(RIGHT, RIGHT[::-1]).outcome == "inconclusive"
    low, high = score_interval(10, 8, 1000)
    assert not equivalence(before, after, high)[0]
    assert not equivalence(after, before, high)[0]
    assert equivalence(before, after, high + 1e-9)[0]
    assert -low < high


def test_a_level_of_5_percent_is_the_default():
    assert interval(RIGHT) == interval(RIGHT, level=0.05)
    assert compare(RIGHT, RIGHT[::-1]) == compare(RIGHT, RIGHT[::-1], level=0.05, margin=0.05, higher_is_better=True)
    assert compare(RIGHT, RIGHT[::-1]).test == "score test (McNemar, Tango)"


def test_whether_a_difference_of_means_is_bounded_is_read_off_both_models():
    low, high = [0.0] * 3 + [0.01] * 3, [1.0] * 3 + [0.98] * 3
    assert compare(low, high, kind="mean", level=1e-6).high == 1.0
    assert compare(low, [*high[:-1], 1.01], kind="mean", level=1e-6).high > 1.0
    assert compare(low, high, kind="mean", level=1e-6, bounded=False).high > 1.0


def test_models_with_other_numbers_of_answers_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        compare([1, 0], [1])
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        equivalence([1, 0], [1], 0.1)


def test_calibration_error_has_no_interval():
    pair = compare([(0.9, 1)] * 20, [(0.9, 0)] * 20, kind="ece", higher_is_better=False)
    assert (pair.low, pair.p_value, pair.caution) == (None, None, "no interval can be computed")


def test_ece_subtracts_what_chance_adds_to_the_gap_of_each_bin():
    """One bin of 25 answers, 20 right, at a confidence of .85: the folded normal of Kumar et al. (2019), integrated."""
    from scipy import integrate, stats

    gap, error = 0.05, (0.8 * 0.2 / 25) ** 0.5
    folded = integrate.quad(lambda x: abs(x) * stats.norm.pdf(x, gap, error), -1, 1)[0]
    values = [(0.85, float(number < 20)) for number in range(25)]
    assert value_of_samples("ece", values) == pytest.approx(gap - (folded - gap), abs=1e-6)


def test_ece_of_many_answers_is_the_plain_one_in_ten_bins_with_1_in_the_last():
    """Guo et al. 2017, equation 5; the answers are so many that chance adds nothing."""
    pairs = [(0.95, 1.0), (0.95, 0.0), (1.0, 1.0), (0.31, 0.0), (0.39, 1.0)] * 40_000
    last, fourth = abs((0.95 + 0.95 + 1.0) - 2), abs((0.31 + 0.39) - 1)
    assert value_of_samples("ece", pairs) == pytest.approx((last + fourth) / 5, abs=1e-6)


def test_calibrated_models_are_near_0_whether_they_are_sharp_or_spread():
    generator = np.random.default_rng(0)
    scores = {}
    for name, low in (("sharp", 0.9), ("spread", 0.34)):
        confidence = generator.uniform(low, 1, (200, 500))
        right = generator.random((200, 500)) < confidence
        scores[name] = np.mean(
            [value_of_samples("ece", np.column_stack(pair)) for pair in zip(confidence, right, strict=True)]
        )
    assert scores["sharp"] < 0.01
    assert scores["spread"] < 0.035  # 0.045 without the correction
    assert value_of_samples("ece", [(0.5, 1.0), (0.5, 0.0)] * 10) == 0.0


def test_batch_calibration_divides_by_the_mean_probability_of_each_label():
    """Zhou et al. 2023: the argmax of p over its mean over the batch."""
    generator = np.random.default_rng(1)
    logs = generator.normal(0, 1, (60, 3)) + np.array([2.0, 0.0, -1.0])
    gold = generator.integers(0, 3, 60)
    p = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    expected = ((p / p.mean(0)).argmax(1) == gold).mean()
    assert value_of_samples("batch_calibrated", np.column_stack([gold, logs])) == pytest.approx(expected)
    assert expected != (p.argmax(1) == gold).mean()


def test_batch_calibration_undoes_a_collapse_and_bears_labels_without_any_probability():
    values = [(0, -1.0, -1.2), (1, -1.0, -1.1)]  # both say the first label, the second item less so
    assert value_of_samples("batch_calibrated", values) == 1.0
    impossible = [(0, -1.0, -np.inf, -1.2), (2, -1.0, -np.inf, -1.1)]
    assert value_of_samples("batch_calibrated", impossible) == 1.0


def test_a_mean_of_values_that_are_never_negative_has_no_negative_limit():
    values = [0.1, 0.2, 0.3, 4.0, 9.0, 2.5]
    assert interval(values, kind="mean", level=1e-4).low == 0.0
    assert interval([value - 1 for value in values], kind="mean", level=1e-4).low < -1
