"""Policies: what they accept, and the names that their rules get."""

import pytest
from pydantic import ValidationError

from reports.gate.policy import DEFAULT, Policy, rule_name, slice_text


def rule(**fields):
    return Policy.model_validate({"rules": [fields]}).rules[0]


def fault(*rules, **fields):
    with pytest.raises(ValidationError) as error:
        Policy.model_validate({"rules": list(rules), **fields})
    (detail,) = error.value.errors()
    return detail["msg"]


def test_the_default_policy():
    assert [rule_name(entry) for entry in DEFAULT.rules] == [
        "complete",
        "leakage",
        "contamination",
        "no regression: */*",
    ]
    assert (DEFAULT.inconclusive, DEFAULT.power) == ("block", 0.8)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"rule": "peak_memory", "max_gib": 8}, "peak memory"),
        ({"rule": "peak_memory", "max_gib": 8, "name": "fits"}, "fits"),
        ({"rule": "no_regression", "metric": "t/m"}, "no regression: t/m"),
        ({"rule": "bound", "metric": "t/m", "min": 0.5, "max": 1}, "bound: t/m (min 0.5, max 1.0)"),
        (
            {"rule": "non_inferiority", "metric": "t/m", "margin": 0.1, "where": {"class": "maybe"}},
            "non inferiority: t/m (margin 0.1) [class maybe]",
        ),
        (
            {"rule": "must_pass", "metric": "t/m", "at_least": 1, "ids": ["4"]},
            "must pass: t/m (at_least 1.0) [1 listed item]",
        ),
        ({"rule": "must_pass", "metric": "t/m", "at_most": 1, "ids": ["4"], "name": "first"}, "first"),
    ],
)
def test_a_rule_is_named_by_its_settings(fields, name):
    assert rule_name(rule(**fields)) == name


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"where": {"class": ["yes", "no"], "ward": "3"}}, " [class yes or no, ward 3]"),
        ({"ids": ["4"]}, " [1 listed item]"),
        ({"where": {"ward": "3"}, "ids": ["4", "5"]}, " [ward 3, 2 listed items]"),
    ],
)
def test_the_slice_of_a_rule_in_brackets(fields, text):
    assert slice_text(rule(rule="no_regression", metric="t/m", **fields)) == text


@pytest.mark.parametrize("kind", ["bound", "change"])
def test_limits_are_given_and_in_order(kind):
    assert fault({"rule": kind, "metric": "t/m"}) == "Value error, give min, max or both"
    assert fault({"rule": kind, "metric": "t/m", "min": 0.5, "max": 0.25}) == "Value error, min 0.5 is above max 0.25"
    for limits in ({"min": 1}, {"max": 1}, {"min": 1, "max": 1}):
        assert rule(rule=kind, metric="t/m", **limits)


def test_listed_items_need_a_limit():
    assert fault({"rule": "must_pass", "metric": "t/m", "ids": ["4"]}) == "Value error, give at_least or at_most"


@pytest.mark.parametrize(
    ("value", "quoted"), [(True, "yes"), (False, "no"), (3, "3"), (0.5, "0.5"), (["a", True], "yes")]
)
def test_unquoted_values_of_slices_are_refused(value, quoted):
    message = fault({"rule": "no_regression", "metric": "t/m", "where": {"class": value}})
    assert message == f'Value error, write the value of class in quotes, such as "{quoted}"'


def test_names_are_unique():
    twice = [{"rule": "complete", "name": name} for name in ("b", "a", "c", "b", "c")]
    assert fault(*twice) == "Value error, the name b is given to two rules"
    assert len(Policy.model_validate({"rules": [{"rule": "complete"}, {"rule": "complete"}]}).rules) == 2
