"""Sums over items and clusters, and the metrics of such sums, by hand."""

import math
import warnings

import numpy as np
import pytest
from scipy import special

from reports.comparison.sums import (
    Clusters,
    aggregator,
    cluster_by_item,
    clusters_from_samples,
    clusters_from_values,
    label_count,
    value_of_clusters,
    value_of_samples,
    with_value,
)
from reports.document.schema import MetricInfo
from tests.reports.comparison.test_compare_models import ACCURACY, MACRO_F1, MEAN, samples

TWICE = (1.0, 2.0)  # factors of sums that do not change a ratio


def twice(sums):
    """The same sums once and doubled, as of two resamples; shape [2, columns]."""
    return np.outer(TWICE, np.asarray(sums, dtype=float))


@pytest.mark.parametrize(
    ("kind", "sums", "value"),
    [
        ("mean", [3.0, 4.0], 0.75),
        ("proportion", [3.0, 4.0], 0.75),
        ("ratio", [3.0, 4.0], 0.75),
        ("perplexity", [-8.0, 4.0], math.exp(2)),
        ("perplexity", [-8000.0, 4.0], math.exp(680)),
        ("bits_per_byte", [-8.0, 4.0], 2 / math.log(2)),
        # Gold, predicted and right of labels 0 and 1, and of label 2, which gold lacks.
        ("macro_f1", [6.0, 4.0, 0.0, 5.0, 4.0, 1.0, 4.0, 3.0, 0.0], (8 / 11 + 6 / 8) / 2),
        ("macro_f1", [0.0, 4.0, 1.0, 3.0, 0.0, 3.0], 6 / 7),
        ("macro_f1", [0.0, 0.0, 0.0], 0.0),
    ],
)
def test_metrics_of_sums_are_computed_for_many_resamples_at_once(kind, sums, value):
    assert aggregator(kind)(np.asarray(sums)) == pytest.approx(value)
    assert aggregator(kind)(twice(sums)) == pytest.approx([value, value])


def test_debiased_ece_of_sums_over_bins():
    """Sums of confidence minus right, of right, and of answers by bin; the last bin is empty, the third all right."""
    gap, right, count = np.array([-0.5, 0.4, -0.3, 0.0]), np.array([3.0, 1.0, 3.0, 0.0]), np.array([4.0, 5.0, 3.0, 0.0])

    def expected(distance, share, size):
        error = math.sqrt(share * (1 - share) / size)
        if error == 0:
            return distance
        ratio = distance / error
        normal = error * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2) + distance * special.erf(ratio / 2**0.5)
        return distance - (normal - distance)

    by_bin = [expected(0.125, 0.75, 4), expected(0.08, 0.2, 5), expected(0.1, 1.0, 3)]
    value = max(0.0, (4 * by_bin[0] + 5 * by_bin[1] + 3 * by_bin[2]) / 12)
    sums = np.concatenate([gap, right, count])
    assert aggregator("ece")(sums) == pytest.approx(value)
    assert aggregator("ece")(np.stack([sums, sums])) == pytest.approx([value, value])
    large = np.array([-300.0, 700.0, 1000.0])  # so many that chance adds nothing
    assert aggregator("ece")(large) == pytest.approx(0.3)
    assert aggregator("ece")(np.array([0.1, 1.0, 1.0])) == pytest.approx(0.1)  # one answer, which is right
    assert aggregator("ece")(np.array([0.0, 5.0, 10.0])) == 0.0


@pytest.mark.parametrize(
    ("kind", "values", "value"),
    [
        ("mean", [0.2, 0.4, 0.9], 0.5),
        ("perplexity", [(-2.0, 1.0), (-4.0, 5.0)], math.e),
        ("macro_f1", [(0, 0), (0, 1), (1, 1), (2, 0)], (0.5 + 2 / 3 + 0) / 3),
        ("ece", [(0.97, 1.0), (1.0, 1.0)], 0.015),
        ("ece", [(0.85, 1.0), (0.95, 0.0)], 0.55),
        ("ece", [(0.05, 0.0), (0.11, 0.0), (0.11, 0.0)], 0.09),
        ("batch_calibrated", [(0.0, -1.0, -1.2), (1.0, -1.0, -1.1)], 1.0),
        ("batch_calibrated", [(0.0, -1.0, -1.2), (0.0, -1.0, -1.1)], 0.5),
    ],
)
def test_metrics_of_samples(kind, values, value):
    assert value_of_samples(kind, values) == pytest.approx(value)


def test_undefined_metrics_are_not_numbers_and_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(value_of_clusters("ratio", np.zeros((2, 2))))
        assert value_of_clusters("ratio", np.array([[1.0, 0.0]])) == math.inf


def test_log_likelihoods_are_normalised_before_the_mean_preference_is_divided_out():
    """The second item's log-likelihoods are all lower by 50; a label may have no probability at all."""
    values = [(0.0, -1.0, -1.3, -np.inf), (1.0, -51.0, -51.1, -np.inf), (0.0, -1.0, -1.3, -np.inf)]
    assert value_of_samples("batch_calibrated", values) == 1.0
    assert value_of_samples("batch_calibrated", [*values, (2.0, -np.inf, -np.inf, -np.inf)]) == 1.0


def test_items_and_clusters_add_up_in_the_order_of_their_names():
    values = np.array([0.1, 0.5, 0.3, 0.9])
    result = clusters_from_values("mean", values, ["b", "a", "c", "b"], ["z", "y", "z", "z"])
    assert result.by_item == pytest.approx(np.array([[0.5, 1.0], [0.5, 1.0], [0.3, 1.0]]))  # b has two answers
    assert result.table == pytest.approx(np.array([[0.5, 1.0], [0.8, 2.0]]))
    assert (result.cluster_of.tolist(), result.repeats, result.items) == ([0, 1, 1], 2, 3)
    assert (result.is_clustered, result.is_plain, result.are_right_or_wrong) == (True, False, False)


@pytest.mark.parametrize(
    ("values", "ids", "facts"),
    [
        ([1.0, 0.0], ["a", "b"], (False, True, True)),
        ([1.0, 0.5], ["a", "b"], (False, True, False)),
        ([2.0, 0.0], ["a", "b"], (False, True, False)),
        ([1.0, 0.0], ["a", "a"], (False, False, False)),
    ],
)
def test_plain_clusters_are_single_items_with_single_answers(values, ids, facts):
    result = clusters_from_values("mean", np.array(values), ids, ids)
    assert (result.is_clustered, result.is_plain, result.are_right_or_wrong) == facts


def test_the_order_of_answers_does_not_change_how_sums_are_rounded():
    values = np.array([0.1, 1e16, -1e16, 0.3])
    orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]]
    sums = {clusters_from_values("mean", values[order], ["a"] * 4, ["a"] * 4).table[0, 0] for order in orders}
    assert len(sums) == 1


def test_samples_name_their_clusters_unless_others_are_given():
    rows = [row.model_copy(update={"cluster": "x" if n else None}) for n, row in enumerate(samples([1.0, 0.0, 1.0]))]
    assert cluster_by_item(rows) == {"1": "x", "2": "x"}
    assert cluster_by_item(samples([1.0]), rows) == {"1": "x", "2": "x"}
    assert clusters_from_samples(ACCURACY, rows).table.tolist() == [[1.0, 1.0], [1.0, 2.0]]
    assert clusters_from_samples(ACCURACY, rows, clusters={}).table.tolist() == [[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]


def test_labels_are_counted_over_all_samples_and_from_0():
    first, second = samples([(0, 1), (0, 0)]), samples([(0, 2), (0, 0)])
    assert (label_count(MACRO_F1, first), label_count(MACRO_F1, first, second)) == (2, 3)
    assert label_count(MEAN, samples([0.5])) == 0
    assert clusters_from_samples(MACRO_F1, first).table.tolist() == [[1, 0, 0, 1, 0, 0], [1, 0, 1, 0, 1, 0]]
    assert clusters_from_samples(MACRO_F1, first, labels=3).table.shape == (2, 9)


def test_samples_without_a_value_are_left_out():
    rows = samples([1.0, None, 0.0])
    rows.append(rows[0].model_copy(update={"id": "3", "metrics": {}}))
    assert [row.id for row in with_value(ACCURACY, rows)] == ["0", "2"]


def test_bits_per_byte_and_ratios_take_pairs_as_they_are():
    for kind in ("perplexity", "bits_per_byte", "ratio"):
        result = clusters_from_values(kind, np.array([[-3.0, 2.0], [-4.0, 5.0]]), ["a", "b"], ["a", "b"])
        assert isinstance(result, Clusters)
        assert result.table.tolist() == [[-3.0, 2.0], [-4.0, 5.0]]


def test_a_confidence_is_in_one_of_ten_bins():
    metric = MetricInfo(key="m", title="ECE", kind="ece")
    (row,) = clusters_from_samples(metric, samples([(0.35, 1.0)])).table
    assert row.tolist() == pytest.approx([0.0] * 3 + [-0.65] + [0.0] * 9 + [1.0] + [0.0] * 9 + [1.0] + [0.0] * 6)
