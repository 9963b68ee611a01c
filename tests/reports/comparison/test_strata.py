"""The mean over independent parts: its variance, its coverage where parts are small or events rare, and ties."""

import math

import numpy as np
import pytest

from reports.comparison.counts import score_test, share
from reports.comparison.strata import difference_stratum, mean_of_differences, mean_of_shares, share_stratum

LEADERBOARD = (1273, 4183, 500, 135, 265, 173, 100, 272, 144)
# Sizes of the parts, share that the baseline gets right, and shares of the wrong answers gained and right ones lost.
CASES: dict[str, tuple] = {
    "one small part": ((10, *[40] * 8), 0.5, 0.1, 0.1),
    "rare events": ([60] * 9, 0.95, 0.2, 0.01),
    "ties in all parts but one": ([50] * 9, 0.5, (*[0.0] * 8, 0.3), (*[0.0] * 8, 0.1)),
    "tiny parts": ([8] * 9, 0.5, 0.2, 0.2),
    "unequal sizes": (LEADERBOARD, 0.5, 0.15, 0.1),
}


def shares(counts):
    return mean_of_shares([share_stratum(share(right, items), items) for right, items in counts])


def differences(counts):
    return mean_of_differences([difference_stratum(score_test(*part)) for part in counts])


def test_the_variance_of_the_mean_is_the_sum_of_the_variances_over_k_squared():
    parts = [(30, 10, 400), (9, 6, 50), (0, 3, 20)]
    mean = differences(parts)
    assert mean.estimate == pytest.approx((20 / 400 + 3 / 50 - 3 / 20) / 3)
    expected = math.sqrt(sum(score_test(*part).standard_error ** 2 for part in parts)) / 3
    assert mean.standard_error == pytest.approx(expected)
    counts = [(30, 40), (60, 100)]
    assert shares(counts).estimate == pytest.approx(0.675)
    assert shares(counts).standard_error == pytest.approx(math.sqrt(0.75 * 0.25 / 40 + 0.6 * 0.4 / 100) / 2)


def test_one_part_is_nearly_its_own_test():
    alone, part = differences([(30, 10, 400)]), score_test(30, 10, 400)
    assert alone.p_value() == pytest.approx(part.p_value(), abs=0.002)
    assert alone.ends(0.05) == pytest.approx(part.ends(0.05), abs=0.002)  # t with 40 degrees of freedom


def test_where_nothing_differs_the_interval_is_that_of_as_many_items():
    low, high = differences([(0, 0, 100), (0, 0, 100)]).ends(0.05)
    assert (low, high) == pytest.approx(score_test(0, 0, 200).ends(0.05))
    assert shares([(100, 100), (100, 100)]).ends(0.05) == pytest.approx(share(200, 200).ends(0.05))


def test_a_small_part_weighs_as_much_as_a_large_one():
    equal, unequal = differences([(20, 10, 200)] * 2), differences([(20, 10, 200), (2, 1, 20)])
    assert [equal.estimate, unequal.estimate] == pytest.approx([0.05, 0.05])
    assert np.diff(unequal.ends(0.05)) > 2 * np.diff(equal.ends(0.05))


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_the_truth(case):
    """Of 400 simulated runs; 95 % less three standard errors of the simulation is 91.7 %."""
    sizes, right, gained, lost = (np.broadcast_to(part, 9) for part in CASES[case])
    chances = np.stack([(1 - right) * gained, right * lost], axis=1)
    truth, covered, covered_share = float((chances[:, 0] - chances[:, 1]).mean()), 0, 0
    generator = np.random.default_rng(7)
    for _ in range(400):
        parts = []
        for items, (won, dropped) in zip(sizes, chances, strict=True):
            counts = generator.multinomial(items, [won, dropped, 1 - won - dropped])
            parts.append((int(counts[0]), int(counts[1]), int(items)))
        low, high = differences(parts).ends(0.05)
        covered += low <= truth <= high
        low, high = shares(
            [(int(generator.binomial(items, one)), int(items)) for items, one in zip(sizes, right, strict=True)]
        ).ends(0.05)
        covered_share += low <= right.mean() <= high
    assert covered / 400 >= 0.93
    assert covered_share / 400 >= 0.93


def test_no_difference_is_rarely_called_one():
    generator = np.random.default_rng(8)
    rejected = 0
    for _ in range(400):
        counts = [generator.multinomial(40, [0.05, 0.05, 0.9]) for _ in range(9)]
        rejected += differences([(int(one[0]), int(one[1]), 40) for one in counts]).p_value() < 0.05
    assert rejected / 400 <= 0.07
