"""The word for an interval, and how many items would decide an inconclusive one."""

import math

import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from harness.stats import compare, items_needed, outcome_of, proportion_items_needed, t_power, upper_discordance
from reports.comparison.inference import Inference
from reports.comparison.outcome import mean_items_needed, units_needed


@pytest.mark.parametrize(
    ("low", "high", "sign", "word"),
    [
        (0.01, 0.2, 1, "better"),
        (0.01, 0.2, -1, "worse"),
        (0.01, 0.2, 0, "different"),
        (-0.2, -0.01, 1, "worse"),
        (-0.2, -0.01, -1, "better"),
        (-0.2, -0.01, 0, "different"),
        (0.01, 0.02, 1, "better"),  # also where it is below the relevant difference
        (0.0, 0.2, 1, "inconclusive"),
        (-0.2, 0.0, 1, "inconclusive"),
        (0.0, 0.04, 1, "equivalent"),
        (-0.049, 0.049, 1, "equivalent"),
        (-0.05, 0.01, 1, "inconclusive"),
        (-0.01, 0.05, 1, "inconclusive"),
        (-0.04, 0.06, -1, "inconclusive"),
        (-0.06, 0.04, -1, "inconclusive"),
        (None, 0.1, 1, "inconclusive"),
        (0.1, None, 1, "inconclusive"),
    ],
)
def test_the_outcome_is_read_off_the_interval(low, high, sign, word):
    assert outcome_of(low, high, sign=sign, margin=0.05) == word


def test_without_a_margin_nothing_is_equivalent():
    assert outcome_of(-0.001, 0.001, sign=1, margin=0.0) == "inconclusive"


@pytest.mark.parametrize(
    ("effect", "units", "level"), [(0.2, 50, 0.05), (0.5, 10, 0.01), (-0.3, 33, 0.05), (1, 2, 0.05)]
)
def test_t_power_is_statsmodels(effect, units, level):
    expected = TTestPower().power(effect, units, level, alternative="two-sided")
    assert t_power(effect, units, level) == pytest.approx(expected, rel=1e-6)


def test_t_power_without_an_effect_is_the_level():
    assert t_power(0.0, 20, 0.03) == pytest.approx(0.03)


def test_items_for_a_proportion_use_the_upper_limit_of_the_discordance():
    assert proportion_items_needed(4, 50, 0.05, 0.05) == items_needed(0.05, upper_discordance(4, 50), 0.05)
    assert proportion_items_needed(4, 50, 0.05, 0.01) == items_needed(0.05, upper_discordance(4, 50), 0.01)
    assert proportion_items_needed(0, 20, 0.05, 0.05) == items_needed(0.05, upper_discordance(0, 20), 0.05)
    assert upper_discordance(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20))


def test_items_for_a_proportion_are_never_those_of_a_discordance_below_the_margin():
    assert proportion_items_needed(0, 5000, 0.05, 0.05) == items_needed(0.05, 0.05, 0.05)


def test_effective_numbers_are_rounded_to_whole_items_on_the_safe_side():
    assert proportion_items_needed(3.2, 40.4, 0.1, 0.05) == items_needed(0.1, upper_discordance(4, 40), 0.05)
    assert proportion_items_needed(0.4, 0.3, 0.5, 0.05) == items_needed(0.5, 1.0, 0.05)
    assert proportion_items_needed(3.0000000001, 40, 0.1, 0.05) == items_needed(0.1, upper_discordance(3, 40), 0.05)


def inference(error, **options):
    return Inference(0.0, lambda _: (0.0, 0.0), "t", error, **options)


@pytest.mark.parametrize(("units", "error", "margin", "level"), [(30, 0.05, 0.05, 0.05), (100, 0.01, 0.04, 0.01)])
def test_items_for_a_mean_are_the_fewest_with_80_percent_power_at_the_upper_limit_of_the_spread(
    units, error, margin, level
):
    needed = mean_items_needed(inference(error), units, margin, level)
    spread = error * math.sqrt(units) * math.sqrt((units - 1) / stats.chi2.ppf(0.05, units - 1))
    assert t_power(margin / spread, needed, level) >= 0.8 > t_power(margin / spread, needed - 1, level)


def test_means_need_at_least_five_items_and_none_helps_where_nothing_or_too_much_varies():
    assert mean_items_needed(inference(1e-6), 30, 0.05, 0.05) == 5
    assert mean_items_needed(inference(0.0), 30, 0.05, 0.05) is None
    assert mean_items_needed(inference(math.inf), 30, 0.05, 0.05) is None
    assert mean_items_needed(inference(1e5), 30, 0.05, 0.05) is None
    assert units_needed(inference(0.1), 1, 0.05, 0.05) is None


def test_effective_items_are_turned_back_into_units():
    """4 of 50 differ, and 50 effective items stand for 25 units: half as many units as items are needed."""
    error = math.sqrt(0.08 / 50)
    plain = units_needed(inference(error, effective=50.0), 50, 0.05, 0.05)
    assert plain == proportion_items_needed(4, 50, 0.05, 0.05)
    assert units_needed(inference(error, effective=50.0), 25, 0.05, 0.05) == plain / 2


def test_gains_and_losses_of_one_size_need_as_many_items_as_right_and_wrong_ones():
    """A gain of 0.5 against a margin of 0.05 is a gain of 1 against 0.1."""
    half = compare([0.0] * 20 + [0.5] * 2, [0.0] * 19 + [0.5, 0.5, 0.0], kind="mean", margin=0.05)
    whole = compare([0] * 20 + [1] * 2, [0] * 19 + [1, 1, 0], margin=0.1)
    assert half.items_needed == whole.items_needed == proportion_items_needed(2, 22, 0.1, 0.05)
    assert (half.low, half.high) == pytest.approx((whole.low / 2, whole.high / 2))


def test_a_margin_above_any_gain_takes_as_many_items_as_the_greatest_gain():
    pair = compare([0.0] * 4 + [0.01], [0.01] + [0.0] * 4, kind="mean", margin=0.004, bounded=True)
    assert pair.outcome == "inconclusive"
    small = units_needed(inference(0.001, effective=3.0, size=0.01), 3, 0.05, 0.05)
    assert small == items_needed(1.0, 1.0, 0.05) == 4


def test_where_a_relevant_difference_would_be_found_the_items_that_show_equivalence_are_asked():
    """280 of 1,000 differ: 5 points would be found."""
    error = math.sqrt(0.28 / 1000)
    needed = units_needed(inference(error, effective=1000.0), 1000, 0.05, 0.05)
    assert proportion_items_needed(280, 1000, 0.05, 0.05) < 1000 < needed
    assert needed == items_needed(0.0, upper_discordance(280, 1000), 0.05, test="equivalence", margin=0.05)
    means = inference(0.01)
    assert mean_items_needed(means, 100, 0.04, 0.01) == 98
    assert units_needed(means, 100, 0.04, 0.01) == mean_items_needed(means, 100, 0.04, 0.01, "equivalence") == 123


def test_an_interval_that_is_wider_than_its_standard_error_needs_the_items_of_its_width():
    """As of macro-F1, where a label that is never right has no influence."""
    wide = Inference(0.0, lambda _: (-0.09, 0.09), "MOVER", 0.01)
    as_wide = inference(0.09 / stats.norm.isf(0.025))
    assert mean_items_needed(wide, 500, 0.05, 0.05) == mean_items_needed(as_wide, 500, 0.05, 0.05)
    equivalent = mean_items_needed(as_wide, 500, 0.05, 0.05, "equivalence")
    spread = 0.09 / stats.norm.isf(0.025) * math.sqrt(500 * 499 / stats.chi2.ppf(0.05, 499))
    assert t_power(0.05 / spread, equivalent, 0.05) >= 0.9 > t_power(0.05 / spread, equivalent - 1, 0.05)


def test_units_that_are_too_few_for_a_relevant_difference_ask_for_the_items_that_find_one():
    assert units_needed(inference(0.05), 30, 0.05, 0.05) == mean_items_needed(inference(0.05), 30, 0.05, 0.05) == 388
    assert units_needed(inference(0.1), 2, 0.05, 0.05) == 15971
    assert isinstance(units_needed(inference(0.05), 30, 0.05, 0.05), int)


def test_units_that_are_just_enough_for_a_relevant_difference_ask_for_the_items_that_show_equivalence():
    assert mean_items_needed(inference(0.0101), 100, 0.04, 0.01) == 100
    assert units_needed(inference(0.0101), 100, 0.04, 0.01) == 126


def test_units_that_would_show_equivalence_already_ask_for_one_more():
    assert mean_items_needed(inference(0.005), 100, 0.04, 0.01, "equivalence") < 100
    assert units_needed(inference(0.005), 100, 0.04, 0.01) == 101


def test_more_than_a_thousand_million_units_help_nobody():
    units = 10**9
    assert mean_items_needed(inference(0.28), units, 1.0, 0.05) == pytest.approx(0.28**2 * 7.849 * units, rel=1e-3)
    assert units_needed(inference(0.28), units, 1.0, 0.05) is None
    assert units_needed(inference(0.1, effective=50.0), 50, 1e-5, 0.05) is None


def test_the_discordance_is_the_variance_plus_the_squared_difference():
    """40 of 100 differ, 30 of them upwards."""
    error = math.sqrt((0.4 - 0.2**2) / 100)
    inferred = Inference(0.2, lambda _: (0.0, 0.0), "score", error, effective=100.0)
    assert units_needed(inferred, 100, 0.05, 0.05) == proportion_items_needed(40, 100, 0.05, 0.05) == 1527


def test_a_width_is_turned_into_a_standard_error_at_its_level_and_degrees_of_freedom():
    def ends(level):
        half = 0.02 * stats.t.isf(level / 2, 10)
        return -half, half

    as_wide = mean_items_needed(inference(0.02), 100, 0.05, 0.01)
    assert mean_items_needed(Inference(0.0, ends, "t", 0.01, degrees_of_freedom=10), 100, 0.05, 0.01) == as_wide
    assert mean_items_needed(Inference(0.0, ends, "t", 0.0, degrees_of_freedom=10), 100, 0.05, 0.01) is None
