"""Right and wrong answers: Wilson's interval, McNemar's and Tango's test, and effective numbers of items."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from harness.stats import compare, interval, score_interval, score_p_value, wilson_interval
from reports.comparison.counts import (
    difference_of_clusters,
    effective_items,
    exact_share,
    jackknife_variance,
    normal_level,
    scaled,
    score_test,
    share,
    sign_p,
)
from reports.comparison.label_f1 import macro_f1_difference
from reports.comparison.proportions import score_statistic
from reports.comparison.sums import clusters_from_values


@pytest.mark.parametrize(("right", "items"), [(0, 1), (1, 1), (2, 5), (8, 10), (499, 500)])
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_a_share_has_wilsons_interval(right, items, level):
    expected = stats.binomtest(right, items).proportion_ci(confidence_level=1 - level, method="wilson")
    found = interval([1] * right + [0] * (items - right), level=level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.value, found.caution) == (right / items, "")
    assert share(right, items).standard_error == pytest.approx(math.sqrt(right / items * (1 - right / items) / items))


@pytest.mark.parametrize(("gained", "lost"), [(9, 2), (2, 9), (3, 3), (1, 0), (30, 5)])
def test_the_difference_is_tested_by_mcnemar_without_correction(gained, lost):
    before, after = [0] * gained + [1] * lost + [1] * 20, [1] * gained + [0] * lost + [1] * 20
    pair = compare(before, after)
    expected = mcnemar([[20, lost], [gained, 0]], exact=False, correction=False).pvalue
    assert pair.p_value == pytest.approx(expected)
    assert pair.difference == pytest.approx((gained - lost) / (gained + lost + 20))
    assert (pair.low, pair.high) == score_interval(gained, lost, gained + lost + 20)
    assert pair.test == "score test (McNemar, Tango)"


def test_a_p_value_is_never_0():
    assert compare([0] * 5000, [1] * 5000).p_value == 1e-16


def test_the_smallest_possible_p_value_is_that_of_discordant_items_that_all_point_one_way():
    assert sign_p(0) == 1.0
    assert sign_p(5) == pytest.approx(stats.chi2.sf(5, 1)) == pytest.approx(0.0253473)
    assert sign_p(5, 9) == pytest.approx(2 * stats.t.sf(math.sqrt(5), 9))
    assert score_test(4, 1, 30).least_p == pytest.approx(sign_p(5))
    assert score_test(5, 0, 30).p_value() == pytest.approx(sign_p(5))


def test_few_degrees_of_freedom_widen_interval_and_test_alike():
    plain, wide = score_test(8, 1, 40), score_test(8, 1, 40, 4)
    statistic = 7 / 3
    assert plain.p_value() == pytest.approx(2 * stats.norm.sf(statistic))
    assert wide.p_value() == pytest.approx(2 * stats.t.sf(statistic, 4))
    level = wide.p_value()
    assert wide.ends(level * 1.001)[0] > 0 > wide.ends(level * 0.999)[0]
    assert wide.ends(0.05) == score_interval(8, 1, 40, normal_level(0.05, 4))
    assert normal_level(0.05, math.inf) == 0.05
    assert stats.norm.isf(normal_level(0.05, 4) / 2) == pytest.approx(stats.t.isf(0.025, 4))
    assert share(3, 10, 4).ends(0.05) == wilson_interval(3, 10, normal_level(0.05, 4))


def test_one_degree_of_freedom_at_a_corrected_level_says_nothing():
    assert score_test(2, 0, 4, 1).ends(1e-4) == pytest.approx((-1.0, 1.0), abs=0.01)
    assert share(2, 4, 1).ends(1e-4) == pytest.approx((0.0, 1.0), abs=0.01)


def test_scaled_differences_keep_the_test():
    half = scaled(score_test(8, 1, 40), 0.5, 0.1)
    assert half.estimate == pytest.approx(0.1 + 0.5 * 7 / 40)
    assert half.ends(0.05) == pytest.approx(tuple(0.1 + 0.5 * end for end in score_interval(8, 1, 40)))
    assert half.p_value(0.1) == pytest.approx(score_p_value(8, 1, 40))
    assert half.p_value(0.15) == pytest.approx(score_p_value(8, 1, 40, 0.1))
    assert half.standard_error == pytest.approx(0.5 * math.sqrt((9 / 40 - (7 / 40) ** 2) / 40))
    assert (half.size, half.effective) == (0.5, 40)


def test_the_mirrored_difference_has_the_mirrored_test():
    mirrored = score_test(8, 1, 40).mirrored()
    assert mirrored.estimate == -7 / 40
    assert mirrored.ends(0.05) == pytest.approx(score_interval(1, 8, 40))
    assert mirrored.p_value(0.05) == pytest.approx(score_p_value(1, 8, 40, 0.05))


def test_effective_items_have_the_variance_of_the_share():
    """Groups of two that are always both right or both wrong are half as many items, less one in n - 1."""
    tops, bottoms = np.array([2.0, 0.0] * 10), np.full(20, 2.0)
    effective, degrees = effective_items(tops, bottoms, most=40)
    assert (effective, degrees) == pytest.approx((19, 19))


def test_effective_items_are_at_most_the_answers_and_as_many_as_units_where_all_are_alike():
    assert effective_items(np.full(20, 1.0), np.full(20, 2.0), most=40) == (40, 19)
    assert effective_items(np.full(20, 1 / 3), np.ones(20), most=60) == (60, 19)
    assert effective_items(np.full(20, 2.0), np.full(20, 2.0), most=40) == (20, math.inf)
    assert effective_items(np.zeros(20), np.full(20, 2.0), most=40) == (20, math.inf)
    assert effective_items(np.array([1.0, 0.0]), np.array([1.0, 0.0]), most=9) == (1, math.inf)


def test_clusters_of_one_are_items_and_clusters_of_two_widen_the_interval():
    values = [1, 1, 0, 0] * 10
    plain, alone, paired = (
        interval(values, clusters=clusters) for clusters in (None, range(40), [number // 2 for number in range(40)])
    )
    assert plain == alone
    degrees = 19
    effective = 0.25 / (20 * 1.0 / 40**2 * 20 / 19)
    expected = wilson_interval(effective / 2, effective, normal_level(0.05, degrees))
    assert (paired.low, paired.high) == pytest.approx(expected)


def test_repeats_of_a_sure_model_are_no_more_items():
    """Three equal answers to each of 20 items are 20 items, not 60; three always right keep a width."""
    items = [number // 3 for number in range(60)]
    values = [float(number // 3 % 4 > 0) for number in range(60)]
    repeated = interval(values, items=items)
    effective = 20 * 19 / 20
    expected = wilson_interval(0.75 * effective, effective, normal_level(0.05, 19))
    assert (repeated.low, repeated.high) == pytest.approx(expected)
    sure = interval([1.0] * 60, items=items)
    assert (sure.low, sure.high) == pytest.approx(wilson_interval(20, 20))


def test_paired_repeats_count_by_the_variance_between_items():
    items = [number // 2 for number in range(40)]
    before = [0.0] * 40
    after = [1.0 if number < 12 else 0.0 for number in range(40)]  # both answers to six of 20 items
    pair = compare(before, after, items=items)
    change = np.array([1.0] * 6 + [0.0] * 14)
    effective = (0.3 - 0.09) / (change.var(ddof=1) / 20)
    assert pair.difference == pytest.approx(0.3)
    assert pair.p_value == pytest.approx(2 * stats.t.sf(math.sqrt(0.3 * effective), 19))


def test_few_groups_are_flagged():
    clusters = [number // 5 for number in range(45)]
    assert interval([1, 0, 1, 1, 0] * 9, clusters=clusters).caution == "only 9 independent groups of items"
    pair = compare([1, 0, 1, 1, 0] * 9, [1, 1, 1, 0, 0] * 9, clusters=clusters)
    assert pair.caution == "only 9 independent groups of items"
    ten = [number // 5 for number in range(50)]
    assert interval([1, 0, 1, 1, 0] * 10, clusters=ten).caution == ""
    assert interval([1, 0, 1]).caution == ""
    assert interval([1, 0, 1, 1], items=[0, 0, 1, 1]).caution == "only 2 independent items"


def test_few_items_and_one_large_group_are_flagged():
    assert compare([0, 0, 0, 0], [1, 1, 1, 1]).caution == "only 4 independent items"
    assert compare([0, 0, 0, 0, 1], [1, 1, 1, 1, 1]).caution == ""
    large = [0] * 40 + list(range(1, 61))
    assert compare([0, 1] * 50, [1, 1] * 50, clusters=large).caution == "one group of items carries 40% of the weight"
    assert compare([0, 1] * 50, [1, 1] * 50, clusters=[0] * 30 + list(range(1, 71))).caution == ""


def test_a_large_unit_is_left_out_in_turn_and_leaves_few_degrees_of_freedom():
    """Of five units, one holds half of the answers: by hand."""
    influence, sizes = np.array([0.1, -0.05, -0.05, 0.02, -0.02]), np.array([8.0, 2.0, 2.0, 2.0, 2.0])
    left_out = [0.1 / 0.5, 0.05 / 0.875, 0.05 / 0.875, 0.02 / 0.875, 0.02 / 0.875]
    variance, degrees = jackknife_variance(influence, sizes, single=0.012)
    assert variance == pytest.approx(sum(value**2 for value in left_out) * 4 / 5)
    correlation = (0.0158 / 0.012 - 1) * 16 / (80 - 16)
    expected = [8 * (1 + 7 * correlation), *[2 * (1 + correlation)] * 4]
    assert degrees == pytest.approx(sum(expected) ** 2 / sum(value**2 for value in expected) - 1)
    assert degrees == pytest.approx(1.5621, abs=1e-4)
    assert jackknife_variance(influence, sizes, single=0.001)[1] == 1  # all answers of a unit alike
    assert jackknife_variance(influence, sizes, single=1.0)[1] == pytest.approx(16**2 / 80 - 1)  # not correlated
    assert jackknife_variance(influence, sizes, single=0.0)[1] == pytest.approx(16**2 / 80 - 1)
    assert jackknife_variance(influence, np.full(5, 2.0), single=0.012)[1] == pytest.approx(4)


@pytest.mark.parametrize("kind", ["proportion", "macro_f1"])
def test_equal_models_seldom_differ_where_a_few_large_groups_dominate(kind):
    """One of 32 groups has 80 of 262 items, and half of the answers of a group are alike: at most 5 % false alarms."""
    sizes = [80, 40, 20, 10, 8, *[4] * 25, 2, 2]
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    generator, alarms = np.random.default_rng(8), 0
    for _ in range(200):
        together, common, own = (generator.random((2, len(clusters))) for _ in range(3))
        right = np.where(together < 0.5, common[:, clusters], own) < 0.6
        gold = generator.choice(3, len(clusters), p=(0.45, 0.35, 0.2))
        predicted = np.where(right, gold, (gold + generator.integers(1, 3, right.shape)) % 3)
        sides = right * 1.0 if kind == "proportion" else [np.stack([gold, side], 1) * 1.0 for side in predicted]
        before, after = (clusters_from_values(kind, side, range(len(gold)), clusters, 3) for side in sides)
        if kind == "proportion":
            alarms += difference_of_clusters(before, after).p_value() < 0.05
        else:
            low, high = macro_f1_difference(before, after).ends(0.05)
            alarms += low > 0 or high < 0
    assert alarms <= 10  # 27 and 28 with n - 1 degrees of freedom and no group left out


def test_a_share_states_its_test_and_its_degrees_of_freedom():
    half = share(5, 10, 4)
    assert (half.estimate, half.test, half.degrees_of_freedom) == (0.5, "score test", 4)


@pytest.mark.parametrize(("right", "items"), [(0, 1), (1, 1), (0, 7), (2, 5), (8, 10), (40, 40)])
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_an_exact_share_has_the_interval_of_clopper_and_pearson(right, items, level):
    exact = exact_share(right, items)
    expected = stats.binomtest(right, items).proportion_ci(confidence_level=1 - level, method="exact")
    assert exact.ends(level) == pytest.approx((expected.low, expected.high))
    assert (exact.estimate, exact.test) == (right / items, "exact binomial test")
    assert exact.standard_error == pytest.approx(math.sqrt(right / items * (1 - right / items) / items))


def test_a_difference_with_few_degrees_of_freedom_is_tested_against_any_limit():
    wide = score_test(8, 1, 40, 4)
    assert wide.p_value(0.1) == pytest.approx(2 * stats.t.sf(abs(score_statistic(8, 1, 40, 0.1)), 4))
    assert (wide.degrees_of_freedom, wide.least_p) == (4, sign_p(9, 4))


def test_the_p_value_of_a_difference_is_computed_not_searched():
    assert score_test(8, 1, 40).p_value(0.1) == score_p_value(8, 1, 40, 0.1)
    assert scaled(score_test(8, 1, 40), 0.5).p_value(0.05) == score_p_value(8, 1, 40, 0.1)
    assert scaled(share(8, 10), 0.5).direct_p is None
    assert scaled(share(8, 10), 0.5).estimate == 0.4


def test_two_units_have_one_degree_of_freedom():
    assert effective_items(np.array([2.0, 0.0]), np.array([2.0, 2.0]), most=4) == (1, 1)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0, 0, 0, 0], [1, 0, 1, 1, 0, 0, 1, 0], (3, 0, 6, 3)),  # gains 1/2, 1, 0, 1/2: 6 effective items
        ([0, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0], (1, 1, 4, 3)),
        ([0, 1, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0], (69 / 76, 69 / 152, 69 / 19, 3)),
        ([0, 0], [1, 1, 1, 0], (2.25, 0, 3, 1)),
    ],
)
def test_models_asked_once_and_twice_are_compared_by_effective_items(before, after, expected):
    items = range(len(before))
    once = clusters_from_values("mean", np.array(before, float), items, items)
    twice_ids = [number // 2 for number in range(len(after))]
    twice = clusters_from_values("mean", np.array(after, float), twice_ids, twice_ids)
    change = twice.table[:, 0] - once.table[:, 0]
    spread = np.abs(change).mean() - change.mean() ** 2
    effective = min(spread / (change.var(ddof=1) / len(change)), 2 * len(change))
    inference, by_hand = difference_of_clusters(once, twice), score_test(*expected)
    assert effective == pytest.approx(expected[2])
    assert inference.ends(0.05) == pytest.approx(by_hand.ends(0.05))
    assert (inference.effective, inference.degrees_of_freedom) == pytest.approx(expected[2:])
