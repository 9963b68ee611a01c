"""The interval and the test that each kind of metric gets, one model's and a difference's."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from harness.stats import compare, interval
from reports.comparison.counts import sign_p
from reports.comparison.metric_inference import difference, one_model
from reports.comparison.sums import clusters_from_values
from reports.document.schema import MetricInfo

GENERATOR = np.random.default_rng(0)
STATE = GENERATOR.bit_generator.state
TOKENS = np.full(30, 10.0)


@pytest.fixture(autouse=True)
def _same_numbers():
    GENERATOR.bit_generator.state = STATE


def of(kind, values, sources=None):
    """A metric of this kind, and the items' values as clusters."""
    table = np.asarray(values, dtype=float)
    ids = [f"{number:03}" for number in range(len(table))]
    metric = MetricInfo(key="m", title="M", kind=kind, higher_is_better=True)
    return metric, clusters_from_values(kind, table, ids, sources or ids, labels=2)


def inferred(kind, values, sources=None):
    metric, clusters = of(kind, values, sources)
    return one_model(metric, clusters, seed=0)


def inferred_difference(kind, before, after):
    metric, first = of(kind, before)
    return difference(metric, first, of(kind, after)[1], seed=0)


def documents(nats):
    """(Log-likelihood, tokens) of 30 documents of ten tokens, from the nats of a token in each."""
    return np.column_stack([-TOKENS * nats, TOKENS])


def test_two_items_have_an_interval_and_one_has_none():
    assert inferred("mean", [0.2, 0.6]).caution == "only 2 independent items"
    assert inferred_difference("mean", [0.2, 0.6], [0.3, 0.9]).estimate == pytest.approx(0.2)
    assert inferred("mean", [0.2]) is None
    assert inferred_difference("mean", [0.2], [0.3]) is None


def test_calibration_error_has_no_interval_in_whichever_bin_the_answers_are():
    pairs = [(0.15, 1.0), (0.12, 0.0), (0.95, 1.0)]
    assert inferred("ece", pairs) is None
    assert inferred_difference("ece", pairs, pairs[::-1]) is None


@pytest.mark.parametrize(("differing", "least"), [(5, sign_p(5)), (20, 2.0**-19)])
def test_the_smallest_p_value_of_macro_f1_is_the_smaller_of_the_sign_and_the_score_test(differing, least):
    before = [(0, 0)] * 30 + [(1, 0)] * 30
    after = [(0, 0)] * 30 + [(1, 1)] * differing + [(1, 0)] * (30 - differing)
    assert inferred_difference("macro_f1", before, after).least_p == pytest.approx(least)


def test_equal_answers_have_equal_macro_f1_with_certainty():
    answers = [(0, 0)] * 10 + [(1, 0)] * 10
    assert inferred_difference("macro_f1", answers, answers).least_p == 1.0


def test_sums_that_overflow_have_no_interval_and_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert inferred("mean", [1e200, 2e200, 4e200, 7e200]) is None
        assert inferred("perplexity", [(-1e200, 1), (-2e200, 1), (-4e200, 1)]) is None


def test_a_perplexity_beyond_all_numbers_is_capped_in_a_difference():
    huge, sound = [(-1e200, 1), (-2e200, 1), (-4e200, 1)], [(-2.0, 1), (-2.1, 1), (-2.3, 1)]
    assert inferred_difference("perplexity", sound, huge).estimate == pytest.approx(math.exp(680))
    assert inferred_difference("perplexity", huge, sound).estimate == pytest.approx(-math.exp(680))


def test_perplexity_is_inferred_on_the_scale_of_its_logarithm():
    """Of documents of one length, nats per token are a mean; the error of the exponential is by the delta method."""
    nats = GENERATOR.normal(2.0, 0.2, 30)
    result = inferred("perplexity", documents(nats))
    assert result.estimate == pytest.approx(math.exp(nats.mean()))
    assert result.standard_error == pytest.approx(math.exp(nats.mean()) * stats.sem(nats))
    assert result.ends(0.05) == pytest.approx(tuple(math.exp(end) for end in inferred("mean", nats).ends(0.05)))


def test_the_interval_of_a_perplexity_reaches_down_to_1():
    assert inferred("perplexity", [(-0.01, 1), (-0.02, 1), (-0.9, 1)]).ends(1e-6)[0] == 1.0


def test_bits_per_byte_are_nats_over_the_logarithm_of_2():
    nats = GENERATOR.normal(2.0, 0.2, 30)
    result = inferred("bits_per_byte", documents(nats))
    assert result.estimate == pytest.approx(nats.mean() / math.log(2))
    assert result.standard_error == pytest.approx(stats.sem(nats) / math.log(2))


def test_perplexities_of_few_groups_of_documents_are_flagged():
    nats = GENERATOR.normal(2.0, 0.2, 30)
    groups = [str(number // 6) for number in range(30)]
    assert inferred("perplexity", documents(nats), groups).caution == "only 5 independent groups of items"


def test_perplexities_of_one_magnitude_are_compared_by_pairs_however_great_they_are():
    """The documents differ much, the models by the same amount in each: the error is that of the differences."""
    nats = GENERATOR.normal(5.0, 0.3, 30)
    change = np.exp(5.1) - np.exp(5.0)
    result = inferred_difference("perplexity", documents(nats), documents(nats + 0.1))
    assert result.estimate == pytest.approx(math.exp(nats.mean()) * (math.exp(0.1) - 1))
    assert result.standard_error == pytest.approx(change * stats.sem(nats), rel=0.1)


def test_the_difference_from_a_far_smaller_perplexity_is_the_mirrored_one():
    sound, apart = documents(GENERATOR.normal(2.0, 0.2, 30)), documents(GENERATOR.lognormal(2.5, 0.3, 30))
    worse, better = inferred_difference("perplexity", sound, apart), inferred_difference("perplexity", apart, sound)
    low, high = worse.ends(0.05)
    assert better.ends(0.05) == (-high, -low)
    assert better.estimate == -worse.estimate


def test_a_mean_of_lengths_some_of_which_are_0_has_no_negative_limit():
    assert interval([0.0, 0.0, 2.0, 7.0, 9.0, 4.0], kind="mean", bounded=False, level=1e-4).low == 0.0
    assert compare([0.0, 1.0, 5.0], [3.0, 0.0, 9.0], kind="mean", bounded=False, level=1e-4).low < -1
