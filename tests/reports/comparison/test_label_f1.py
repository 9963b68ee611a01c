"""Macro-F1 over the labels of gold: values, intervals and tests."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from harness.stats import compare, interval, wilson_interval
from reports.comparison.counts import normal_level, sign_p
from reports.comparison.metric_inference import one_model
from reports.comparison.sums import clusters_from_values
from reports.document.schema import MetricInfo

METRIC = MetricInfo(key="m", title="Macro-F1", kind="macro_f1", higher_is_better=True)


def pairs(*counts):
    """(gold, predicted, how often) as a table."""
    return np.array([(gold, predicted) for gold, predicted, times in counts for _ in range(times)], dtype=float)


def f1_of_wilson(right, concerned, level=0.05):
    return tuple(2 * end / (1 + end) for end in wilson_interval(right, concerned, level))


def test_an_answer_without_a_label_is_a_miss_and_no_class():
    """500 answers, 499 right, one unparsed: 0.7495 where "none" counts as a class."""
    values = pairs((0, 0, 275), (0, 3, 1), (1, 1, 169), (2, 2, 55))
    assert (
        interval(values, kind="macro_f1").value
        == pytest.approx((2 * 275 / 551 + 2) / 3)
        == pytest.approx(0.9994, abs=5e-5)
    )
    gold, predicted = values.T
    assert f1_score(gold, predicted, average="macro", zero_division=0.0) == pytest.approx(0.7495, abs=5e-5)


def test_labels_that_gold_lacks_do_not_count_however_often_they_are_predicted():
    assert interval(pairs((0, 0, 4), (0, 1, 1), (2, 2, 5)), kind="macro_f1").value == pytest.approx((8 / 9 + 1) / 2)
    never = pairs((0, 0, 6), (1, 0, 2))  # the second label is never predicted
    assert interval(never, kind="macro_f1").value == pytest.approx((12 / 14 + 0) / 2)


def test_with_one_label_the_interval_is_wilsons_of_the_jaccard_index():
    values = pairs((0, 0, 8), (0, 1, 4))
    found = interval(values, kind="macro_f1")
    assert (found.low, found.high) == pytest.approx(f1_of_wilson(8, 12))
    assert found.caution == ""


def test_labels_that_no_item_confuses_are_joined_as_independent_up_to_their_correlation():
    """MOVER by hand: two labels, each confused with "none" only, so that their influences do not overlap."""
    values = pairs((0, 0, 20), (0, 3, 5), (1, 1, 12), (1, 3, 8))
    found = interval(values, kind="macro_f1")
    parts = [(2 * r / (1 + r), f1_of_wilson(*counts)) for r, counts in ((0.8, (20, 25)), (0.6, (12, 20)))]
    estimate = sum(value for value, _ in parts) / 2
    low = estimate - math.sqrt(sum((value - ends[0]) ** 2 for value, ends in parts)) / 2
    high = estimate + math.sqrt(sum((ends[1] - value) ** 2 for value, ends in parts)) / 2
    assert found.value == pytest.approx(estimate)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_standard_error_is_that_of_the_influence_functions():
    generator = np.random.default_rng(1)
    gold = np.arange(90) % 3
    table = np.column_stack([gold, np.where(generator.random(90) < 0.6, gold, generator.integers(0, 4, 90))]).astype(
        float
    )
    inference = one_model(METRIC, clusters_from_values("macro_f1", table, range(90), range(90), 4), seed=0)
    left = [interval(np.delete(table, item, axis=0), kind="macro_f1").value for item in range(90)]
    jackknife = math.sqrt(89 / 90 * sum((value - np.mean(left)) ** 2 for value in left))
    assert inference.standard_error == pytest.approx(jackknife, rel=0.03)
    assert inference.test == "MOVER of Wilson intervals and t"


def test_the_interval_of_a_difference_holds_students():
    generator = np.random.default_rng(2)
    gold = np.arange(120) % 3
    before, after = (
        np.column_stack([gold, np.where(generator.random(120) < right, gold, generator.integers(0, 3, 120))])
        for right in (0.5, 0.6)
    )
    pair = compare(before, after, kind="macro_f1")
    expected = [f1_score(gold, side[:, 1], average="macro") for side in (before, after)]
    assert pair.difference == pytest.approx(expected[1] - expected[0])
    assert pair.low < pair.difference < pair.high
    assert pair.high - pair.low == pytest.approx(0.27, abs=0.05)


def test_a_model_that_gives_one_label_is_worse():
    gold = [0] * 20 + [1] * 20 + [2] * 20
    right = [(g, g if n % 5 else (g + 1) % 3) for n, g in enumerate(gold)]
    pair = compare(right, [(g, 0) for g in gold], kind="macro_f1")
    assert pair.difference == pytest.approx(1 / 6 - 0.8)
    assert (pair.outcome, pair.high < -0.3) == ("worse", True)


def test_certainty_is_limited_by_the_items_that_differ():
    before, after = pairs((0, 0, 20), (1, 0, 20)), pairs((0, 0, 20), (1, 0, 17), (1, 1, 3))
    pair = compare(before, after, kind="macro_f1")
    assert pair.p_value >= min(2**-2, sign_p(3)) - 1e-12
    one = compare(pairs((0, 1, 1)), pairs((0, 0, 1)), kind="macro_f1")
    assert one.p_value == pytest.approx(sign_p(1)) == pytest.approx(2 * stats.norm.sf(1))


def test_all_right_and_all_wrong_keep_a_width():
    for predicted, value in ((0, 1.0), (1, 0.0)):
        found = interval(pairs((0, predicted, 30)), kind="macro_f1")
        assert found.value == value
        assert (found.low, found.high) == pytest.approx(f1_of_wilson(30 * value, 30))


def test_rare_labels_and_few_groups_are_flagged():
    common = [(0, 0, 30), (1, 1, 30)]
    assert interval(pairs(*common, (2, 2, 4)), kind="macro_f1").caution == "a label has 4 items only"
    assert interval(pairs(*common, (2, 2, 5)), kind="macro_f1").caution == ""
    assert interval(pairs(*common, (0, 2, 1)), kind="macro_f1").caution == ""  # predicted only
    nine = [number % 9 for number in range(60)]
    assert interval(pairs(*common), kind="macro_f1", clusters=nine).caution == "only 9 independent groups of items"
    ten = [number % 10 for number in range(60)]
    assert interval(pairs(*common), kind="macro_f1", clusters=ten).caution == ""


def test_clusters_widen_the_interval():
    values = pairs((0, 0, 20), (0, 1, 20), (1, 1, 40))
    plain = interval(values, kind="macro_f1")
    grouped = interval(values, kind="macro_f1", clusters=[number // 4 for number in range(80)])
    ratio = (grouped.high - grouped.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(2, abs=0.25)  # groups of four that are alike: a quarter of the items


def test_intervals_cover_with_a_rare_label():
    generator = np.random.default_rng(4)
    shares, right = np.array([0.55, 0.35, 0.1]), 0.7
    truth_gold = generator.choice(3, 200_000, p=shares)
    truth = np.where(generator.random(200_000) < right, truth_gold, generator.integers(0, 3, 200_000))
    expected = f1_score(truth_gold, truth, average="macro")
    hits = 0
    for _ in range(200):
        gold = generator.choice(3, 60, p=shares)
        predicted = np.where(generator.random(60) < right, gold, generator.integers(0, 3, 60))
        found = interval(np.column_stack([gold, predicted]), kind="macro_f1")
        hits += found.low <= expected <= found.high
    assert hits / 200 >= 0.92


def test_the_interval_of_a_difference_by_hand():
    """One gold label: 24 and 18 of 30 right, 15 of them for both; the farther of MOVER and t at each end."""
    before = pairs((0, 0, 24), (0, 1, 6))
    after = pairs((0, 0, 15), (0, 1, 9), (0, 0, 3), (0, 1, 3))
    pair = compare(before, after, kind="macro_f1")
    right = [np.array([1.0] * 24 + [0.0] * 6), np.array([1.0] * 15 + [0.0] * 9 + [1.0] * 3 + [0.0] * 3)]
    influences = [2 / (1 + r.mean()) ** 2 * (r - r.mean()) / 30 for r in right]
    first, second = ((influence**2).sum() for influence in influences)
    degrees = (first + second) ** 2 / ((first**2 + second**2) / 29)
    half = stats.t.isf(0.025, degrees) * math.sqrt(((influences[1] - influences[0]) ** 2).sum() * 30 / 29)
    level = normal_level(0.05, degrees)
    values, ends = [48 / 54, 36 / 48], [f1_of_wilson(24, 30, level), f1_of_wilson(18, 30, level)]
    correlation = (influences[0] @ influences[1]) / math.sqrt(first * second)

    def joined(down, up):
        return math.sqrt(down**2 + up**2 - 2 * correlation * down * up)

    low = joined(values[1] - ends[1][0], ends[0][1] - values[0])
    high = joined(ends[1][1] - values[1], values[0] - ends[0][0])
    difference = values[1] - values[0]
    assert (pair.low, pair.high) == pytest.approx((difference - max(low, half), difference + max(high, half)))


def test_a_model_does_not_differ_from_itself():
    values = pairs((0, 0, 20), (0, 1, 6), (1, 1, 12))
    pair = compare(values, values, kind="macro_f1")
    assert (pair.difference, pair.p_value) == (0.0, 1.0)


def test_repeats_count_up_to_all_answers():
    """Each of 30 items was answered right once and wrong once: nothing varies between items, so 60 answers count."""
    values, items = pairs((0, 0, 30), (0, 1, 30)), [*range(30), *range(30)]
    repeated = interval(values, kind="macro_f1", items=items)
    assert (repeated.low, repeated.high) == pytest.approx(f1_of_wilson(30, 60, normal_level(0.05, 29)))


def test_two_items_have_a_standard_error():
    units = clusters_from_values("macro_f1", pairs((0, 0, 1), (0, 1, 1)), [0, 1], [0, 1], 2)
    inference = one_model(METRIC, units, seed=0)
    assert (inference.standard_error, inference.degrees_of_freedom) == pytest.approx((4 / 9, 1))


def test_a_label_that_is_always_right_is_joined_as_independent():
    found = interval(pairs((0, 0, 20), (0, 3, 5), (1, 1, 12)), kind="macro_f1")
    values, ends = (40 / 45, 1.0), (f1_of_wilson(20, 25), f1_of_wilson(12, 12))
    low = math.hypot(*(value - end[0] for value, end in zip(values, ends, strict=True))) / 2
    high = math.hypot(*(end[1] - value for value, end in zip(values, ends, strict=True))) / 2
    assert (found.low, found.high) == pytest.approx((sum(values) / 2 - low, sum(values) / 2 + high))


def test_a_difference_is_between_minus_1_and_1():
    low, high = pairs((0, 0, 1), (0, 1, 3)), pairs((0, 0, 3), (0, 1, 1))
    assert compare(low, high, kind="macro_f1").high == 1.0
    assert compare(high, low, kind="macro_f1").low == -1.0
