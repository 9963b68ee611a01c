"""Means and ratios of sums: jackknife, t, studentised bootstrap and cautions against plain formulas."""

import math
import time

import numpy as np
import pytest
from scipy import stats

from harness.stats import compare, interval, score_interval, wilson_interval
from reports.comparison.ratios import Ratios, caution, infer

GENERATOR = np.random.default_rng(0)
STATE = GENERATOR.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers():
    GENERATOR.bit_generator.state = STATE


def mean_of(values):
    column = np.asarray(values, dtype=float)[:, None]
    return Ratios(column, np.ones_like(column), (1.0,))


def difference_of(before, after):
    table = np.column_stack([before, after]).astype(float)
    return Ratios(table, np.ones_like(table), (-1.0, 1.0))


def inferred(ratios, **options):
    return infer(ratios, seed=0, **{"lowest": -math.inf, "highest": math.inf} | options)


def test_the_standard_error_of_a_mean_is_the_usual_one_with_n_minus_1_degrees_of_freedom():
    values = GENERATOR.normal(3, 1, 40)
    inference = inferred(mean_of(values))
    assert inference.estimate == pytest.approx(values.mean())
    assert inference.standard_error == pytest.approx(stats.sem(values))
    assert inference.degrees_of_freedom == pytest.approx(39)
    assert inference.test == "studentised bootstrap and t"


def test_the_interval_is_at_least_students_and_near_it_for_normal_values():
    values = GENERATOR.normal(3, 1, 60)
    low, high = inferred(mean_of(values)).ends(0.05)
    expected = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    assert low <= expected[0] + 1e-12
    assert high >= expected[1] - 1e-12
    assert (high - low) / (expected[1] - expected[0]) == pytest.approx(1.05, abs=0.06)


def test_the_interval_reaches_farther_to_the_side_of_the_long_tail():
    values = GENERATOR.lognormal(0, 1, 50)
    inference = inferred(mean_of(values))
    low, high = inference.ends(0.05)
    half = stats.t.isf(0.025, 49) * stats.sem(values)
    assert low == pytest.approx(inference.estimate - half)
    assert high > inference.estimate + 1.05 * half
    mirrored = inferred(mean_of(-values)).ends(0.05)
    assert mirrored[1] == pytest.approx(-low)
    assert mirrored[0] < -inference.estimate - 1.05 * half


def test_the_quantiles_of_the_bootstrap_are_those_of_the_level():
    """The draws of a large normal sample are Student's t."""
    draws = mean_of(GENERATOR.normal(0, 1, 400)).studentised(1)
    assert len(draws) == 2500
    assert (np.diff(draws) >= 0).all()
    assert np.quantile(draws, [0.025, 0.5, 0.975]) == pytest.approx([-1.96, 0, 1.96], abs=0.12)


def test_perplexity_and_bits_per_byte_are_functions_of_the_ratio_of_sums():
    tops, bottoms = np.array([[-30.0], [-8.0], [-50.0]]), np.array([[10.0], [4.0], [25.0]])
    assert Ratios(tops, bottoms, (1.0,), "exp").estimate == pytest.approx(math.exp(88 / 39))
    assert Ratios(tops, bottoms, (1.0,), "bits").estimate == pytest.approx(88 / 39 / math.log(2))
    assert Ratios(tops, bottoms, (1.0,)).estimate == pytest.approx(-88 / 39)


@pytest.mark.parametrize("link", ["identity", "exp", "bits"])
def test_the_influence_is_the_derivative_by_the_weight_of_a_unit(link):
    tops, bottoms = -GENERATOR.random((12, 2)) * 20, GENERATOR.random((12, 2)) * 9 + 5
    ratios = Ratios(tops, bottoms, (-1.0, 1.0), link)
    step = 1e-6
    for unit in (0, 7):
        moved = float(ratios.value(tops.sum(0) + step * tops[unit], bottoms.sum(0) + step * bottoms[unit]))
        assert ratios.influence()[unit] == pytest.approx((moved - ratios.estimate) / step, rel=1e-3)
    assert ratios.influence().sum() == pytest.approx(0, abs=1e-9)


def test_the_jackknife_leaves_out_one_unit_at_a_time():
    tops, bottoms = -GENERATOR.random((9, 1)) * 20, GENERATOR.random((9, 1)) * 9 + 5
    left = [math.exp(-np.delete(tops, unit).sum() / np.delete(bottoms, unit).sum()) for unit in range(9)]
    expected = math.sqrt(8 / 9 * sum((value - np.mean(left)) ** 2 for value in left))
    assert Ratios(tops, bottoms, (1.0,), "exp").jackknife_error() == pytest.approx(expected)


def test_heavy_units_cost_degrees_of_freedom():
    bottoms = np.array([10.0, *[1.0] * 10])[:, None]
    ratios = Ratios(bottoms * GENERATOR.random((11, 1)), bottoms, (1.0,))
    assert inferred(ratios).degrees_of_freedom == pytest.approx(20**2 / (100 + 10) - 1)
    alone = np.array([100.0, 1.0, 1.0, 1.0, 1.0, 1.0])[:, None]
    assert inferred(Ratios(alone * GENERATOR.random((6, 1)), alone, (1.0,))).degrees_of_freedom == 1.0


def test_intervals_stay_within_what_the_metric_can_be():
    low, high = inferred(mean_of([0.0] * 7 + [0.1, 0.9, 1.0]), lowest=0.0, highest=1.0).ends(1e-6)
    assert (low, high) == (0.0, 1.0)
    assert inferred(mean_of(GENERATOR.random(9)), lowest=0.4, highest=0.5).ends(1e-6) == (0.4, 0.5)


def test_beyond_the_last_draw_the_extreme_one_counts_so_that_intervals_stay_nested():
    inference = inferred(mean_of(GENERATOR.lognormal(0, 1.5, 30)))
    highs = [inference.ends(level)[1] for level in (0.01, 6e-4, 4e-4, 1e-4)]
    assert highs == sorted(highs)


def test_two_values_are_a_share_and_a_gain_and_a_loss_of_one_size_are_right_and_wrong():
    single = interval([2.0] * 3 + [5.0] * 7, kind="mean")
    exact = stats.binomtest(7, 10).proportion_ci()  # Clopper and Pearson
    assert (single.low, single.high) == pytest.approx((2 + 3 * exact.low, 2 + 3 * exact.high))
    assert single.caution == "3 of 10 items differ from all others"
    assert interval([2.0] * 5 + [5.0] * 7, kind="mean").caution == ""
    seen_once = interval([2.0] * 9 + [5.0], kind="mean")
    half = stats.t.isf(0.025, 9) * 0.3  # a value that was seen once is no bound
    assert seen_once.low == pytest.approx(2.3 - half)
    seen_twice = interval([2.0] * 8 + [5.0] * 2, kind="mean")
    assert seen_twice.low == pytest.approx(2 + 3 * stats.binomtest(2, 10).proportion_ci().low)
    before, after = [0.0] * 5 + [0.4] * 2 + [0.1] * 8, [0.4] * 5 + [0.0] * 2 + [0.1] * 8
    pair = compare(before, after, kind="mean")
    assert (pair.low, pair.high) == pytest.approx(tuple(0.4 * end for end in score_interval(5, 2, 15)))
    assert pair.p_value == pytest.approx(0.2568393)
    assert pair.test == "score test (McNemar, Tango)"
    one_sided = compare([0.0] * 12, [0.0] * 6 + [0.2] * 6, kind="mean")
    assert (one_sided.low, one_sided.high) == pytest.approx(tuple(0.2 * end for end in score_interval(6, 0, 12)))


def test_differences_that_all_point_one_way_by_two_sizes_are_no_share():
    pair = compare([0.0] * 12, [0.1] * 6 + [0.2] * 6, kind="mean")
    assert pair.test == "studentised bootstrap and t"
    assert compare([0.0] * 12, [-0.1] * 6 + [0.2] * 6, kind="mean").test == "exact binomial test"


def test_equal_values_leave_room_for_an_unseen_share_of_items():
    unseen = wilson_interval(0, 10)[1]
    within = interval([0.25] * 10, kind="mean")
    assert (within.low, within.high) == pytest.approx((0.25 - 0.25 * unseen, 0.25 + 0.75 * unseen))
    unbounded = interval([4.0] * 10, kind="mean")
    assert (unbounded.low, unbounded.high) == pytest.approx((4 - 4 * unseen, 4 + 4 * unseen))
    assert within.caution == "all items have the same value"
    pair = compare([0.2] * 10, [0.5] * 10, kind="mean")
    assert (pair.low, pair.high) == pytest.approx((0.3 - 1.3 * unseen, 0.3 + 0.7 * unseen))


def test_a_few_items_cannot_be_more_certain_than_a_sign_test():
    for items, least in ((5, 2**-4), (6, 2**-5)):
        pair = compare(
            [0.1 * number for number in range(items)], [0.1 * number + 5 for number in range(items)], kind="mean"
        )
        assert pair.p_value == pytest.approx(least)
    uneven = compare(list(GENERATOR.random(6)), list(GENERATOR.random(6) + 50), kind="mean")
    assert uneven.p_value == pytest.approx(2**-5)
    assert uneven.outcome == "better"


def test_fewer_than_five_means_are_flagged_and_one_has_no_interval():
    few = interval([0.1, 0.2, 0.3, 0.4], kind="mean")
    half = stats.t.isf(0.025, 3) * np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2
    assert few.low <= 0.25 - half
    assert (few.low, few.high) == pytest.approx((0.0264, 0.4736), abs=1e-3)
    assert few.caution == "only 4 independent items"
    assert interval([0.1, 0.2, 0.3, 0.4, 0.5], kind="mean").caution == ""
    one = interval([0.1], kind="mean")
    assert (one.low, one.high, one.caution) == (None, None, "no interval can be computed")
    pair = compare([0.1, 0.2, 0.3, 0.4], [0.9] * 4, kind="mean")
    assert pair.outcome == "inconclusive"
    assert pair.p_value == pytest.approx(2**-3)
    assert pair.caution == "only 4 independent items"


def test_cautions_name_what_is_wrong():
    even = np.full(20, 1 / 20)
    normal = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    assert caution(normal, even, clustered=False) == ""
    assert caution(normal[:9], even[:9], clustered=True) == "only 9 independent groups of items"
    assert caution(normal[:10], even[:10], clustered=True) == ""
    heavy = np.array([0.4, *[0.6 / 19] * 19])
    assert caution(normal, heavy, clustered=False) == "one item carries 40% of the weight"
    assert caution(normal, np.array([1 / 3, *[2 / 57] * 19]), clustered=False) == ""
    skewed = np.array([-1.0] * 99 + [99.0])
    message = "the values are very skewed: a few items decide"
    assert caution(skewed, np.full(100, 0.01), clustered=False) == message
    assert caution(-skewed, np.full(100, 0.01), clustered=False) == message
    assert caution(np.zeros(9), np.full(9, 1 / 9), clustered=False) == ""


def test_groups_whose_means_are_alike_are_flagged_too():
    values = [0.0, 1.0] * 8
    found = interval(values, kind="mean", clusters=[number // 2 for number in range(16)])
    assert found.caution == "only 8 independent groups of items"
    shares = interval([0.0] * 8 + [1.0] * 8, kind="mean", clusters=[number // 2 for number in range(16)])
    assert shares.caution == "only 8 independent groups of items"


@pytest.mark.parametrize("nats", [12.0, 180.0, 400.0, 690.0, 900.0])
def test_a_model_that_fell_apart_is_worse_in_perplexity_however_large_it_is(nats):
    tokens = np.full(12, 10.0)
    sound = np.column_stack([-tokens * GENERATOR.uniform(2, 3, 12), tokens])
    apart = np.column_stack([-tokens * nats * GENERATOR.uniform(1, 1.1, 12), tokens])
    pair = compare(sound, apart, kind="perplexity", higher_is_better=False)
    assert pair.outcome == "worse"
    assert 0 < pair.low < pair.high < math.inf
    assert compare(apart, sound, kind="perplexity", higher_is_better=False).outcome == "better"
    assert pair.p_value == pytest.approx(2.0**-11)


def test_the_interval_of_a_far_greater_perplexity_is_its_own_less_the_other():
    tokens = np.full(30, 10.0)
    sound, apart = (np.column_stack([-tokens * GENERATOR.normal(mean, 0.2, 30), tokens]) for mean in (2.0, 12.0))
    pair = compare(sound, apart, kind="perplexity", higher_is_better=False)
    own, other = interval(apart, kind="perplexity"), interval(sound, kind="perplexity")
    assert (pair.low, pair.high) == pytest.approx((own.low - other.value, own.high - other.value))


def test_units_without_a_denominator_carry_nothing():
    values = np.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [2.0, 4.0], [1.0, 3.0], [5.0, 6.0]])
    found = interval(values, kind="ratio")
    assert found.value == pytest.approx(12 / 19)
    assert found.low < 12 / 19 < found.high
    assert interval([[0.0, 0.0]] * 6, kind="ratio").low is None


def test_twenty_thousand_items_are_compared_within_a_second():
    before, after = GENERATOR.random((2, 20_000))
    start = time.process_time()
    pair = compare(before, after, kind="mean")
    assert time.process_time() - start < 1.5  # 0.6 on the machine it was written on
    assert pair.outcome == "equivalent"


@pytest.mark.parametrize(("draw", "least"), [("normal", 0.93), ("exponential", 0.91)])
def test_intervals_of_means_cover(draw, least):
    generator = np.random.default_rng(3)
    truth = {"normal": 0.0, "exponential": 1.0}[draw]
    hits = 0
    for _ in range(150):
        low, high = inferred(mean_of(getattr(generator, draw)(size=20))).ends(0.05)
        hits += low <= truth <= high
    assert hits / 150 >= least


def test_each_draw_is_studentised_by_the_influence_in_its_resample():
    tops, bottoms = -GENERATOR.random((8, 2)) * 20, GENERATOR.random((8, 2)) * 9 + 5
    ratios = Ratios(tops, bottoms, (-1.0, 1.0), "bits")
    places = np.random.default_rng(5).integers(0, 8, (4000, 8))
    least = 0.35 * math.sqrt((ratios.influence() ** 2).sum())
    draws = []
    for rows in places:
        drawn = Ratios(tops[rows], bottoms[rows], (-1.0, 1.0), "bits")
        error = max(math.sqrt((drawn.influence() ** 2).sum()), least) * math.sqrt(8 / 7)
        draws.append((drawn.estimate - ratios.estimate) / error)
    assert ratios.studentised(5) == pytest.approx(np.sort(draws), abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_ends_are_the_quantiles_of_the_draws_where_they_lie_farther_out(sign):
    ratios = mean_of(sign * GENERATOR.lognormal(0, 2, 30)).in_fixed_order()
    draws, error = ratios.studentised(0), math.sqrt((ratios.influence() ** 2).sum() * 30 / 29)
    for level, place in ((0.05, 100), (0.01, 20), (1e-6, 0)):
        low, high = inferred(ratios).ends(level)
        half = stats.t.isf(level / 2, 29) * error
        assert high == pytest.approx(ratios.estimate + max(half, -draws[place] * error))
        assert low == pytest.approx(ratios.estimate - max(half, draws[3999 - place] * error))
        assert max(high - ratios.estimate, ratios.estimate - low) > half or level < 0.01


@pytest.mark.parametrize(
    ("rarer", "items", "is_flagged"),
    [(4, 60, True), (5, 60, False), (10, 49, True), (10, 50, False), (6, 20, True), (5, 16, False)],
)
def test_shares_of_a_rare_value_are_flagged(rarer, items, is_flagged):
    message = f"{rarer} of {items} items differ from all others" if is_flagged else ""
    assert interval([2.0] * (items - rarer) + [5.0] * rarer, kind="mean").caution == message
    assert interval([5.0] * (items - rarer) + [2.0] * rarer, kind="mean").caution == message


def test_one_outlier_of_twenty_items_is_skewed_and_of_nineteen_cannot_be_judged():
    even = np.full(20, 1 / 20)
    assert caution(np.array([-1.0] * 19 + [19.0]), even, clustered=False).startswith(
        "the values are very skewed"
    )  # 4.13
    assert caution(np.array([-1.0] * 18 + [18.0]), np.full(19, 1 / 19), clustered=False) == ""
    assert caution(np.array([-1.0] * 18 + [2.0, 16.0]), even, clustered=False) == ""  # 3.94


def test_models_that_exchange_their_values_get_a_symmetric_interval():
    """Every pair of values occurs the other way round too, so that exchanging the models changes nothing."""
    one, other = [1.0, 2.0, 7.0, 3.0, 5.0, 11.0], [4.0, 2.5, 1.0, 3.5, 9.0, 6.0]
    inference = inferred(difference_of([*one, *other], [*other, *one]))
    low, high = inference.ends(0.05)
    assert inference.estimate == 0
    assert low == -high
    assert high > 1


def test_the_bounds_of_a_difference_turn_with_it():
    before, after = GENERATOR.random((2, 9))
    ends = inferred(difference_of(before, after), lowest=-0.1, highest=0.3).ends(1e-6)
    turned = inferred(difference_of(after, before), lowest=-0.3, highest=0.1).ends(1e-6)
    assert (ends, turned) == ((-0.1, 0.3), (-0.3, 0.1))


def test_the_smallest_p_value_of_a_difference_is_that_of_a_sign_test_of_at_most_sixty_items():
    assert inferred(difference_of(*GENERATOR.random((2, 9)))).least_p == 2**-8
    assert inferred(difference_of(*GENERATOR.random((2, 70)))).least_p == 2**-59
    same = GENERATOR.random(9)
    assert inferred(difference_of(same, same)).least_p == 1.0
    assert inferred(mean_of(same)).least_p == 0.0


@pytest.mark.parametrize(("items", "resamples"), [(100, 4000), (250, 4000), (500, 2000), (3000, 1000)])
def test_many_items_are_resampled_less_often(items, resamples):
    draws = mean_of(GENERATOR.normal(0, 1, items)).studentised(1)
    assert len(draws) == len(set(draws)) == resamples
    assert draws.std() == pytest.approx(1, abs=0.06)
