"""The position effect: chosen against gold positions, paired by question."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import SquareTable

from reports.comparison.position_effect import marginal_homogeneity, position_effects


def test_the_test_is_stuart_and_maxwells():
    table = np.array([[30.0, 12, 5, 2], [22, 25, 4, 3], [19, 9, 18, 1], [14, 8, 6, 21]])
    expected = SquareTable(table, shift_zeros=False).homogeneity()
    statistic, degrees, p_value = marginal_homogeneity(table)
    assert (statistic, degrees, p_value) == pytest.approx((expected.statistic, 3, expected.pvalue))


def test_for_two_positions_it_is_mcnemars():
    statistic, degrees, _ = marginal_homogeneity(np.array([[10.0, 4], [16, 20]]))
    assert statistic == pytest.approx((16 - 4) ** 2 / (16 + 4))
    assert degrees == 1


def test_answers_that_are_all_right_show_no_effect():
    assert marginal_homogeneity(np.diag([5.0, 3, 0])) == (0.0, 0, 1.0)


def test_a_model_that_prefers_a_position_is_noticed_and_answers_without_a_letter_are_left_out():
    fair = [(gold, chosen) for gold in "ABCD" for chosen in "ABCD" for _ in range(10)]
    biased = [(gold, "A") for gold in "ABCD" for _ in range(40)]
    effects = position_effects({("fair", "t"): [*fair, ("A", "none")], ("biased", "t"): biased})
    assert [effect.items for effect in effects] == [160, 160]
    assert (effects[0].p_value, effects[0].p_adjusted) == (1.0, 1.0)
    assert effects[1].p_value < 1e-20
    assert effects[1].p_adjusted == 2 * effects[1].p_value
    first = effects[1].counts[0]
    assert (first.letter, first.gold, first.chosen, first.correct) == ("A", 40, 160, 40)
    assert [count.chosen for count in effects[1].counts] == [160, 0, 0, 0]


def test_no_answers_are_no_effect():
    (effect,) = position_effects({("silent", "t"): [("A", "none")]})
    assert (effect.items, effect.counts, effect.p_value) == (0, [], 1.0)
