"""The independent units of items."""

import numpy as np

from reports.gate.inputs import ItemScore
from reports.gate.units import members, units_of
from tests.reports.gate.examples import ROUGE


def item(name, value, cluster=None, repeat=0):
    return ItemScore(id=name, doc_hash=name, metrics={"m": value}, cluster=cluster, repeat=repeat)


def test_items_of_one_cluster_and_repeats_are_one_unit_with_their_mean():
    items = [item("b", 0.2), item("a", 0.4, "c"), item("d", 0.9, "c"), item("b", 0.6, repeat=1)]
    units = units_of(ROUGE, items)
    assert units.table.tolist() == [[0.4, 1.0], [1.3, 2.0]]  # b, then c
    assert members(items) == [[0, 3], [1, 2]]


def test_the_units_are_those_of_the_other_model():
    """A run names a cluster only if it asks more than one item of it."""
    ours, theirs = [item("a", 0.2, "z"), item("b", 0.4, "z")], [item("b", 0.3), item("a", 0.1)]
    assert units_of(ROUGE, theirs).table.tolist() == [[0.1, 1.0], [0.3, 1.0]]
    np.testing.assert_allclose(units_of(ROUGE, theirs, ours).table, [[0.4, 2.0]])


def test_macro_f1_counts_the_labels_of_both_models():
    metric = ROUGE.model_copy(update={"kind": "macro_f1"})
    pairs = [item("a", (0.0, 1.0))]
    assert units_of(metric, pairs).table.tolist() == [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]
    assert units_of(metric, pairs, labels=3).table.tolist() == [[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]]
