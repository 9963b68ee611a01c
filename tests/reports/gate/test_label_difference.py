"""Differences of macro-F1: no loss is ruled out while a label is too rare to show one."""

import math

import numpy as np
import pytest

from benchmarks import gate_simulation
from reports.comparison.label_f1 import macro_f1_difference
from reports.comparison.proportions import wilson_interval
from reports.comparison.sums import clusters_from_values
from reports.gate.estimate import paired
from reports.gate.label_difference import label_difference

MARGIN, NO_LABEL = -0.05, 3


def clusters(gold, predicted):
    ids = [f"{number:04}" for number in range(len(gold))]
    return clusters_from_values("macro_f1", np.stack([gold, predicted], 1).astype(float), ids, ids, labels=4)


def models(common, rare, *, lost=0, gained=0):
    """Two models that miss every tenth item, and differ by losses and gains of the second among common ones."""
    gold = np.array([0] * common + [1] * common + [2] * rare)
    both = np.where(np.arange(len(gold)) % 10 == 9, NO_LABEL, gold)
    before, after = both.copy(), both.copy()
    after[:lost] = NO_LABEL
    before[lost : lost + gained] = NO_LABEL
    return clusters(gold, before), clusters(gold, after)


def test_it_is_the_jackknife_joined_with_the_interval_by_labels():
    before, after = models(60, 20, lost=4)  # of 54 right answers among 60
    difference = label_difference(before, after)
    jackknife, inference = paired("macro_f1", before.table, after.table), macro_f1_difference(before, after)
    assert difference.value == pytest.approx((2 * 50 / (50 + 60) - 2 * 54 / (54 + 60)) / 3)
    assert (difference.items, difference.differing, difference.caution) == (140, 4, "")
    for limit in (-0.1, -0.05, -0.02):
        p_values = jackknife.p_above(limit), inference.p_value(limit) / 2
        assert difference.p_above(limit) == (max(p_values) if difference.value > limit else 1.0)
    ends = jackknife.bounds(0.95), inference.ends(0.1)
    assert difference.bounds(0.95) == pytest.approx((min(low for low, _ in ends), max(high for _, high in ends)))


@pytest.mark.parametrize(("rare", "is_ruled_out"), [(1, False), (9, False), (10, True)])
def test_a_loss_is_ruled_out_only_with_ten_items_of_the_rarest_label(rare, is_ruled_out):
    difference = label_difference(*models(300, rare))
    assert (difference.p_above(-0.2) < 0.05, difference.p_below(0.2) < 0.05) == (is_ruled_out, is_ruled_out)
    assert (difference.bounds(0.95)[0] > -0.2) == is_ruled_out
    assert difference.caution == ("" if is_ruled_out else f"only {rare} items of the rarest label, it takes 10")


def test_a_large_change_is_shown_also_with_few_items_of_a_rare_label():
    lost, gained = label_difference(*models(300, 3, lost=290)), label_difference(*models(300, 3, gained=290))
    assert lost.p_below(0.0) < 0.001
    assert gained.p_above(0.0) < 0.001
    assert lost.bounds(0.95) == pytest.approx((-1.0, -0.19), abs=0.005)
    assert gained.bounds(0.95) == pytest.approx((0.19, 1.0), abs=0.005)


def test_lower_is_better_mirrors_it():
    sides = models(300, 20, lost=9, gained=2)
    plain, turned = label_difference(*sides), label_difference(*sides, sign=-1)
    assert turned.value == -plain.value
    assert turned.p_above(-0.05) == plain.p_below(0.05)
    assert turned.bounds(0.95) == tuple(-end for end in reversed(plain.bounds(0.95)))


def test_the_items_needed_have_ten_of_the_rarest_label_by_the_lower_limit_of_its_share():
    difference = label_difference(*models(50, 4, lost=1))
    share, _ = wilson_interval(4, 104, 0.1)
    assert difference.items_to_exceed(-0.3, 0.0, 0.95, 0.8) == math.ceil(10 / share)
    assert difference.items_to_exceed(0.0, 0.0, 0.95, 0.8) is None


def test_items_of_one_source_are_one_unit_in_both_tests():
    gold = np.repeat([0, 1, 2], 40)
    after = gold.copy()
    after[:12] = NO_LABEL
    values = [np.stack([gold, predicted], 1).astype(float) for predicted in (gold, after)]
    ids = [f"{number:04}" for number in range(120)]
    alone, grouped = (
        label_difference(*(clusters_from_values("macro_f1", side, ids, sources, labels=4) for side in values))
        for sources in (ids, [name[:3] for name in ids])
    )
    assert (alone.items, grouped.items) == (120, 12)
    assert grouped.p_below(0.0) > 10 * alone.p_below(0.0)


@pytest.mark.parametrize("items", [50, 200])
def test_a_loss_of_the_margin_on_a_rare_label_seldom_passes(items):
    shares = gate_simulation.simulate("macro_f1_of_a_rare_label", items, 200)
    assert shares["non_inferiority"] <= 0.05


def test_the_jackknife_alone_passes_many_of_them():
    metric, draw = gate_simulation.METRICS["macro_f1_of_a_rare_label"]
    passed = []
    for seed in range(200):
        before, after = (clusters(*side.T) for side in draw(np.random.default_rng(seed), 50, 0.05))
        passed.append(paired(metric.kind, before.table, after.table).p_above(MARGIN) < 0.05)
    assert np.mean(passed) > 0.3
