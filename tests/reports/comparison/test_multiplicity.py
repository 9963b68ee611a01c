"""Holm's correction, without the hypotheses that these items cannot reject, and the false discovery rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.stats import corrected, holm
from reports.comparison.multiplicity import false_discovery


@pytest.mark.parametrize("size", [1, 2, 5, 18])
def test_holm_is_statsmodels(size):
    p_values = np.random.default_rng(size).random(size) ** 3
    assert holm(list(p_values)) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_holm_of_equal_and_of_unordered_p_values():
    assert holm([0.03, 0.01, 0.04, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_rows_that_cannot_be_rejected_cost_the_others_nothing():
    """18 hypotheses, 5 of them dead and 5 nearly: Holm over all would make .0039 into .0702, over 13 into .0507."""
    p_values, least = [0.0039, *[0.5] * 7, *[1.0] * 5, *[0.6] * 5], [0.0] * 8 + [1.0] * 5 + [0.02] * 5
    results = corrected(p_values, least)
    assert results[0] == pytest.approx((8 * 0.0039, 0.05 / 8))
    assert holm(p_values)[0] == pytest.approx(18 * 0.0039)


def test_the_family_is_the_smallest_that_holds_all_who_could_be_rejected_at_its_level():
    """Of four, one could reach .02 at best: at .05 / 4 and .05 / 3 it drops out, so the family has three."""
    results = corrected([0.015, 0.3, 0.4, 0.5], [0.001, 0.001, 0.001, 0.02])
    assert results[0] == pytest.approx((0.045, 0.05 / 3))
    at_limit = corrected([0.015, 0.3, 0.4, 0.5], [0.001, 0.001, 0.001, 0.05 / 3])
    assert at_limit[0] == pytest.approx((0.06, 0.05 / 4))


def test_the_level_steps_up_with_each_rejection_and_stays_after_the_first_that_is_not_rejected():
    results = corrected([0.001, 0.02, 0.03, 0.9], [0.0] * 4)
    assert [level for _, level in results] == pytest.approx([0.05 / 4, 0.05 / 3, 0.05 / 3, 0.05 / 3])
    assert [adjusted for adjusted, _ in results] == pytest.approx([0.004, 0.06, 0.06, 0.9])


def test_a_p_value_at_its_level_is_rejected():
    assert [level for _, level in corrected([0.025, 0.05], [0.0, 0.0])] == pytest.approx([0.025, 0.05])


def test_equal_p_values_are_one_step_in_any_order():
    for result in corrected([0.02, 0.02, 0.04], [0.0] * 3):
        assert result == pytest.approx((0.06, 0.05 / 3))
    one, other = corrected([0.01, 0.01, 0.3], [0.0, 0.04, 0.0]), corrected([0.01, 0.01, 0.3], [0.04, 0.0, 0.0])
    assert one == other
    assert one[0] == one[1]
    assert one[0] == pytest.approx((0.02, 0.025))


def test_alone_or_with_the_dead_alone_a_hypothesis_is_tested_at_the_full_level():
    assert corrected([0.04], [0.0]) == [(0.04, 0.05)]
    assert corrected([0.04, 1.0], [0.0, 1.0])[0] == (0.04, 0.05)
    assert corrected([1.0, 1.0], [1.0, 1.0]) == [(1.0, 0.05)] * 2
    assert corrected([0.04], [0.0], level=0.1) == [(0.04, 0.1)]


def test_eight_equal_adapters_rarely_have_one_that_is_better_or_worse():
    """2,000 draws over 60 items, by score tests of discordant items: at most 5 % plus two standard errors."""
    from harness.stats import score_p_value
    from reports.comparison.counts import sign_p

    generator = np.random.default_rng(0)
    p_of = {(up, down): score_p_value(up, down, 60) for up in range(40) for down in range(40) if up + down <= 60}
    hits = 0
    for _ in range(2000):
        counts = generator.multinomial(60, [0.1, 0.1, 0.8], size=8)[:, :2]
        tables = [(int(up), int(down)) for up, down in counts]
        p_values = [p_of[table] for table in tables]
        results = corrected(p_values, [sign_p(sum(table)) for table in tables])
        hits += any(p < level for p, (_, level) in zip(p_values, results, strict=True))
    assert hits / 2000 <= 0.05 + 2 * (0.05 * 0.95 / 2000) ** 0.5
    assert hits / 2000 >= 0.02


def test_benjamini_and_hochberg_by_hand():
    adjusted, level = false_discovery([0.01, 0.04, 0.03, 0.5])
    assert adjusted == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert level == pytest.approx(0.05 / 4)
    assert false_discovery([0.02, 0.03, 0.04])[1] == pytest.approx(0.05)
    assert false_discovery([]) == ([], 0.05)


@settings(deadline=None)
@given(st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=30), st.floats(0.01, 0.2))
def test_an_interval_at_the_level_excludes_0_exactly_if_its_hypothesis_is_rejected(p_values, level):
    adjusted, tested = false_discovery(p_values, level)
    for p_value, corrected_p in zip(p_values, adjusted, strict=True):
        if abs(corrected_p - level) > 1e-9:
            assert (corrected_p <= level) == (p_value <= tested)
