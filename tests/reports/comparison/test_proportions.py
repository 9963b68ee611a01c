"""Score tests, intervals and exact power of right and wrong answers, against published values and brute force."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from reports.comparison.proportions import (
    items_needed,
    power,
    score_interval,
    score_p_value,
    score_statistic,
    upper_discordance,
    wilson_interval,
)

LEVELS = (0.05, 0.01, 0.05 / 17)


def tables(items):
    """All (gained, lost) of so many items, as two arrays."""
    gained, lost = np.meshgrid(np.arange(items + 1), np.arange(items + 1), indexing="ij")
    possible = gained + lost <= items
    return gained[possible], lost[possible]


def probabilities(items, difference, discordance):
    """The trinomial probability of each of `tables`."""
    gained, lost = tables(items)
    shares = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    shares = np.clip(shares, 0, 1)  # -1e-17 where one is 0
    return stats.multinomial.pmf(np.stack([gained, lost, items - gained - lost], 1), items, shares / shares.sum())


def brute_force_power(items, difference, discordance, level, test="difference", margin=0.0, continuity=0.0):
    gained, lost = tables(items)

    def p_value(limit, alternative):
        statistic = score_statistic(gained, lost, items, limit, continuity=continuity)
        return stats.norm.sf(statistic if alternative == "greater" else -statistic)

    if test == "difference":
        rejects = np.minimum(p_value(0, "greater"), p_value(0, "less")) < level / 2
    elif test == "equivalence":
        rejects = np.maximum(p_value(-margin, "greater"), p_value(margin, "less")) < level / 2
    else:
        rejects = p_value(margin if test == "superiority" else -margin, "greater") < level
    return probabilities(items, difference, discordance)[rejects].sum()


def coverage(items, difference, discordance, level=0.05):
    gained, lost = tables(items)
    covers = np.abs(score_statistic(gained, lost, items, difference)) <= stats.norm.isf(level / 2)
    return probabilities(items, difference, discordance)[covers].sum()


# Wilson's interval


@pytest.mark.parametrize(("right", "items", "level"), [(0, 10, 0.05), (7, 10, 0.05), (10, 10, 0.01), (276, 500, 0.05)])
def test_wilson_equals_statsmodels(right, items, level):
    assert wilson_interval(right, items, level) == pytest.approx(proportion_confint(right, items, level, "wilson"))


def test_wilson_takes_an_effective_number_of_items_and_never_collapses():
    assert wilson_interval(6.25, 12.5) == pytest.approx((0.257578, 0.742422), abs=1e-6)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.161125), abs=1e-6)
    assert wilson_interval(20, 20) == pytest.approx((0.838875, 1.0), abs=1e-6)


@pytest.mark.parametrize(
    ("items", "least"), [(10, 0.9138616), (20, 0.9245163), (50, 0.9215723), (200, 0.9330769), (500, 0.9441463)]
)
def test_wilson_covers_at_least_91_percent(items, least):
    right = np.arange(items + 1)
    low, high = np.transpose([wilson_interval(number, items) for number in right])
    shares = [0.02, *np.arange(1, 20) / 20, 0.98]
    covered = [stats.binom.pmf(right, items, p)[(low <= p) & (p <= high)].sum() for p in shares]
    assert min(covered) == pytest.approx(least, abs=1e-6)
    assert min(covered) >= 0.91


# The score test


def test_at_a_difference_of_zero_the_statistic_is_mcnemars():
    assert score_statistic(12, 2, 50) == pytest.approx(10 / math.sqrt(14))
    assert score_statistic(2, 12, 50) == pytest.approx(-10 / math.sqrt(14))
    assert score_p_value(12, 2, 50) == pytest.approx(mcnemar([[36, 12], [2, 0]], exact=False, correction=False).pvalue)


def test_degenerate_tables_have_sensible_statistics():
    assert score_statistic(0, 0, 20) == 0
    # No discordant item: sqrt(n d / (1 - d)), against a gain and against a loss.
    assert score_statistic(0, 0, 20, -0.05) == pytest.approx(math.sqrt(20 * 0.05 / 0.95))
    assert score_statistic(0, 0, 20, 0.05) == pytest.approx(-math.sqrt(20 * 0.05 / 0.95))
    # Nothing but gains: sqrt(n (1 - d) / (1 + d)).
    assert score_statistic(20, 0, 20, 0.5) == pytest.approx(math.sqrt(20 * 0.5 / 1.5))
    # A difference of one allows one table only.
    assert score_statistic(20, 0, 20, 1) == 0
    assert score_statistic(19, 0, 20, 1) == -np.inf
    assert score_statistic(0, 20, 20, -1) == 0
    assert score_statistic(0, 0, 20, -1) == np.inf


def test_the_constrained_estimate_maximises_the_likelihood():
    gained, lost, items, difference = 7, 3, 40, -0.1
    grid = np.linspace(0.1 + 1e-9, 0.5, 2_000_001)  # p_lost; p_gained is 0.1 less
    likelihood = lost * np.log(grid) + gained * np.log(grid - 0.1) + 30 * np.log(1.1 - 2 * grid)
    p_lost = grid[likelihood.argmax()]
    deviation = gained - lost + items * 0.1
    expected = deviation / math.sqrt(items * (2 * p_lost + difference * (1 - difference)))
    assert score_statistic(gained, lost, items, difference) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("items", [3, 12, 25])
def test_the_statistic_is_antisymmetric_and_monotone(items):
    gained, lost = tables(items)
    differences = np.linspace(-1, 1, 41)
    statistic = score_statistic(gained[:, None], lost[:, None], items, differences)
    np.testing.assert_array_equal(statistic, -score_statistic(lost[:, None], gained[:, None], items, -differences))
    assert np.isfinite(statistic[:, 1:-1]).all()
    assert (np.diff(statistic[:, 1:-1], axis=1) < 0).all()
    for discordant in range(1, items + 1):
        same = statistic[gained + lost == discordant][:, 1:-1]  # in the order of `gained`
        assert (np.diff(same, axis=0) > 0).all()


def test_alternatives_are_the_two_tails():
    statistic = 4 / math.sqrt(10)
    assert score_p_value(7, 3, 40, alternative="greater") == pytest.approx(stats.norm.sf(statistic))
    assert score_p_value(7, 3, 40, alternative="less") == pytest.approx(stats.norm.cdf(statistic))
    assert score_p_value(7, 3, 40) == pytest.approx(2 * stats.norm.sf(statistic))
    assert score_p_value(0, 0, 40) == 1


def test_the_continuity_correction_moves_the_numerator_towards_zero():
    assert score_statistic(7, 3, 40, continuity=0.25) == pytest.approx(3.75 / math.sqrt(10))
    assert score_statistic(3, 7, 40, continuity=0.25) == pytest.approx(-3.75 / math.sqrt(10))
    assert score_statistic(3, 3, 40, 0.005, continuity=0.25) == 0
    assert score_p_value(7, 3, 40, continuity=0.5) == pytest.approx(2 * stats.norm.sf(3.5 / math.sqrt(10)))


# The score interval


@pytest.mark.parametrize(
    ("gained", "lost", "items", "level", "low", "high", "digits"),
    [
        # Fagerland, Lydersen and Laake (2014), Statistics in Medicine 33, 2850-2875: airway hyper-responsiveness
        # (1, 1, 7, 12), Tango's asymptotic score interval.
        (1, 7, 21, 0.05, -0.517, -0.026, 3),
        # R, PropCIs 0.3-0, scoreci.mp(25, 28, 618, conf.level = 0.90), which takes (lost, gained, items).
        (28, 25, 618, 0.10, -0.0148, 0.0247, 4),
    ],
)
def test_the_interval_equals_published_values(gained, lost, items, level, low, high, digits):
    ends = score_interval(gained, lost, items, level)
    assert [round(end, digits) for end in ends] == [low, high]


def test_intervals_without_discordant_items_and_at_the_ends():
    square = stats.norm.isf(0.025) ** 2
    assert score_interval(0, 0, 20) == pytest.approx((-square / (20 + square), square / (20 + square)))
    assert score_interval(20, 0, 20) == pytest.approx(((20 - square) / (20 + square), 1.0))
    assert score_interval(0, 20, 20) == pytest.approx((-1.0, (square - 20) / (20 + square)))


def test_the_interval_inverts_the_test_at_every_table():
    for items, level in itertools.product((1, 2, 3, 5, 8, 13, 19, 25), LEVELS):
        for gained, lost in zip(*tables(items), strict=True):
            low, high = score_interval(gained, lost, items, level)
            is_outside = low > 0 or high < 0
            assert is_outside == (score_p_value(gained, lost, items) < level), (gained, lost, items, level)
            assert -1 <= low < high <= 1
            assert low <= (gained - lost) / items <= high


@pytest.mark.parametrize("continuity", [0.0, 0.25])
@pytest.mark.parametrize("margin", [0.05, 0.2])
def test_the_interval_inverts_the_test_with_a_margin(margin, continuity):
    for gained, lost in zip(*tables(25), strict=True):
        low, high = score_interval(gained, lost, 25, 0.1, continuity=continuity)
        above, below = (
            score_p_value(gained, lost, 25, limit, alternative, continuity=continuity) < 0.05
            for limit, alternative in ((-margin, "greater"), (margin, "less"))
        )
        assert ((low > -margin), (high < margin)) == (above, below)


def test_ends_of_the_interval_have_the_p_value_of_its_level():
    low, high = score_interval(12, 2, 50, 0.01)
    assert score_p_value(12, 2, 50, low) == pytest.approx(0.01)
    assert score_p_value(12, 2, 50, high) == pytest.approx(0.01)
    assert score_p_value(12, 2, 50, high, "less") == pytest.approx(0.005)


SHARES = (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98)


def truths(shares):
    """(difference, discordance) of two models with these shares of right answers, from most to least correlated."""
    for before, after in itertools.product(shares, shares):
        least, most = abs(after - before), min(before + after, 2 - before - after)
        for part in (0, 0.05, 0.25, 0.5, 1):
            if least + part * (most - least) > 0:
                yield round(after - before, 9), round(least + part * (most - least), 9)


@pytest.mark.parametrize(
    ("items", "shares", "least"),
    [
        (10, SHARES, 0.9138616),
        (20, SHARES, 0.9240863),
        (50, SHARES, 0.9215723),
        (200, (0.02, 0.3, 0.5, 0.98), 0.9330769),
        (500, (0.02, 0.3, 0.98), 0.9473563),
    ],
)
def test_the_score_interval_covers_at_least_91_percent(items, shares, least):
    covered = [coverage(items, *truth) for truth in set(truths(shares))]
    assert min(covered) == pytest.approx(least, abs=1e-6)
    assert min(covered) >= 0.91


def test_false_alarms_of_the_two_sided_test_stay_below_5_4_percent():
    """Exact size at 10 to 500 items and 5 to 50 % discordance; largest at 48 items, half of them discordant."""
    sizes = {
        (items, discordance): power(items, 0.0, discordance, 0.05)
        for items in (*range(10, 61), *range(65, 501, 15))
        for discordance in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    }
    assert max(sizes, key=sizes.__getitem__) == (48, 0.5)
    assert max(sizes.values()) == pytest.approx(0.0536996, abs=1e-7)


# Exact power


@pytest.mark.parametrize("items", [1, 7, 30, 60])
@pytest.mark.parametrize(("difference", "discordance"), [(0.0, 0.0), (0.0, 0.3), (0.1, 0.1), (-0.1, 0.25), (0.3, 1.0)])
@pytest.mark.parametrize(
    ("test", "margin", "continuity"),
    [
        ("difference", 0.0, 0.0),
        ("difference", 0.0, 0.25),
        ("equivalence", 0.2, 0.0),
        ("non_inferiority", 0.1, 0.0),
        ("non_inferiority", 0.1, 0.25),
        ("superiority", 0.05, 0.0),
    ],
)
def test_power_equals_brute_force(items, difference, discordance, test, margin, continuity):
    for level in (0.05, 0.01):
        expected = brute_force_power(items, difference, discordance, level, test, margin, continuity)
        result = power(items, difference, discordance, level, test=test, margin=margin, continuity=continuity)
        assert result == pytest.approx(expected, abs=1e-12)


def test_power_of_many_items_is_that_of_the_normal_approximation():
    spread = math.sqrt(0.2 - 0.005**2)
    shift = 0.005 * math.sqrt(100_000) / spread
    assert power(100_000, 0.005, 0.2, 0.05) == pytest.approx(
        stats.norm.sf(stats.norm.isf(0.025) * math.sqrt(0.2) / spread - shift), abs=2e-3
    )


def test_39_identical_items_say_next_to_nothing_of_a_loss_of_the_margin():
    """A two-sided test at 5 % finds a one-way loss of 5 points by 39 items only where four or more are lost."""
    assert power(39, -0.05, 0.05, 0.05) == pytest.approx(stats.binom.sf(3, 39, 0.05))


@pytest.mark.parametrize(("difference", "discordance"), [(0.1, 0.05), (-0.1, 0.05), (0.0, 1.1)])
def test_a_difference_needs_discordant_items(difference, discordance):
    with pytest.raises(ValueError, match="needs a discordance between"):
        power(10, difference, discordance, 0.05)


# Items needed


def smallest_with_power(difference, discordance, level, most=2000, **rule):
    return next(n for n in range(1, most) if power(n, difference, discordance, level, **rule) >= 0.8)


@pytest.mark.parametrize(
    ("difference", "discordance", "rule", "expected"),
    [
        (0.05, 0.05, {}, 110),
        (0.05, 0.2, {}, 622),
        (0.2, 0.3, {}, 53),
        (0.0, 0.0, {"test": "non_inferiority", "margin": 0.05}, 52),
        (0.0, 0.05, {"test": "non_inferiority", "margin": 0.05}, 158),
        (0.0, 0.1, {"test": "non_inferiority", "margin": 0.05, "continuity": 0.25}, 274),
        (0.0, 0.1, {"test": "equivalence", "margin": 0.05}, 451),
        (0.01, 0.1, {"test": "equivalence", "margin": 0.1}, 135),
        (0.1, 0.2, {"test": "superiority", "margin": 0.02}, 179),
    ],
)
def test_items_needed_are_the_smallest_number_with_the_power_or_at_most_a_tenth_more(
    difference, discordance, rule, expected
):
    number = items_needed(difference, discordance, 0.05, **rule)
    smallest = smallest_with_power(difference, discordance, 0.05, **rule)
    assert number == expected
    assert smallest <= number <= 1.1 * smallest
    powers = [power(n, difference, discordance, 0.05, **rule) for n in range(number, int(1.1 * number) + 1)]
    assert powers[0] >= 0.8
    assert min(powers) >= 0.8 or number == smallest


def test_many_items_are_solved_too():
    assert items_needed(0.01, 0.2, 0.05) == pytest.approx(15_696, rel=0.002)
    number = items_needed(0.002, 0.2, 0.05)  # beyond enumeration
    assert number == pytest.approx((1.959964 * math.sqrt(0.2) + 0.841621 * math.sqrt(0.2)) ** 2 / 0.002**2, rel=1e-4)
    assert power(number, 0.002, 0.2, 0.05) == pytest.approx(0.8, abs=2e-3)


@pytest.mark.parametrize(
    ("difference", "rule"),
    [
        (0.0, {"test": "non_inferiority", "margin": 0.002}),
        (0.0, {"test": "non_inferiority", "margin": 0.002, "continuity": 50}),
        (-0.0005, {"test": "non_inferiority", "margin": 0.002}),
        (0.003, {"test": "superiority", "margin": 0.001}),
        (0.0, {"test": "equivalence", "margin": 0.002}),
        (0.0009, {"test": "equivalence", "margin": 0.002}),
        (-0.0009, {"test": "equivalence", "margin": 0.002}),
        (-0.002, {}),
    ],
)
def test_numbers_beyond_enumeration_have_the_power(difference, rule):
    number = items_needed(difference, 0.2, 0.05, **rule)
    assert number > 100_000
    assert power(number, difference, 0.2, 0.05, **rule) == pytest.approx(0.8, abs=2e-3)


def test_a_few_items_show_a_complete_reversal():
    """The smallest number whose root exceeds 1.96, though all later ones reach it too."""
    assert items_needed(1.0, 1.0, 0.05) == 4
    assert items_needed(0.9, 0.9, 0.05) == smallest_with_power(0.9, 0.9, 0.05) == 5


def test_the_wanted_power_counts():
    assert items_needed(0.05, 0.2, 0.05, target=0.9) > 1.3 * items_needed(0.05, 0.2, 0.05)
    assert power(items_needed(0.05, 0.2, 0.05, target=0.9), 0.05, 0.2, 0.05) >= 0.9


@pytest.mark.parametrize(
    ("difference", "discordance", "rule"),
    [
        (0.0, 0.2, {}),
        (1e-5, 0.2, {}),
        (-0.05, 0.2, {"test": "non_inferiority", "margin": 0.05}),
        (0.05, 0.2, {"test": "superiority", "margin": 0.05}),
        (0.06, 0.2, {"test": "equivalence", "margin": 0.05}),
    ],
)
def test_no_number_of_items_shows_what_is_not_so(difference, discordance, rule):
    assert items_needed(difference, discordance, 0.05, **rule) is None


def test_a_discordance_below_the_difference_is_raised_to_it():
    assert items_needed(0.05, 0.0, 0.05) == items_needed(0.05, 0.05, 0.05) == 110
    assert items_needed(-0.05, 0.2, 0.05) == items_needed(0.05, 0.2, 0.05)


def test_the_upper_limit_of_the_discordance_is_clopper_and_pearsons():
    assert upper_discordance(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert upper_discordance(5, 20) == pytest.approx(proportion_confint(5, 20, 0.1, "beta")[1])
    assert upper_discordance(5, 20, 0.99) == pytest.approx(proportion_confint(5, 20, 0.02, "beta")[1])
    assert upper_discordance(20, 20) == 1
    assert upper_discordance(0, 0) == 1


def test_no_discordant_item_of_20_asks_for_hundreds_not_thousands():
    """Scaling what 20 items can detect by the root of their number said 1,075."""
    assert items_needed(0.05, upper_discordance(0, 20), 0.05) == 425
