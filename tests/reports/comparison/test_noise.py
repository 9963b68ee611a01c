"""Numerical noise: what moves is measured, and a difference that is no larger is not called better or worse."""

import numpy as np
import pytest

from reports.comparison.noise import difference_noise, model_noise
from reports.comparison.statistics import compare, judge
from tests.reports.comparison.test_statistics import MEAN, PERPLEXITY, samples


def test_a_figure_that_does_not_move_has_no_noise():
    rows = samples(list(np.random.default_rng(0).random(20)))
    found = model_noise(MEAN, rows, rows[:8], seed=0)
    assert (found.change, found.bound, found.items, found.changed) == (0.0, 0.0, 8, 0)


def test_noise_is_at_least_the_change_and_counts_the_values_that_moved():
    rows = samples(list(np.random.default_rng(1).random(20)))
    again = [row.model_copy(update={"metrics": {"m": row.metrics["m"] + 0.01 * (n % 2)}}) for n, row in enumerate(rows)]
    found = model_noise(MEAN, rows, again[:10], seed=0)
    assert found.change == pytest.approx(0.005)
    assert 0.005 < found.bound < 0.015
    assert (found.items, found.changed) == (10, 5)


@pytest.mark.parametrize("shift", [0.0, 0.02])
def test_noise_measured_on_some_items_bounds_that_of_the_figure_of_all(shift):
    generator = np.random.default_rng(3)
    held = []
    for _ in range(200):
        moves = generator.normal(shift, 0.05, 300)
        rows = samples([0.5] * 300)
        again = [row.model_copy(update={"metrics": {"m": 0.5 + move}}) for row, move in zip(rows, moves, strict=True)]
        held.append(abs(moves.mean()) <= model_noise(MEAN, rows, again[:16], seed=0).bound)
    assert np.mean(held) > 0.93


def test_the_more_items_are_scored_again_the_tighter_is_the_bound():
    rows = samples([1.0] * 500)
    again = [row.model_copy(update={"metrics": {"m": float(n % 20 != 3)}}) for n, row in enumerate(rows)]
    bounds = [model_noise(MEAN, rows, again[:count], seed=0).bound for count in (20, 100, 500)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(0.05)


def test_noise_that_both_models_share_cancels_in_their_difference():
    generator = np.random.default_rng(2)
    rows, others = samples(list(generator.random(12))), samples(list(generator.random(12)), "new")
    moves = generator.normal(0, 0.05, 12)

    def moved(several):
        values = zip(several, moves, strict=True)
        return [row.model_copy(update={"metrics": {"m": row.metrics["m"] + move}}) for row, move in values]

    alone = model_noise(MEAN, rows, moved(rows)[:8], seed=0)
    between = difference_noise(MEAN, (rows, moved(rows)[:8]), (others, moved(others)[:8]), seed=0)
    assert alone.bound > 0.01
    assert between.bound == pytest.approx(0.0, abs=1e-12)


def test_a_significant_difference_within_the_noise_is_neither_better_nor_worse():
    before = [(-100.0 - n, 50.0) for n in range(30)]
    after = [(logprob + 0.2, tokens) for logprob, tokens in before]
    rows, others = samples(before), samples(after, "new")
    again = [row.model_copy(update={"metrics": {"m": (row.metrics["m"][0] + 0.3, 50.0)}}) for row in others[:10]]
    pair, _ = compare(PERPLEXITY, rows, others, seed=0)
    assert judge([pair], {("t", "m"): PERPLEXITY})[0].outcome == "better"
    noise = difference_noise(PERPLEXITY, (rows, rows[:10]), (others, again), seed=0)
    (judged,) = judge([pair.model_copy(update={"noise": noise})], {("t", "m"): PERPLEXITY})
    assert judged.is_within_noise
    assert judged.p_adjusted < 0.05
    assert judged.outcome == "no detectable difference"
