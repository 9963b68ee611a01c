"""Means of ratings with the help of a judge: the estimate, its interval, and what holds however bad the judge is."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.judge_simulation import CELLS, counted, violations
from reports.comparison.calibration import prediction_powered_mean
from reports.comparison.inference import Inference
from reports.comparison.outcome import mean_items_needed

DIFFERENCES = (-4.0, 4.0)


def drawn(seed, rated=40, others=240, slope=1.0, noise=0.5):
    """Ratings, judgements of the same and of others, from a normal population with mean 0.3."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(0.3, 1.0, rated + others)
    judge = slope * truth + generator.normal(0.7, noise, rated + others)
    return np.clip(truth[:rated], *DIFFERENCES), judge[:rated], judge[rated:]


def width(interval):
    return interval[1] - interval[0]


def test_the_estimate_is_that_of_double_sampling_and_of_ppi_with_the_tuned_weight():
    rated, same, others = drawn(0)
    mean = prediction_powered_mean(rated, same, others, limits=DIFFERENCES)
    slope, start = np.polyfit(same, rated, 1)
    every = np.concatenate([same, others])
    assert mean.inference.estimate == pytest.approx(start + slope * every.mean())  # Cochran (1977), 12.6
    weight = slope * len(others) / len(every)  # PPI++: cov / (var * (1 + n / N))
    assert mean.inference.estimate == pytest.approx(rated.mean() + weight * (others.mean() - same.mean()))
    assert mean.judge_weight == pytest.approx(np.corrcoef(rated, same)[0, 1] * 240 / 280)
    assert mean.judge_error == pytest.approx((same - rated).mean())


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_standard_error_is_that_of_residuals_slope_and_judged_answers(shift):
    rated, same, others = drawn(1)
    others = others + shift  # so far from the rated ones that the uncertain slope matters most
    mean = prediction_powered_mean(rated, same, others, limits=DIFFERENCES)
    slope, start = np.polyfit(same, rated, 1)
    every, centered = np.concatenate([same, others]), same - same.mean()
    residual = rated - start - slope * same
    distance = every.mean() - same.mean()
    variance = (residual**2).sum() / 38 * (1 / 40 + distance**2 / (centered**2).sum()) + slope**2 * every.var() / 280
    assert mean.inference.standard_error == pytest.approx(math.sqrt(variance), rel=0.1)
    assert 37.9 <= mean.inference.degrees_of_freedom <= 280


def test_mean_and_slope_take_a_degree_of_freedom_each():
    rated, same, others = drawn(1, others=20_000, noise=2.0)
    mean = prediction_powered_mean(rated, same, others, limits=DIFFERENCES)
    assert mean.judge_weight > 0
    assert mean.inference.degrees_of_freedom == pytest.approx(38, abs=0.5)
    assert mean.ratings_alone.degrees_of_freedom == pytest.approx(39)


def test_without_other_answers_or_a_judge_that_varies_the_ratings_are_alone():
    rated, same, _ = drawn(2)
    expected = stats.t.interval(0.9, 39, rated.mean(), stats.sem(rated))
    for judged, others in ((same, []), (np.full(40, 3.0), np.full(240, 3.0)), (-same, -same)):
        mean = prediction_powered_mean(rated, judged, others, 0.9, limits=DIFFERENCES)
        assert mean.interval == mean.ratings_interval == pytest.approx(expected, abs=0.002)
        assert mean.judge_weight == 0


def test_scale_and_bias_of_a_judge_change_nothing():
    rated, same, others = drawn(3)
    mean = prediction_powered_mean(rated, same, others, limits=DIFFERENCES)
    moved = prediction_powered_mean(rated, 0.1 * same + 50, 0.1 * others + 50, limits=DIFFERENCES)
    assert moved.interval == pytest.approx(mean.interval)
    assert moved.judge_weight == pytest.approx(mean.judge_weight)


@pytest.mark.parametrize("rating", [1.0, 4.5, 5.0])
def test_equal_ratings_have_an_interval_of_what_they_may_have_missed(rating):
    generator = np.random.default_rng(0)
    mean = prediction_powered_mean(np.full(30, rating), generator.normal(size=30), generator.normal(size=180))
    missed = 1 - 30 / (30 + 1.959963984540054**2)  # Wilson's upper limit of 0 of 30
    assert mean.interval == pytest.approx((rating - missed * (rating - 1), rating + missed * (5 - rating)))
    assert mean.inference.caution == "all ratings are equal"


def test_a_judge_that_reproduces_the_ratings_helps_and_does_not_make_the_interval_vanish():
    generator = np.random.default_rng(0)
    marks = generator.choice([2.0, 3.0, 4.0, 5.0], 210)
    mean = prediction_powered_mean(marks[:30], marks[:30], marks[30:])
    assert 0.3 < width(mean.interval) / width(mean.ratings_interval) < 0.5
    assert mean.inference.estimate == pytest.approx(marks.mean())
    assert mean.unexplained == 1 / 31


def test_marks_at_an_end_of_the_scale_have_an_interval_that_reaches_further_to_the_other_end():
    marks = [5.0] * 24 + [4.0] * 4 + [1.0, 2.0]
    mean = prediction_powered_mean(marks, [3.0] * 30, [])
    low, high = mean.interval
    center, half = np.mean(marks), stats.t.isf(0.025, 29) * stats.sem(marks)
    assert high == pytest.approx(min(center + half, 5.0))
    effective = (center - 1) * (5 - center) / stats.sem(marks) ** 2  # Wilson's limit with the same standard error
    square, share = stats.t.isf(0.025, 29) ** 2, (center - 1) / 4
    root = math.sqrt(square * (share * (1 - share) / effective + square / (4 * effective**2)))
    assert low == pytest.approx(1 + 4 * (share + square / (2 * effective) - root) / (1 + square / effective))
    assert low < center - half


def test_strata_that_were_drawn_unequally_are_weighted_by_their_share():
    generator = np.random.default_rng(0)
    first, second = generator.normal(2, 0.2, 20), generator.normal(4, 0.2, 20)
    strata = ["low"] * 20 + ["high"] * 20, ["low"] * 180 + ["high"] * 80
    judge = generator.normal(size=300)
    mean = prediction_powered_mean(np.concatenate([first, second]), judge[:40], judge[40:], strata=strata)
    assert mean.ratings_alone.estimate == pytest.approx(2 / 3 * first.mean() + 1 / 3 * second.mean())
    within = 4 / 9 * first.var(ddof=1) / 20 + 1 / 9 * second.var(ddof=1) / 20
    between = 2 / 9 * (first.mean() - second.mean()) ** 2 / 300  # the shares are estimated by 300 answers
    assert mean.ratings_alone.standard_error == pytest.approx(math.sqrt(within + between), rel=0.02)
    shares = {"low": 0.5, "high": 0.5}
    mean = prediction_powered_mean(
        np.concatenate([first, second]), judge[:40], judge[40:], strata=strata, weights=shares
    )
    assert mean.ratings_alone.estimate == pytest.approx((first.mean() + second.mean()) / 2)
    error = math.sqrt(first.var(ddof=1) / 80 + second.var(ddof=1) / 80)
    assert mean.ratings_alone.standard_error == pytest.approx(error, rel=0.02)


def test_answers_of_one_source_count_as_one():
    rated, same, others = drawn(4)
    once = prediction_powered_mean(rated, same, others, limits=DIFFERENCES)
    clusters = np.repeat(np.arange(40), 3), np.repeat(np.arange(40, 280), 3)
    thrice = [np.repeat(values, 3) for values in (rated, same, others)]
    clustered = prediction_powered_mean(*thrice, limits=DIFFERENCES, clusters=clusters)
    assert clustered.inference.estimate == pytest.approx(once.inference.estimate)
    assert clustered.inference.standard_error == pytest.approx(once.inference.standard_error, rel=0.005)
    assert width(prediction_powered_mean(*thrice, limits=DIFFERENCES).interval) < 0.65 * width(once.interval)


def test_ratings_to_come_are_those_of_a_mean_where_there_is_no_judge():
    rated = drawn(5)[0]
    mean = prediction_powered_mean(rated - rated.mean(), np.zeros(40), np.zeros(5000), limits=DIFFERENCES)
    error = mean.inference.standard_error

    def ends(level):
        return -stats.t.isf(level / 2, 39) * error, stats.t.isf(level / 2, 39) * error

    expected = mean_items_needed(Inference(0.0, ends, "t", error, 39.0), 40, 0.2, 0.05)
    assert mean.further_ratings(0.2) + 40 == pytest.approx(expected, rel=0.03)


def test_ratings_to_come_fall_with_the_margin_and_with_a_better_judge():
    rated, same, others = drawn(6, others=2000)
    rated -= prediction_powered_mean(rated, same, others, limits=DIFFERENCES).inference.estimate
    mean = prediction_powered_mean(rated, same, others, limits=DIFFERENCES)
    useless = prediction_powered_mean(rated, np.zeros(40), np.zeros(2000), limits=DIFFERENCES)
    assert 0 < mean.further_ratings(0.15) < mean.further_ratings(0.12) < useless.further_ratings(0.12)
    assert mean.further_ratings(5.0) == 0  # the interval lies within that margin
    assert mean.further_ratings(0.001) is None
    assert prediction_powered_mean(np.abs(rated) + 1, same, others).further_ratings(0.1) == 0  # far from 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0], []), "two at least"),
        (([1.0, 2.0], [1.0], []), "2 ratings and 1 judgements"),
        (([1.0, math.nan], [1.0, 2.0], []), "not numbers"),
        (([1.0, -1.0], [1.0, 2.0], []), "beyond the limits"),
    ],
)
def test_what_cannot_be_estimated_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        prediction_powered_mean(*arguments)


def test_a_stratum_without_a_rating_is_refused():
    with pytest.raises(ValueError, match="stratum c is rated"):
        prediction_powered_mean([1, 2, 3], [1, 2, 3], [4], strata=(["a", "b", "b"], ["c"]))
    with pytest.raises(ValueError, match="3 and 0 clusters for 3 and 1"):
        prediction_powered_mean([1, 2, 3], [1, 2, 3], [4], clusters=([1, 2, 3], []))


FAST = [
    "differences, good judge, 30 ratings, plain",
    "differences, biased judge, 30 ratings, plain",
    "differences, useless judge, 30 ratings, plain",
    "marks, skewed, noisy judge, 30 ratings, plain",
    "marks, at the top, useless judge, 30 ratings, plain",
    "differences, good judge, 60 ratings, strata",
    "differences, biased judge, 60 ratings, sources",
]


@pytest.mark.parametrize("name", FAST)
def test_intervals_hold_their_level_in_a_few_hundred_draws(name):
    assert violations([counted(name, 300)]) == []


def test_a_judge_alone_is_often_wrong():
    row = counted("differences, biased judge, 60 ratings, plain", 100)
    assert row["coverage"]["judge alone"] < 0.5
    assert row["coverage"]["powered"] > 0.9


@pytest.mark.slow  # thousands of draws
@pytest.mark.parametrize("name", [name for name in CELLS if "30 ratings" in name])
def test_intervals_hold_their_level_from_30_ratings_on(name):
    assert violations([counted(name, 2000)]) == []


def test_every_bound_that_is_broken_is_reported():
    good = {
        "cell": "c",
        "data": "differences",
        "judge": "useless",
        "design": "plain",
        "draws": 2000,
        "zero_width": 0,
        "units": 30,
    }
    good |= {"coverage": {"powered": 0.95}, "relative_width": 1.0, "largest_relative_width": 1.2, "correlation": 0.0}
    assert violations([good]) == []
    for fault in (
        {"coverage": {"powered": 0.919}},
        {"coverage": {"powered": 0.981}},
        {"zero_width": 1},
        {"relative_width": 1.021},
        {"largest_relative_width": 1.26},
        {"judge": "good", "correlation": 0.9, "relative_width": 0.61},
    ):
        assert len(violations([good | fault])) == 1, fault
