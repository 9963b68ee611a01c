"""Risk and coverage: area with ties, curve, levels, and the paired comparison of two models' areas."""

import itertools

import numpy as np
import pytest

from reports.comparison.answer_confidence import LEVELS, ConfidentAnswer, answer_confidence, area_under_risk
from reports.comparison.proportions import wilson_interval


def answers(confidence, right, clusters=None):
    """One answer for each item."""
    sources = clusters or [None] * len(right)
    return [
        ConfidentAnswer(f"item {number}", "hash", source, float(sure), float(is_right))
        for number, (sure, is_right, source) in enumerate(zip(confidence, right, sources, strict=True))
    ]


def one(confidence, right, clusters=None):
    (result,) = answer_confidence(
        {("base", "t"): answers(confidence, right, clusters)}, {"t": "probability"}, "base", seed=0
    )
    return result


def two(base, other):
    results = answer_confidence({("base", "t"): base, ("other", "t"): other}, {"t": "probability"}, "base", seed=0)
    return results[-1]


def test_the_area_is_the_mean_risk_over_all_numbers_of_answers():
    assert area_under_risk(np.array([0.9, 0.8, 0.7]), np.array([1.0, 0, 1]))[0] == pytest.approx(
        (0 + 1 / 2 + 1 / 3) / 3
    )


def test_equally_confident_answers_have_the_mean_area_of_all_their_orders():
    right = np.array([1.0, 0, 1, 0, 1])
    orders = [
        np.mean([1 - right[list(order[: count + 1])].mean() for count in range(5)])
        for order in ((0, *middle, 4) for middle in itertools.permutations((1, 2, 3)))
    ]
    assert area_under_risk(np.array([0.9, 0.5, 0.5, 0.5, 0.1]), right)[0] == pytest.approx(np.mean(orders))


def test_a_resample_has_the_area_of_the_items_that_it_holds():
    generator = np.random.default_rng(0)
    confidence, right = np.round(generator.random(30), 1), generator.integers(0, 2, 30).astype(float)
    times = generator.multinomial(30, np.full(30, 1 / 30), 5)
    areas = area_under_risk(confidence, right, times.astype(float))
    for row, area in zip(times, areas, strict=True):
        assert area == pytest.approx(area_under_risk(np.repeat(confidence, row), np.repeat(right, row))[0])


def test_a_model_whose_confidence_means_nothing_has_the_area_of_its_errors():
    result = one([0.5] * 40, [1] * 30 + [0] * 10)
    assert result.area == pytest.approx(0.25)
    assert {round(risk, 9) for _, risk in result.curve} == {0.25}
    assert result.low < 0.25 < result.high


def test_the_curve_ends_at_the_errors_of_all_answers():
    result = one(np.linspace(1, 0.2, 50), [1] * 40 + [0] * 10)
    assert len(result.curve) == 20
    assert result.curve[0] == (pytest.approx(3 / 50), 0.0)
    assert result.curve[-1] == (1.0, pytest.approx(0.2))
    assert [risk for _, risk in result.curve] == sorted(risk for _, risk in result.curve)


def test_levels_are_fixed_and_have_wilsons_interval():
    result = one([0.95] * 20 + [0.85] * 20 + [0.3] * 10, [1] * 19 + [0] * 31)
    assert [level.least for level in result.levels] == list(LEVELS["probability"])
    by = {level.least: level for level in result.levels}
    assert (by[0.9].items, by[0.9].accuracy) == (20, 0.95)
    assert (by[0.9].low, by[0.9].high) == pytest.approx(wilson_interval(19, 20))
    assert by[0.5].items == 40
    assert one([0.4], [1]).levels[0].accuracy is None


def test_right_answers_alone_leave_room_for_errors_that_were_not_seen():
    result = one(np.linspace(0.5, 1, 30), [1] * 30)
    assert (result.area, result.low) == (0.0, 0.0)
    assert 0.2 < result.high < 0.5
    few = one([0.5], [1])
    assert (few.low, few.high) == (None, None)


def test_two_models_of_which_one_knows_when_it_is_wrong():
    generator = np.random.default_rng(0)
    right = (generator.random(300) < 0.7).astype(float)
    blind, knowing = generator.random(300), 0.5 * right + 0.5 * generator.random(300)
    result = two(answers(blind, right), answers(knowing, right))
    assert (result.outcome, result.difference < -0.15) == ("better", True)
    assert result.difference_low < result.difference < result.difference_high < 0
    assert result.p_adjusted < 0.001
    assert two(answers(knowing, right), answers(blind, right)).outcome == "worse"


def test_the_same_answers_are_identical_and_changed_items_are_not_paired():
    base = answers([0.9, 0.8, 0.7] * 20, [1, 0, 1] * 20)
    assert (two(base, base).outcome, two(base, base).difference) == ("identical", 0.0)
    changed = [ConfidentAnswer(of.id, "other", of.cluster, of.confidence, of.right) for of in base]
    assert (two(base, changed).outcome, two(base, changed).difference) == (None, None)
    assert two([], base).difference is None


def test_items_of_one_source_count_as_one():
    generator = np.random.default_rng(0)
    confidence, right = generator.random(40), generator.integers(0, 2, 40)
    alone = one(confidence, right)
    thrice = one(np.repeat(confidence, 3), np.repeat(right, 3), [f"source {n // 3}" for n in range(120)])
    assert thrice.high - thrice.low == pytest.approx(alone.high - alone.low, rel=0.1)


def false_alarms(items, draws):
    """How often two equal models are called different, and how often their difference's interval excludes 0."""
    count = 0
    for draw in range(draws):
        generator = np.random.default_rng([draw, items])
        hard = generator.normal(size=items)
        models = []
        for _ in range(2):
            sure = generator.normal(size=items) - hard
            right = generator.normal(size=items) + sure > 0
            models.append(answers(1 / (1 + np.exp(-np.abs(sure))), right))
        count += two(*models).outcome in ("better", "worse")
    return count / draws


@pytest.mark.slow
def test_equal_models_are_seldom_called_different():
    assert false_alarms(60, 60) <= 0.05 + 2 * (0.05 * 0.95 / 60) ** 0.5


@pytest.mark.slow  # many draws
@pytest.mark.parametrize(("items", "draws"), [(30, 400), (100, 300), (400, 100)])
def test_the_comparison_keeps_its_level(items, draws):
    assert 0.01 <= false_alarms(items, draws) <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5
