"""What the gate tests: differences of counts and of means, their bounds, and the items that they ask for."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from reports.comparison.proportions import items_needed, power, score_p_value, upper_discordance
from reports.comparison.sums import value_of_clusters
from reports.gate.estimate import (
    CountedDifference,
    paired,
    pseudo_values,
    single,
)
from reports.gate.mean_difference import MeanDifference, t_items_needed

LIMITS = (-0.2, -0.05, 0.0, 0.05, 0.2)


def of_values(values):
    """What items with these values add to a mean."""
    return np.stack([np.asarray(values, dtype=float), np.ones(len(values))], 1)


# Right or wrong


def test_right_and_wrong_answers_are_counted():
    before, after = of_values([1, 1, 1, 0, 0, 0]), of_values([1, 0, 0, 1, 0, 0])
    assert paired("proportion", before, after) == CountedDifference(gained=1, lost=2, items=6)
    assert paired("proportion", before, after, sign=-1) == CountedDifference(gained=2, lost=1, items=6)
    assert CountedDifference(1, 2, 6).value == pytest.approx(-1 / 6)
    assert CountedDifference(1, 2, 6).differing == 3


@pytest.mark.parametrize(("limit", "continuity"), [(-0.1, 0.25), (-0.01, 0.25), (0.0, 0.75), (0.01, 0.75), (0.1, 0.75)])
def test_counts_are_tested_with_tangos_score_and_the_continuity_that_keeps_the_level(limit, continuity):
    above = score_p_value(7, 3, 40, limit, "greater", continuity=continuity)
    assert CountedDifference(7, 3, 40).p_above(limit) == above
    assert CountedDifference(3, 7, 40).p_below(-limit) == above


@pytest.mark.parametrize("confidence", [0.95, 0.975])
def test_bounds_of_counts_are_the_limits_that_the_tests_do_not_reject(confidence):
    for gained in range(0, 31, 3):
        for lost in range(0, 31 - gained, 2):
            difference = CountedDifference(gained, lost, 30)
            low, high = difference.bounds(confidence)
            for limit in LIMITS:
                assert (low > limit) == (difference.p_above(limit) < 1 - confidence), (gained, lost, limit)
                assert (high < limit) == (difference.p_below(limit) < 1 - confidence), (gained, lost, limit)


def test_items_for_counts_are_planned_with_the_upper_limit_of_the_discordance():
    difference = CountedDifference(2, 4, 60)
    discordance = upper_discordance(6, 60)
    rule = {"test": "non_inferiority", "margin": 0.05, "continuity": 0.25}
    number = difference.items_to_exceed(-0.05, 0.0, 0.975, 0.8)
    assert number == items_needed(0.0, discordance, 0.025, **rule) == 611
    assert power(number, 0.0, discordance, 0.025, **rule) >= 0.8
    assert CountedDifference(6, 0, 60).items_to_exceed(-0.05, 0.0, 0.975, 0.8) == number
    assert difference.items_to_exceed(0.0, 0.1, 0.95, 0.8) == items_needed(
        0.1, discordance, 0.05, test="superiority", continuity=0.75
    )
    assert difference.items_to_exceed(0.0, 0.0, 0.95, 0.8) is None


# Means


def test_a_mean_without_ties_or_skewness_is_tested_with_the_paired_t_test():
    before = np.linspace(0, 1, 20)
    change = np.tile([-0.3, -0.1, 0.1, 0.3], 5) + 0.05
    difference = paired("mean", of_values(before), of_values(before + change))
    assert difference.value == pytest.approx(0.05)
    assert difference.differing == 20
    for limit in LIMITS:
        expected = stats.ttest_1samp(change, limit, alternative="greater").pvalue
        assert difference.p_above(limit) == pytest.approx(expected)
        assert difference.p_below(limit) == pytest.approx(1 - expected)
    interval = stats.ttest_1samp(change, 0).confidence_interval(0.9)
    assert difference.bounds(0.95) == pytest.approx((interval.low, interval.high))


def test_lower_is_better_turns_the_difference():
    before, after = np.linspace(0, 1, 12), np.linspace(0, 1, 12) ** 2
    plain = paired("mean", of_values(before), of_values(after))
    turned = paired("mean", of_values(before), of_values(after), sign=-1)
    assert turned.value == pytest.approx(-plain.value)
    assert turned.p_above(0.05) == pytest.approx(plain.p_below(-0.05))


def test_skewness_is_corrected_by_halls_transformation():
    parts = np.array([0.1] * 17 + [-0.9, -0.7, -0.5])
    difference = MeanDifference(float(parts.mean()), parts, 20, 0.0)
    statistic = (parts.mean() + 0.2) / (parts.std(ddof=1) / math.sqrt(20))
    skewness = stats.skew(parts, bias=False)
    transformed = (
        statistic
        + skewness / (3 * math.sqrt(20)) * statistic**2
        + skewness**2 / (27 * 20) * statistic**3
        + skewness / (6 * math.sqrt(20))
    )
    assert difference.p_above(-0.2) == pytest.approx(stats.t.sf(transformed, 19))
    assert difference.p_above(-0.2) > stats.t.sf(statistic, 19)
    # Against a loss, the plain statistic is the more cautious one.
    statistic = parts.mean() / (parts.std(ddof=1) / math.sqrt(20))
    assert difference.p_below(0.0) == pytest.approx(stats.t.cdf(statistic, 19))


@pytest.mark.parametrize("confidence", [0.9, 0.975])
def test_bounds_of_skewed_means_have_the_p_value_of_their_confidence(confidence):
    parts = np.random.default_rng(0).lognormal(0, 1, 30)
    difference = MeanDifference(float(parts.mean()), parts, 30, 0.0)
    low, high = difference.bounds(confidence)
    assert difference.p_above(low) == pytest.approx(1 - confidence)
    assert difference.p_below(high) == pytest.approx(1 - confidence)


def test_ties_add_the_spread_of_unrelated_answers():
    """Half of the items are alike: half of two items with unrelated answers are added."""
    before = np.linspace(0, 1, 40)
    after = before + np.tile([0.0, 0.0, 0.2, -0.2], 10)
    difference = paired("mean", of_values(before), of_values(after))
    assert difference.differing == 20
    unrelated = 0.5 * (before.var(ddof=1) + after.var(ddof=1))
    error = math.sqrt(((after - before).var(ddof=1) + 2 * unrelated / 39) / 40)
    assert difference.p_above(-0.05) == pytest.approx(stats.t.sf(0.05 / error, 39))


def test_equal_answers_have_a_spread():
    """Of shares: as of right answers without a discordant item. Else: of two items with unrelated answers."""
    values = of_values([0.1, 0.5, 0.3] * 10)
    assert paired("mean", values, values) == CountedDifference(0, 0, 30)
    texts = np.stack([-np.linspace(40, 60, 20), np.full(20, 20.0)], 1)
    difference = paired("perplexity", texts, texts)
    parts = pseudo_values("perplexity", texts)
    error = math.sqrt(2 * 2 * parts.var(ddof=1) / 19 / 20)
    assert difference.p_above(-1.0) == pytest.approx(stats.t.sf(1 / error, 19))
    assert (difference.value, difference.differing) == (0, 0)


@pytest.mark.parametrize("values", [[120.0, 80.0, 95.0] * 4, [-0.1, 0.5, 0.3] * 4, [1.5, 0.5, 0.3] * 4])
def test_equal_answers_outside_of_0_and_1_are_no_shares(values):
    assert isinstance(paired("mean", of_values(values), of_values(values)), MeanDifference)
    ends = [[0.0, 1.0, 0.5] * 4] * 2
    assert paired("mean", *map(of_values, ends)) == CountedDifference(0, 0, 12)


def test_a_shift_without_any_spread_is_not_certain():
    difference = paired("mean", of_values(np.arange(12)), of_values(np.arange(12) - 0.5))
    assert 0 < difference.p_below(0.0) < 1
    assert difference.bounds(0.95)[0] < -0.5 < difference.bounds(0.95)[1]


def test_one_value_for_all_answers_shows_nothing():
    texts = np.tile([-50.0, 20.0], (15, 1))
    difference = paired("perplexity", texts, texts)
    assert difference.p_above(-1.0) == difference.p_below(1.0) == 1
    assert difference.bounds(0.95) == (-math.inf, math.inf)
    assert difference.items_to_exceed(-1.0, 0.0, 0.95, 0.8) is None


def test_a_relative_difference_is_zero_at_its_limit():
    texts = np.stack([-np.linspace(40, 60, 20), np.full(20, 20.0)], 1)
    worse = texts - np.array([20 * math.log(1.05), 0])  # 5 % more perplexity
    difference = paired("perplexity", texts, worse, sign=-1, share=0.05)
    assert difference.value == pytest.approx(0, abs=1e-9)
    assert difference.p_above(0.0) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("distance", [0.08, 0.1, 0.13, 0.17, 0.2, 0.22, 0.25])
@pytest.mark.parametrize("unrelated", [0.0, 0.5])
def test_items_for_means_reach_the_power_of_the_noncentral_t_distribution(distance, unrelated):
    def power_of(items):
        error = math.sqrt((0.09 + 2 * unrelated / (items - 1)) / items)
        return stats.nct.sf(stats.t.ppf(0.975, items - 1), items - 1, distance / error)

    number = t_items_needed(distance, 0.09, unrelated, 0.975, 0.8)
    assert power_of(number) >= 0.8 > power_of(number - 1)


def test_items_for_means_have_ends():
    assert t_items_needed(0.1, 0.09, 0.0, 0.975, 0.8) == 73
    assert t_items_needed(10, 0.09, 0.0, 0.975, 0.8) == 10
    assert t_items_needed(1e-7, 0.09, 0.0, 0.975, 0.8) is None


def test_items_for_means_are_planned_with_the_upper_limit_of_the_spread():
    before, change = np.linspace(0, 1, 40), stats.norm.ppf((np.arange(40) + 0.5) / 40) * 0.3
    difference = paired("mean", of_values(before), of_values(before + change))
    upper = change.var(ddof=1) * 39 / stats.chi2.ppf(0.05, 39)
    assert difference.items_to_exceed(-0.1, 0.0, 0.975, 0.8) == t_items_needed(0.1, upper, 0.0, 0.975, 0.8)
    heavy = np.array([0.0] * 38 + [0.1, 2.0])
    difference = MeanDifference(float(heavy.mean()), heavy, 2, 0.0)
    error = math.sqrt((((heavy - heavy.mean()) ** 4).mean() - heavy.var(ddof=1) ** 2) / 40)
    upper = heavy.var(ddof=1) + stats.norm.ppf(0.95) * error
    assert difference.items_to_exceed(-0.1, 0.0, 0.975, 0.8) == t_items_needed(0.1, upper, 0.0, 0.975, 0.8)


# One model


def test_a_single_share_has_wilsons_bounds():
    ten = of_values([1.0] * 10)
    low, high = single("proportion", ten).bounds(0.95)
    assert (low, high) == pytest.approx(proportion_confint(10, 10, 0.1, "wilson"))
    assert low < 0.79
    assert single("mean", ten).bounds(0.95) == pytest.approx((low, high))
    assert single("proportion", of_values([1.0, 0.0] * 10)).value == 0.5


def test_a_single_mean_has_students_bounds():
    values = np.tile([0.2, 0.4, 0.6, 0.8], 5)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert single("mean", of_values(values)).bounds(0.95) == pytest.approx((interval.low, interval.high))
    assert single("mean", of_values(values)).items_to_exceed(-0.1, 0.0, 0.95, 0.8) == t_items_needed(
        0.1, values.var(ddof=1) * 19 / stats.chi2.ppf(0.05, 19), 0.0, 0.95, 0.8
    )


def test_items_for_a_single_share_add_two_right_and_two_wrong():
    number = single("proportion", of_values([1.0] * 20)).items_to_exceed(-0.1, 0.0, 0.95, 0.8)
    parts = np.array([1.0] * 22 + [0.0] * 2)
    normal = parts.var(ddof=1) * 23 / stats.chi2.ppf(0.05, 23)
    error = math.sqrt((((parts - parts.mean()) ** 4).mean() - parts.var(ddof=1) ** 2) / 24)
    upper = max(normal, parts.var(ddof=1) + stats.norm.ppf(0.95) * error)
    assert number == t_items_needed(0.1, upper, 0.0, 0.95, 0.8)


# Pseudo-values


def test_pseudo_values_of_a_mean_are_the_values_and_those_of_others_average_to_the_metric():
    values = np.array([0.2, 0.9, 0.4])
    assert pseudo_values("mean", of_values(values)) == pytest.approx(values)
    texts = np.array([[-30.0, 10.0], [-10.0, 8.0], [-70.0, 40.0]])
    parts = pseudo_values("perplexity", texts)
    assert parts.mean() == pytest.approx(value_of_clusters("perplexity", texts))
    without_first = 3 * math.exp(110 / 58) - 2 * math.exp(80 / 48)
    without_second = 3 * math.exp(110 / 58) - 2 * math.exp(100 / 50)
    assert parts[0] - parts[1] == pytest.approx(without_first - without_second)
    assert pseudo_values("perplexity", texts[:1]) == pytest.approx([math.exp(3)])
