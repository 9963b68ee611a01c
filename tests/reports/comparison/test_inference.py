"""A p-value is the largest level whose interval still holds the limit."""

import math

import pytest
from scipy import stats

from reports.comparison.inference import Inference, critical_value


def normal(estimate, error=1.0, **options):
    def ends(level):
        half = float(stats.norm.isf(level / 2)) * error
        return estimate - half, estimate + half

    return Inference(estimate, ends, "z", error, **options)


@pytest.mark.parametrize("estimate", [0.3, -1.0, 1.959964, 2.5, -6.0])
def test_the_p_value_inverts_the_interval(estimate):
    assert normal(estimate).p_value() == pytest.approx(2 * stats.norm.sf(abs(estimate)), rel=1e-9)
    assert normal(estimate).p_value(0.5) == pytest.approx(2 * stats.norm.sf(abs(estimate - 0.5)), rel=1e-9)


def test_the_p_value_is_1_at_the_estimate_and_never_0():
    assert normal(0.0).p_value() == 1.0
    assert normal(3.0).p_value(3.0) == 1.0
    assert normal(50.0).p_value() == 1e-16
    assert normal(1.0, direct_p=lambda _: 0.0).p_value() == 1e-16
    assert normal(1.0, direct_p=lambda limit: 0.3 + limit).p_value(0.1) == pytest.approx(0.4)


def test_the_mirrored_quantity_has_mirrored_interval_and_test():
    mirrored = normal(2.0, least_p=0.01, effective=5.0, caution="few").mirrored()
    low, high = normal(2.0).ends(0.1)
    assert (mirrored.estimate, mirrored.ends(0.1)) == (-2.0, (-high, -low))
    assert (mirrored.least_p, mirrored.effective, mirrored.caution) == (0.01, 5.0, "few")
    assert mirrored.p_value(-0.5) == pytest.approx(normal(2.0).p_value(0.5))
    asymmetric = normal(2.0, direct_p=lambda limit: 0.5 + limit / 10).mirrored()
    assert asymmetric.p_value(-1.0) == pytest.approx(0.6)


def test_no_interval_below_the_smallest_possible_p_value_excludes_0():
    limited = normal(5.0).with_least_p(0.1)
    assert limited.least_p == 0.1
    assert limited.ends(0.1) == normal(5.0).ends(0.1)
    low, high = limited.ends(0.0999)
    assert (low, high) == (0.0, normal(5.0).ends(0.0999)[1])
    assert limited.p_value() == pytest.approx(0.1)
    assert normal(-5.0).with_least_p(0.1).ends(0.05)[1] == 0.0
    assert normal(0.5).with_least_p(0.1).ends(0.05) == normal(0.5).ends(0.05)


def test_what_is_not_given_says_nothing():
    inference = normal(1.0)
    assert (inference.degrees_of_freedom, inference.least_p, inference.caution, inference.size) == (math.inf, 0, "", 1)
    assert math.isnan(inference.effective)


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_the_critical_value_is_students_and_for_infinite_degrees_the_normal_one(level):
    assert critical_value(level, 4) == pytest.approx(stats.t.isf(level / 2, 4))
    assert critical_value(level) == pytest.approx(stats.norm.isf(level / 2))
    assert list(critical_value(level, [3, 9])) == pytest.approx(list(stats.t.isf(level / 2, [3, 9])))
