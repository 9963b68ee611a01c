"""Pools of adapters that differ by their seed: as unsure as their items and their seeds together."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from harness.stats import wilson_interval
from reports.comparison.compare_models import compare_pool, compare_pools, judge, score_pool
from reports.comparison.pools import Pool, pool, pool_inference
from tests.reports.comparison.test_compare_models import ACCURACY, ECE, LENGTH, MACRO_F1, MEAN, PERPLEXITY, samples


def half_width(items, seeds, level=0.05):
    """Half width of the interval of a mean over 40 items and 3 seeds, from the variances over both."""
    return math.sqrt(items * stats.t.isf(level / 2, 39) ** 2 + seeds * stats.t.isf(level / 2, 2) ** 2)


def test_the_intervals_over_items_and_over_seeds_are_combined():
    generator = np.random.default_rng(7)
    before = generator.random(40)
    members = [before + effect + generator.normal(0, 0.2, 40) for effect in (0.1, 0.15, 0.2)]
    tested, _ = compare_pool(MEAN, samples(before), "mean", [samples(list(each), "mean") for each in members])
    (judged,) = judge([tested])
    changes = np.mean(members, axis=0) - before
    items, seeds = changes.var(ddof=1) / 40, np.var([each.mean() for each in members], ddof=1) / 3
    degrees = (items + seeds) ** 2 / (items**2 / 39 + seeds**2 / 2)
    assert judged.difference == pytest.approx(changes.mean())
    assert judged.standard_error == pytest.approx(math.sqrt(items + seeds))
    assert judged.degrees_of_freedom == pytest.approx(degrees)
    half = half_width(items, seeds)
    assert (judged.low, judged.high) == pytest.approx((changes.mean() - half, changes.mean() + half))
    assert half_width(items, seeds, judged.p_value) == pytest.approx(abs(changes.mean()))
    assert (judged.n, judged.test, judged.outcome) == (40, "t-test over items and seeds", "better")


def _mean_of(sums):
    """The mean over adapters of their means, from the sum and the number of items of each."""
    return (sums[..., 0::2] / sums[..., 1::2]).mean(-1)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.15, 0.5])  # between seeds; over 40 items it is 0.16
def test_equal_models_differ_in_five_percent_of_pools_at_any_spread_of_the_seeds(seeds, spread):
    """Also at the level of one of ten tests, which decides after the correction; Satterthwaite's t gives up to 14 %."""
    generator = np.random.default_rng(1000 * seeds + int(100 * spread))
    runs, shown = 800, np.zeros(2)
    for _ in range(runs):
        of_items, of_seeds = generator.normal(0, 1.0, 40), generator.normal(0, spread, seeds)
        members = [of_items + gain for gain in of_seeds]
        table = np.concatenate([np.column_stack([values, np.ones(40)]) for values in members], axis=1)
        scores = [values.mean() for values in members]
        inference = pool_inference(LENGTH, None, Pool(table, 40, scores, _mean_of))
        shown += [not low <= 0 <= high for low, high in map(inference.ends, (0.05, 0.005))]
    for count, level in zip(shown, (0.05, 0.005), strict=True):
        assert stats.binomtest(int(count), runs, level, alternative="greater").pvalue > 0.001, (level, count)


def test_two_pools_are_compared_seed_by_seed():
    """Seeds differ by 0.2, and gain 0.05 to 0.07; only the gains count."""
    generator = np.random.default_rng(8)
    old = [generator.random(40) + level for level in (0.0, 0.2, 0.4)]
    new = [values + gain + generator.normal(0, 0.1, 40) for values, gain in zip(old, (0.05, 0.06, 0.07), strict=True)]
    before, after = ([samples(list(values), "mean") for values in side] for side in (old, new))
    tested, unpaired = compare_pools(MEAN, ("step 20", before), ("step 40", after))
    (judged,) = judge([tested])
    gains = np.mean(new, axis=0) - np.mean(old, axis=0)
    of_seeds = [late.mean() - early.mean() for early, late in zip(old, new, strict=True)]
    items, seeds = gains.var(ddof=1) / 40, np.var(of_seeds, ddof=1) / 3
    assert (judged.baseline, judged.candidate, unpaired) == ("step 20", "step 40", [])
    assert judged.difference == pytest.approx(gains.mean())
    assert judged.standard_error == pytest.approx(math.sqrt(items + seeds))
    assert judged.degrees_of_freedom == pytest.approx((items + seeds) ** 2 / (items**2 / 39 + seeds**2 / 2))
    assert judged.test == "t-test over items and seeds"
    (swapped,) = judge([compare_pools(MEAN, ("step 20", before), ("step 40", after[::-1]))[0]])
    assert swapped.standard_error > 3 * judged.standard_error


def test_adapters_that_differ_much_from_seed_to_seed_show_nothing_however_many_items_there_are():
    generator = np.random.default_rng(7)
    before = generator.random(400)
    members = [before + effect + generator.normal(0, 0.05, 400) for effect in (0.15, -0.05, 0.05)]
    tested, _ = compare_pool(MEAN, samples(before), "mean", [samples(list(each), "mean") for each in members])
    (judged,) = judge([tested])
    assert judged.outcome == "inconclusive"
    assert judged.degrees_of_freedom == pytest.approx(2, rel=0.05)
    assert judged.items_needed is None


def test_the_score_of_a_pool_is_the_mean_of_its_adapters_with_their_spread():
    first, second = samples([0.5] * 10, "mean"), samples([0.7] * 9 + [None], "mean")
    found = score_pool(MEAN, "mean", [first, second], None)
    assert (found.n, found.repeats, found.model) == (9, 2, "mean")
    assert found.value == pytest.approx(0.6)
    assert found.spread == pytest.approx(np.std([0.5, 0.7], ddof=1))
    half = stats.t.isf(0.025, 1) * np.std([0.5, 0.7], ddof=1) / math.sqrt(2)
    assert (found.low, found.high) == pytest.approx((max(0.6 - half, 0), min(0.6 + half, 1)))
    tested, unpaired = compare_pool(MEAN, samples([0.1] * 10), "mean", [first, second])
    assert (tested.comparison.n, unpaired) == (9, ["9"])
    assert tested.comparison.difference == pytest.approx(0.5)


@pytest.mark.parametrize("value", [0.1, 0.7, 1.0])
def test_equal_values_of_equal_adapters_keep_a_width_also_where_sums_are_rounded(value):
    members = [samples([value] * 7, "mean")] * 3
    found = score_pool(MEAN, "mean", members, None)
    unseen = wilson_interval(0, 7)[1]
    assert found.low == pytest.approx(value - unseen if value > unseen else 0.0)
    assert found.high == pytest.approx(min(value + unseen, 1.0))
    (same,) = judge([compare_pool(MEAN, samples([value] * 7), "mean", members)[0]])
    assert (same.difference, same.p_value) == pytest.approx((0.0, 1.0))
    assert same.low == pytest.approx(-unseen)


def test_a_pool_in_which_nothing_differs_costs_the_family_nothing():
    values = list(np.random.default_rng(1).random(12))
    dead, _ = compare_pool(MEAN, samples(values), "mean", [samples(values, "mean")] * 2)
    shifted = [samples([value + shift for value in values], "new") for shift in (0.2, 0.21)]
    alive, _ = compare_pool(MEAN, samples(values), "new", shifted)
    assert [row.level for row in judge([dead, alive])] == [0.05, 0.05]


def test_calibration_error_of_a_pool_is_described_and_not_tested():
    """One seed is as much too sure as the other is too unsure: together they would seem calibrated."""
    base, sure, unsure = (
        samples([(0.75, float(n % 20 < right)) for n in range(20_000)], name)
        for name, right in (("base", 13), ("mean", 11), ("mean", 19))
    )
    found = score_pool(ECE, "mean", [sure, unsure], 0.2)
    assert found.value == pytest.approx(0.2, abs=1e-6)
    assert found.low is None
    (judged,) = judge([compare_pool(ECE, base, "mean", [sure, unsure])[0]])
    assert judged.difference == pytest.approx(0.1, abs=1e-6)
    assert (judged.outcome, judged.p_value) == ("not tested", None)


def test_a_pool_takes_the_clusters_of_both_sides():
    """The pool's runs asked one item of each group only, so that only the baseline's samples name the groups."""
    grouped = [sample.model_copy(update={"cluster": str(n // 4)}) for n, sample in enumerate(samples([0.1, 0.3] * 10))]
    members = [samples([0.2, 0.5, 0.4, 0.8] * 5, "mean"), samples([0.3, 0.5, 0.4, 0.9] * 5, "mean")]
    (judged,) = judge([compare_pool(MEAN, grouped, "mean", members)[0]])
    assert (judged.n, judged.units) == (20, 5)
    assert judged.standard_error == pytest.approx(np.std([0.475, 0.525], ddof=1) / math.sqrt(2))  # all groups alike


def test_adapters_that_all_gain_the_same_on_every_item_are_tested():
    (judged,) = judge([compare_pool(LENGTH, samples([2.0] * 9), "mean", [samples([3.0] * 9, "mean")] * 3)[0]])
    unseen = wilson_interval(0, 9)[1]
    assert (judged.low, judged.high) == pytest.approx((1 - unseen, 1 + unseen))
    assert (judged.outcome, judged.p_value < 0.05) == ("different", True)


def test_adapters_whose_gains_cancel_out_are_tested_too():
    members = [samples([0.5, 0.7] * 5, "mean"), samples([0.7, 0.5] * 5, "mean")]
    tested, _ = compare_pool(MEAN, samples([0.6] * 10), "mean", members)
    assert judge([tested])[0].difference == pytest.approx(0)


def test_a_single_item_has_no_interval():
    members = [samples([1.0], "mean")] * 2
    assert score_pool(ACCURACY, "mean", members, None).low is None
    (judged,) = judge([compare_pool(ACCURACY, samples([0.0]), "mean", members)[0]])
    assert (judged.outcome, judged.caution) == ("inconclusive", "fewer than 2 items")


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("nats", [180.0, 400.0, 690.0])
def test_a_pool_that_fell_apart_is_no_error(nats):
    generator = np.random.default_rng(10)

    def drawn(mean, name):
        return samples([(-10 * float(value), 10) for value in mean * (1 + generator.random(12) / 10)], name)

    members = [drawn(nats, "mean"), drawn(nats * 1.02, "mean")]
    (judged,) = judge([compare_pool(PERPLEXITY, drawn(3.0, "base"), "mean", members)[0]])
    assert judged.outcome in ("worse", "inconclusive")


def test_a_pool_of_one_adapter_has_the_interval_of_its_items():
    values = [0.2, 0.5, 0.4, 0.8, 0.3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score_pool(MEAN, "mean", [samples(values)], None)
    half = stats.t.isf(0.025, 4) * stats.sem(values)
    assert (found.n, found.low, found.high) == pytest.approx((5, 0.44 - half, 0.44 + half))


def test_macro_f1_counts_the_labels_of_all_adapters():
    """The second adapter alone gives label 2, which gold lacks: F1 of 20/21 and 18/19."""
    right = [(n % 2, n % 2) for n in range(20)]
    members = [samples(right, "mean"), samples([*right[:-1], (1, 2)], "mean")]
    found = score_pool(MACRO_F1, "mean", members, None)
    assert found.value == pytest.approx((1 + (1 + 18 / 19) / 2) / 2)
    judged = judge([compare_pool(MACRO_F1, samples(right), "mean", members)[0]])[0]
    assert judged.difference == pytest.approx(found.value - 1)


def test_the_interval_of_a_perplexity_is_around_its_difference():
    tokens, nats = 10.0, np.random.default_rng(3).normal(2.0, 0.1, 30)
    base, first, second = (
        samples([(-tokens * float(value), tokens) for value in nats + shift]) for shift in (0.0, 0.1, 0.2)
    )
    (judged,) = judge([compare_pool(PERPLEXITY, base, "mean", [first, second])[0]])
    expected = math.exp(nats.mean()) * ((math.exp(0.1) + math.exp(0.2)) / 2 - 1)
    assert judged.difference == (judged.low + judged.high) / 2 == pytest.approx(expected)


def test_the_room_for_unseen_items_is_that_of_the_level_and_of_the_size_of_the_gain():
    before, after = samples([2.0] * 9), [samples([5.0] * 9, "mean")] * 3
    (judged,) = judge([compare_pool(LENGTH, before, "mean", after)[0]])
    assert judged.high == pytest.approx(3 + 3 * wilson_interval(0, 9)[1])
    inference = pool_inference(MEAN, None, pool(MEAN, [samples([0.5] * 9)] * 2))
    for level in (0.01, 0.05):
        unseen = wilson_interval(0, 9, level)[1]
        assert inference.ends(level) == pytest.approx((0.5 - unseen, min(0.5 + unseen, 1.0)))


def test_rounding_of_great_values_is_no_spread():
    value = 1e6 + 0.1
    found = score_pool(LENGTH, "mean", [samples([value] * 7)] * 3, None)
    assert found.high == pytest.approx(value * (1 + wilson_interval(0, 7)[1]))


def test_intervals_stay_within_what_a_metric_can_be():
    """Two adapters that differ much have one degree of freedom, and an interval wider than any value."""
    small, great = samples([0.0, 0.1, 0.2], "mean"), samples([5.0, 5.1, 5.2], "mean")
    assert score_pool(LENGTH, "mean", [small, great], None).low == 0.0
    (length,) = judge([compare_pool(LENGTH, samples([6.0, 6.0, 6.1]), "mean", [small, great])[0]])
    assert length.low < -9
    shares = [samples([0.0, 0.1, 0.2], "mean"), samples([0.7, 0.8, 0.9], "mean")]
    (share,) = judge([compare_pool(MEAN, samples([1.0, 0.9, 1.0]), "mean", shares)[0]])
    assert (share.low, share.high) == (-1.0, 1.0)


def test_pools_that_could_show_something_share_the_level():
    values = list(np.random.default_rng(1).random(12))
    gains = [samples([value + shift for value in values], "new") for shift in (0.2, 0.21)]
    alive, _ = compare_pool(MEAN, samples(values), "new", gains)
    same_gain, _ = compare_pool(LENGTH, samples([2.0] * 9), "same gain", [samples([3.0] * 9, "mean")] * 3)
    levels = [row.level for row in judge([alive, alive, same_gain])]
    assert levels == pytest.approx([0.05 / 2, 0.05 / 2, 0.05 / 3])


def test_an_adapters_clusters_are_those_of_all_adapters():
    """The run of the second adapter asked one item of each group only, so that its samples name no group."""
    values = [0.1, 0.3, 0.5, 0.5, 0.2, 0.6]
    first = [row.model_copy(update={"cluster": str(n // 2)}) for n, row in enumerate(samples(values))]
    found = score_pool(MEAN, "mean", [first, samples(values)], None)
    assert found.high == pytest.approx(np.mean(values) + stats.t.isf(0.025, 2) * stats.sem([0.2, 0.5, 0.4]))
