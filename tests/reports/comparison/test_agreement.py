"""Krippendorff's alpha with the example of the paper, and weighted kappa, with their intervals."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from reports.comparison.agreement import agreement, krippendorff_alpha, weighted_kappa
from reports.rating_sheet import Rating

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section E: four observers, twelve units.
OBSERVERS = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}


def ratings(observers, aspect="fluency"):
    return [
        Rating(observer, f"answer {unit}", {aspect: int(mark)}, "")
        for observer, marks in observers.items()
        for unit, mark in enumerate(marks.split())
        if mark != "."
    ]


def test_the_example_of_the_paper():
    assert agreement(ratings(OBSERVERS), "fluency") == pytest.approx(0.815, abs=0.0005)


def test_full_agreement_is_1_and_opposite_marks_are_below_chance():
    assert agreement(ratings({"A": "1 5 3", "B": "1 5 3"}), "fluency") == 1.0
    assert agreement(ratings({"A": "1 5 1 5", "B": "5 1 5 1"}), "fluency") < 0


def test_there_is_none_without_two_raters_of_one_answer():
    assert agreement(ratings({"A": "1 2 3"}), "fluency") is None
    assert agreement(ratings({"A": "1 . 3", "B": ". 2 ."}), "fluency") is None
    assert agreement(ratings(OBSERVERS), "completeness") is None


def table(observers):
    """The ratings as an array [units, observers], nan where there is none."""
    return np.array(
        [[float(mark) if mark != "." else np.nan for mark in marks.split()] for marks in observers.values()]
    ).T


@pytest.mark.parametrize(("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_the_paper_on_every_scale(scale, alpha):
    result = krippendorff_alpha(table(OBSERVERS), scale)
    assert result.value == pytest.approx(alpha, abs=0.0005)
    assert result.items == 11
    assert result.low < result.value < result.high <= 1


def test_kappa_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    one = generator.integers(1, 6, 80)
    other = np.clip(one + generator.integers(-1, 2, 80), 1, 5)
    kappa = weighted_kappa(one, other)
    assert kappa.value == pytest.approx(cohen_kappa_score(one, other, weights="quadratic"))
    assert kappa.low < kappa.value < kappa.high
    with_gap = weighted_kappa([*one, 5], [*other, np.nan])
    assert (with_gap.value, with_gap.items) == (kappa.value, 80)


def test_full_agreement_leaves_room_for_items_that_were_not_rated():
    for result in (krippendorff_alpha([[1, 1], [5, 5], [3, 3]] * 10), weighted_kappa([1, 5, 3] * 10, [1, 5, 3] * 10)):
        assert (result.value, result.high, result.items) == (1.0, 1.0, 30)
        assert result.low == pytest.approx(0.8865, abs=0.0001)  # 1 minus Wilson's upper limit of 0 of 30
    assert krippendorff_alpha([[4, 4]] * 5).value == 1.0


@pytest.mark.slow
def test_intervals_cover_the_true_agreement():
    generator, noise = np.random.default_rng(1), math.sqrt(0.5)
    truth, covered = (
        1 / (1.5 + 1 / 48),
        {"alpha": 0, "kappa": 0},
    )  # variance of items 1, of errors 0.5, of rounding 1/48
    for draw in range(120):
        items = generator.normal(size=60)
        pair = np.round(2 * (items[:, None] + noise * generator.normal(size=(60, 2))))
        alpha, kappa = krippendorff_alpha(pair, "interval", seed=draw), weighted_kappa(*pair.T, seed=draw)
        covered["alpha"] += alpha.low <= truth <= alpha.high
        covered["kappa"] += kappa.low <= truth <= kappa.high
    assert min(covered.values()) >= 0.88 * 120


def test_kappa_needs_pairs():
    assert weighted_kappa([], []) is None
    assert weighted_kappa([1.0], [np.nan]) is None
    with pytest.raises(ValueError, match="2 and 1 ratings"):
        weighted_kappa([1, 2], [1])


def test_a_scale_of_too_many_values_is_refused():
    with pytest.raises(ValueError, match="150 distinct values"):
        krippendorff_alpha(np.arange(150).reshape(75, 2))
