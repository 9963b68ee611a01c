"""Scoring while training: its share of the time, and when a training is no better than before."""

import random

import pytest

from training.backends.scoring import ScoringTime, no_better_for


@pytest.mark.parametrize("seed", range(30))
def test_scoring_never_takes_more_than_a_tenth_unless_one_is_slower_than_the_last(seed):
    """Steps and scorings of any length; a scoring is allowed by what the last one took."""
    drawn = random.Random(seed)
    account, elapsed, length = ScoringTime(), 0.0, drawn.uniform(0.1, 20)
    for _ in range(300):
        elapsed += drawn.expovariate(1 / 10)
        if account.allows(elapsed, length):
            assert account.spent + length <= 0.1 * elapsed + 1e-9
            account.add(length)
            elapsed += length
    assert account.spent <= 0.1 * elapsed
    assert account.spent > 0.1 * elapsed - 0.2 * length - 20  # and uses what it may


def test_what_is_left_out_is_counted():
    account = ScoringTime()
    assert not account.allows(elapsed=9.0, first=1.0)
    assert account.allows(elapsed=10.0, first=1.0)
    account.add(1.5)
    assert not account.allows(elapsed=29.0, first=0.0)  # the last one counts, not the estimate
    assert account.allows(elapsed=30.0, first=9.0)
    assert account.left_out == 2


@pytest.mark.parametrize(
    ("values", "patience", "stops"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.4, 0.6], 1, False),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.5], 2, True),
        ([0.1, 0.5, 0.4, 0.3, 0.2], 3, True),
        ([0.1, 0.5, 0.4, 0.3, 0.2], 4, False),
    ],
)
def test_the_last_scores_are_compared_with_the_best_before_them(values, patience, stops):
    assert no_better_for(patience, values) is stops
