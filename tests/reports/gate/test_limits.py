"""Limits that no value of their metric can reach are errors of the policy."""

import pytest

from reports.document.schema import MetricInfo
from reports.errors import UserError
from tests.reports.gate.examples import ACCURACY, LENGTH, PERPLEXITY, inputs, perplexities, right_and_wrong, verdict

SHARES = inputs(ACCURACY, *right_and_wrong(10, 10, 400))
TEXTS = inputs(PERPLEXITY, *perplexities(40, 0.0))
MEANS = inputs(MetricInfo(key="m", title="Mean", higher_is_better=True), [0.2, 0.4] * 10, [0.2, 0.4] * 10)
LENGTHS = inputs(LENGTH, [float(n) for n in range(20)], [float(n) for n in range(20)])


@pytest.mark.parametrize(
    ("both", "rule", "fault"),
    [
        (SHARES, {"rule": "non_inferiority", "margin": 5}, "margin is 5, but the loss of t/m is less than 1"),
        (SHARES, {"rule": "non_inferiority", "margin": 1}, "margin is 1, but the loss of t/m is less than 1"),
        (SHARES, {"rule": "no_regression", "margin": 100}, "margin is 100, but the loss of t/m is less than 1"),
        (SHARES, {"rule": "superiority", "margin": 5}, "margin is 5, but the gain of t/m is less than 1"),
        (SHARES, {"rule": "superiority", "detect": 5}, "margin is 5, but the gain of t/m is less than 1"),
        (TEXTS, {"rule": "no_regression", "margin": 1e300}, "margin is 1e+300, but the loss of t/m is less than 1"),
        (TEXTS, {"rule": "superiority", "margin": 2}, "margin is 2, but the gain of t/m is less than 1"),
        (SHARES, {"rule": "bound", "min": -1000}, "min is -1000, but the value of t/m is between 0 and 1"),
        (SHARES, {"rule": "bound", "max": 60}, "max is 60, but the value of t/m is between 0 and 1"),
        (TEXTS, {"rule": "bound", "min": -2}, "min is -2, but the value of t/m is between 0 and 1e+15"),
        (SHARES, {"rule": "change", "min": -5}, "min is -5, but the change of t/m is between -1 and 1"),
        (SHARES, {"rule": "change", "max": 5}, "max is 5, but the change of t/m is between -1 and 1"),
        (
            TEXTS,
            {"rule": "change", "relative": True, "min": -5},
            "min is -5, but the change of t/m is between -1 and 1e+15",
        ),
        (
            SHARES,
            {"rule": "must_pass", "ids": ["0"], "at_least": -1},
            "at_least is -1, but the value of t/m is between 0 and 1",
        ),
        (
            SHARES,
            {"rule": "must_pass", "ids": ["0"], "at_least": 0, "at_most": 7},
            "at_most is 7, but the value of t/m is between 0 and 1",
        ),
    ],
)
def test_impossible_limits_are_errors_of_the_policy(both, rule, fault):
    with pytest.raises(UserError) as error:
        verdict({"metric": "t/m", "name": "mine", **rule}, *both)
    assert (error.value.what, error.value.where) == (f"mine: {fault}", "the policy")
    assert "5 % is written 0.05" in error.value.fix


@pytest.mark.parametrize(
    ("both", "rule", "expected"),
    [
        (SHARES, {"rule": "non_inferiority", "margin": 0.99}, "pass"),
        (SHARES, {"rule": "superiority", "margin": 2, "relative": True}, "inconclusive"),
        (SHARES, {"rule": "bound", "min": 0, "max": 1}, "pass"),
        (SHARES, {"rule": "change", "min": -1, "max": 1}, "pass"),
        (SHARES, {"rule": "change", "max": 3, "relative": True}, "pass"),
        (MEANS, {"rule": "change", "max": 300}, "pass"),
        (MEANS, {"rule": "no_regression", "margin": 30, "relative": False}, "pass"),
        (MEANS, {"rule": "superiority", "margin": 0.5, "relative": False}, "inconclusive"),
        (LENGTHS, {"rule": "superiority", "margin": 2, "relative": True}, "fail"),
        (LENGTHS, {"rule": "change", "min": -300}, "pass"),
        (LENGTHS, {"rule": "bound", "min": -5}, "pass"),
        (TEXTS, {"rule": "non_inferiority", "margin": 3, "relative": False}, "pass"),
    ],
)
def test_possible_limits_are_judged(both, rule, expected):
    assert verdict({"metric": "t/m", **rule}, *both)[0].verdict == expected


@pytest.mark.parametrize("both", [SHARES, TEXTS, inputs(ACCURACY, *right_and_wrong(0, 0, 60))])
@pytest.mark.parametrize("kind", ["superiority", "no_regression"])
def test_the_lowest_power_and_confidence_are_judged(both, kind):
    result, _ = verdict({"rule": kind, "metric": "t/m", "confidence": 0.5}, *both, power=0.5)
    assert result.verdict in ("pass", "fail", "inconclusive")


@pytest.mark.parametrize("rule", [{"rule": "complete"}, {"rule": "bound", "metric": "x/y", "max": 60}])
def test_rules_that_match_no_metric_have_no_limits(rule):
    verdict(rule, *SHARES)
