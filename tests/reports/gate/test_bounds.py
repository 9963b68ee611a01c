"""Rules with fixed limits: verdict, reason, numbers and the items that moved them, word by word."""

from dataclasses import replace

import numpy as np
import pytest

from reports.document.schema import MetricInfo
from reports.gate.estimate import paired, single
from tests.reports.gate.examples import (
    ACCURACY,
    LENGTH,
    PERPLEXITY,
    ROUGE,
    inputs,
    perplexities,
    shifted,
    verdict,
    with_items,
)

TEN = [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9]  # mean .5
SCORE = MetricInfo(key="m", title="BLEU", kind="other", higher_is_better=True)


def of(rule, *both):
    return verdict({"metric": "t/m", **rule}, *both)[0]


def bound_of(values, metric=ROUGE, **limits):
    return of({"rule": "bound", **limits}, *inputs(metric, values, values))


def change_of(before, after, metric=ROUGE, **limits):
    return of({"rule": "change", **limits}, *inputs(metric, before, after))


@pytest.mark.parametrize(
    ("limits", "wanted", "reason", "limit"),
    [
        ({"min": 0.5}, "pass", "ROUGE-L is 50.0 %", "at least 50 %"),
        ({"max": 0.5}, "pass", "ROUGE-L is 50.0 %", "at most 50 %"),
        ({"min": 0.4, "max": 0.6}, "pass", "ROUGE-L is 50.0 %", "at least 40 % and at most 60 %"),
        ({"min": 0.51}, "fail", "ROUGE-L is 50.0 %, below the limit", "at least 51 %"),
        ({"max": 0.49}, "fail", "ROUGE-L is 50.0 %, above the limit", "at most 49 %"),
        ({"min": 0.4, "max": 0.49}, "fail", "ROUGE-L is 50.0 %, above the limit", "at least 40 % and at most 49 %"),
    ],
)
def test_a_value_within_its_limits_passes(limits, wanted, reason, limit):
    result = bound_of(TEN, **limits)
    assert (result.verdict, result.reason, result.limit) == (wanted, reason, limit)
    assert (result.value, result.n, result.low, result.high, result.items_needed) == (
        pytest.approx(0.5),
        10,
        None,
        None,
        None,
    )


def test_a_value_below_its_limit_is_moved_by_the_lowest_items_and_one_above_by_the_highest():
    low, high = bound_of(TEN, min=0.51), bound_of(TEN, max=0.49)
    assert [item.id for item in low.moved] == ["0", "1", "2", "3"]
    assert [item.id for item in high.moved] == ["9", "8", "7", "6"]
    assert low.moved[0].weight == pytest.approx(-0.04)
    assert (low.moved[0].candidate, low.moved[0].baseline) == (0.1, None)


def test_with_a_confidence_the_interval_has_to_be_within_the_limits_too():
    estimate = single("mean", np.stack([TEN * 4, np.ones(40)], 1))
    low, high = estimate.bounds(0.95)
    sure = bound_of(TEN * 4, min=low - 0.001, max=high + 0.001, confidence=0.95)
    assert (sure.verdict, sure.reason) == ("pass", "ROUGE-L is 50.0 %, at the confidence asked for")
    assert (sure.low, sure.high) == pytest.approx((low, high))
    for limits, worst in (({"min": low + 0.001}, "0"), ({"max": high - 0.001}, "19")):
        unsure = bound_of(TEN * 4, **limits, confidence=0.95)
        assert unsure.verdict == "inconclusive"
        assert unsure.reason == "ROUGE-L is 50.0 %, but 40 items are too few to tell it from the limit"
        assert unsure.moved[0].id == worst
        assert unsure.items_needed > 40


def test_nine_items_are_too_few_for_any_confidence_and_ten_are_not():
    for count, wanted in ((9, "inconclusive"), (10, "pass")):
        assert bound_of(TEN[:count], min=0, max=1, confidence=0.95).verdict == wanted


def test_items_of_a_bound_are_planned_by_the_nearest_limit():
    values, _ = shifted(50, 0)
    middle = float(np.mean(values))
    estimate = single("mean", np.stack([values, np.ones(50)], 1))
    result = bound_of(values, min=middle - 0.04, max=middle + 0.2, confidence=0.99)
    assert result.items_needed == estimate.items_to_exceed(-0.04, 0.0, 0.99, 0.8)
    other = bound_of(values, min=middle - 0.2, max=middle + 0.04, confidence=0.99)
    assert other.items_needed == result.items_needed


@pytest.mark.parametrize(
    ("limits", "wanted", "reason", "limit"),
    [
        ({"min": 0.1}, "pass", "ROUGE-L changed by +10.0 pp", "at least 10 pp"),
        ({"min": 0.11}, "fail", "ROUGE-L changed by +10.0 pp, below the limit", "at least 11 pp"),
        ({"max": 0.09}, "fail", "ROUGE-L changed by +10.0 pp, above the limit", "at most 9 pp"),
        ({"min": 0.2, "relative": True}, "pass", "ROUGE-L changed by +10.0 pp, +20.0%",
         "at least 20 % of the baseline's"),
        ({"max": 0.19, "relative": True}, "fail", "ROUGE-L changed by +10.0 pp, +20.0%, above the limit",
         "at most 19 % of the baseline's"),
    ],
)  # fmt: skip
def test_a_change_within_its_limits_passes(limits, wanted, reason, limit):
    result = change_of(TEN, [value + 0.1 for value in TEN], **limits)
    assert (result.verdict, result.reason, result.limit) == (wanted, reason, limit)
    assert (result.value, result.baseline, result.difference) == pytest.approx((0.6, 0.5, 0.1))


def test_a_change_has_the_bounds_of_its_confidence_and_else_of_95_percent():
    before, after = shifted(40, 0.1)
    difference = paired("mean", *(np.stack([values, np.ones(40)], 1) for values in (before, after)))
    for confidence, options in ((0.95, {}), (0.99, {"confidence": 0.99})):
        result = change_of(before, after, min=0.0, **options)
        assert (result.low, result.high) == pytest.approx(difference.bounds(confidence))
        assert (result.verdict, result.outcome) == ("pass", "better")
    sure = change_of(before, after, min=0.0, confidence=0.99)
    assert sure.reason == "ROUGE-L changed by +9.8 pp, at the confidence asked for"
    low = difference.bounds(0.99)[0]
    assert change_of(before, after, min=low + 0.001, confidence=0.99).verdict == "inconclusive"


def test_a_small_change_is_equivalent_within_the_smallest_relevant_difference_of_the_metric():
    """5 points of a share; of any other metric, a twentieth of the baseline's value."""
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.01, 60)
    before = [0.5] * 60
    assert change_of(before, list(before + noise + 0.03), min=-1).outcome == "better"
    assert change_of(before, list(before + noise - noise.mean()), min=-1).outcome == "equivalent"
    for size, outcome in ((15.0, "equivalent"), (30.0, "inconclusive")):  # bounds near 3 and 6 points
        assert change_of(before, list(before + size * (noise - noise.mean())), min=-1).outcome == outcome
    texts, others = perplexities(60, 0.0)
    assert change_of(texts, others, PERPLEXITY, min=-99).outcome == "equivalent"
    lengths = [100.0] * 60
    for size, outcome in ((0.4, "equivalent"), (4.0, "inconclusive")):
        after = list(lengths + 100 * size * (noise - noise.mean()))
        assert change_of(lengths, after, LENGTH.model_copy(update={"relevant": 0.002}), min=-9).outcome == outcome


def test_a_relative_change_of_nothing_cannot_be_judged():
    result = change_of([0.0] * 12, [*TEN, 0.1, 0.2], LENGTH, min=0.1, relative=True)
    assert (result.verdict, result.reason) == (
        "fail",
        "the baseline's value is not above 0, so there is no relative change",
    )


def test_a_change_asks_for_the_items_of_its_distance():
    before, after = shifted(50, 0.0, seed=3)
    difference = paired("mean", *(np.stack([values, np.ones(50)], 1) for values in (before, after)))
    result = change_of(before, after, min=difference.value - 0.01, confidence=0.99)
    low, high = difference.bounds(0.99)
    distance = max(0.01, (high - low) / 4)
    assert result.items_needed == difference.items_to_exceed(-distance, 0.0, 0.99, 0.8)


@pytest.mark.parametrize(
    ("limits", "limit", "missed"),
    [
        ({"at_least": 0.5}, "at least 50 %", ["0", "2"]),
        ({"at_least": 0.6}, "at least 60 %", ["0", "2", "4", "5"]),
        ({"at_most": 0.4}, "at most 40 %", ["9", "4", "5"]),
        ({"at_least": 0.2, "at_most": 0.6}, "at least 20 % and at most 60 %", ["0", "9"]),
    ],
)
def test_listed_items_that_miss_a_limit_are_named_worst_first(limits, limit, missed):
    rule = {"rule": "must_pass", "ids": ["9", "2", "5", "4", "0"], **limits}
    result = of(rule, *inputs(ROUGE, TEN, TEN))
    assert (result.verdict, result.limit, result.n) == ("fail", limit, 5)
    assert result.reason == f"{5 - len(missed)} of 5 listed items have ROUGE-L {limit}"
    assert [item.id for item in result.moved] == missed


def test_a_value_needs_no_baseline():
    baseline, candidate = inputs(ROUGE, TEN, TEN)
    baseline = replace(baseline, faults={"t": "the samples are missing"})
    rules = ({"rule": "bound", "min": 0.5}, {"rule": "must_pass", "ids": ["9"], "at_least": 0.5})
    assert [of(rule, baseline, candidate).verdict for rule in rules] == ["pass", "pass"]
    assert of({"rule": "change", "min": -1}, baseline, candidate).reason == "base of r: the samples are missing"


def test_listed_items_pass_by_the_metric_of_each():
    texts = [(-20.0, 10.0), (-30.0, 10.0)]
    result = of({"rule": "must_pass", "ids": ["0"], "at_most": 7.4}, *inputs(PERPLEXITY, texts, texts))
    assert (result.verdict, result.reason) == ("pass", "1 of 1 listed items have Perplexity at most 7.4")
    assert of({"rule": "must_pass", "ids": ["1"], "at_most": 20}, *inputs(PERPLEXITY, texts, texts)).verdict == "fail"


def other(value, **rule):
    """A bound on a metric of which only lm-eval's own value is known."""
    baseline, candidate = inputs(SCORE, TEN, TEN)
    scores = [score.model_copy(update={"value": value, "n": 7}) for score in candidate.results.scores]
    candidate = replace(candidate, results=candidate.results.model_copy(update={"scores": scores}))
    return of({"rule": "bound", **rule}, baseline, candidate)


def test_a_metric_without_values_of_items_is_compared_by_its_own_value():
    result = other(30.0, min=30)
    assert (result.verdict, result.reason, result.limit) == ("pass", "BLEU is 30.00", "at least 30")
    assert (result.value, result.n) == (30.0, 7)
    assert [other(30.0, **limit).verdict for limit in ({"max": 29}, {"min": 31})] == ["fail", "fail"]
    assert other(None, min=30).reason == "adapter of r has no value of t/m"
    for option in ({"confidence": 0.9}, {"where": {"class": "yes"}}, {"ids": ["0"]}):
        result = other(30.0, min=30, **option)
        assert result.verdict == "fail"
        assert result.reason == "only lm-eval's own value is known, without slices or intervals"
    change = of({"rule": "change", "min": 0}, *inputs(SCORE, TEN, TEN))
    assert change.reason == "only lm-eval's own value of t/m is known, without values of single items"


def test_a_limit_is_met_up_to_rounding_only():
    right = [1.0] * 7 + [0.0] * 3
    assert bound_of(right, ACCURACY, min=0.7 + 9e-10).verdict == "pass"
    assert bound_of(right, ACCURACY, max=0.7 - 9e-10).verdict == "pass"
    assert bound_of(right, ACCURACY, min=0.7 + 2e-9).verdict == "fail"
    assert bound_of(right, ACCURACY, max=0.7 - 2e-9).verdict == "fail"


def test_groups_of_items_are_asked_for_as_items():
    values, _ = shifted(60, 0)
    both = [
        with_items(side, lambda item: item.model_copy(update={"cluster": f"c{int(item.id) // 4}"}))
        for side in inputs(ROUGE, values, values)
    ]
    result = of({"rule": "bound", "min": float(np.mean(values)) - 0.01, "confidence": 0.95}, *both)
    assert (result.verdict, result.n, result.items_needed % 4) == ("inconclusive", 60, 0)
