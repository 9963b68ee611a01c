"""Rows of the table of comparisons at their edges: what is shown where little or nothing can be computed."""

import math

import numpy as np
import pytest
from scipy import stats

from reports.comparison.compare_models import Tested as Draft
from reports.comparison.compare_models import compare, compare_pool, finite_ends, judge, score, score_pool
from reports.comparison.inference import Inference
from reports.document.schema import Comparison
from tests.reports.comparison.test_compare_models import ACCURACY, ECE, MACRO_F1, MEAN, PERPLEXITY, flips, samples

OTHER = MEAN.model_copy(update={"kind": "other"})


def draft(**facts):
    names = {"task": "t", "metric": "m", "baseline": "base", "candidate": "new", "n": 12, "outcome": "inconclusive"}
    return Comparison(**names | {"difference": 0.1, "units": 12, "relevant": 0.05} | facts)


def normal(estimate, error, **facts):
    """An inference with a normal interval."""

    def ends(level):
        half = float(stats.norm.isf(level / 2)) * error
        return estimate - half, estimate + half

    return Inference(estimate, ends, "z-test", error, **facts)


def judged(inference, metric=MEAN, **facts):
    (row,) = judge([Draft(draft(**facts), metric, inference)])
    return row


def test_a_score_names_its_model_task_and_metric():
    result = score(MEAN, samples([0.2, 0.4, 0.9], "new"), None, seed=0)
    assert (result.model, result.task, result.metric, result.value, result.n) == ("new", "t", "m", 0.5, 3)
    assert (result.repeats, result.spread, result.caution) == (1, None, "only 3 independent items")


def test_a_score_without_values_of_items_counts_the_items():
    rows = samples([None] * 4)
    rows += [row.model_copy(update={"repeat": 1}) for row in rows]
    result = score(OTHER, rows, 0.3, seed=0)
    assert (result.value, result.n, result.low, result.repeats) == (0.3, 4, None, 1)
    assert score(MEAN, rows, None, seed=0).value is None
    pooled = score_pool(OTHER, "mean", [rows, rows], 0.3)
    assert (pooled.model, pooled.value, pooled.n, pooled.low, pooled.repeats) == ("mean", 0.3, 4, None, 1)
    assert score_pool(MEAN, "mean", [rows, rows], 0.3).value == 0.3


def test_the_second_answers_are_scored_without_those_of_the_first():
    rows = samples([1.0, 0.0, 1.0, 1.0])
    again = [row.model_copy(update={"repeat": 1, "metrics": {"m": 0.0}}) for row in rows]
    result = score(ACCURACY, rows + again, 0.9, seed=0)
    assert result.value == 0.375
    assert result.spread == pytest.approx(np.std([0.75, 0.0], ddof=1))


def test_a_score_that_lm_eval_does_not_report_is_computed_by_its_kind():
    assert score(PERPLEXITY, samples([(-20.0, 10.0), (-30.0, 15.0)]), None, seed=0).value == pytest.approx(math.exp(2))
    assert score(MACRO_F1, samples([(0, 0), (1, 1), (1, 0)]), None, seed=0).value == pytest.approx(2 / 3)


def test_scores_that_are_no_numbers_are_left_out():
    result = score(PERPLEXITY, samples([(0.0, 0.0), (0.0, 0.0)]), None, seed=0)
    assert (result.value, result.low, result.high) == (None, None, None)


def test_macro_f1_of_two_models_counts_the_labels_of_both():
    gold = [0, 1] * 10
    before = [(label, label) for label in gold]
    after = [(0, 2), *before[1:]]
    tested, unpaired = compare(MACRO_F1, samples(before), samples(after, "new"), seed=0)
    assert tested.comparison.difference == pytest.approx((18 / 19 + 1) / 2 - 1)
    assert (tested.comparison.differing, tested.comparison.discordant, unpaired) == (1, None, [])


def test_items_that_only_one_of_a_pool_and_its_baseline_has():
    members = [samples([0.5, 0.6, 0.7, 0.9], "a"), samples([0.6, 0.6, 0.9], "b")]
    tested, unpaired = compare_pool(MEAN, samples([0.1, 0.2, 0.3, 0.4, 0.5]), "mean", members)
    assert (tested.comparison.n, tested.comparison.candidate, unpaired) == (3, "mean", ["3", "4"])
    assert tested.comparison.difference == pytest.approx(0.65 - 0.2)
    assert tested.comparison.units == 3


def test_a_pool_that_shares_no_item_with_its_baseline_is_not_compared():
    other = [row.model_copy(update={"id": f"x{row.id}"}) for row in samples([0.5, 0.6], "a")]
    tested, unpaired = compare_pool(MEAN, samples([0.1, 0.2]), "mean", [other])
    assert (tested.comparison.outcome, tested.inference, unpaired) == ("not compared", None, ["0", "1", "x0", "x1"])
    (row,) = judge([tested])
    assert (row.outcome, row.difference, row.n) == ("not compared", None, 0)


def test_two_items_of_a_pool_have_an_interval():
    members = [samples([0.5, 0.6], "a"), samples([0.6, 0.8], "b")]
    (row,) = judge([compare_pool(MEAN, samples([0.1, 0.2]), "mean", members)[0]])
    assert (row.n, row.caution, row.low is not None) == (2, "", True)


def test_the_smallest_relevant_difference_of_a_share_is_in_its_unit_and_else_a_share_of_the_baseline():
    assert compare(MEAN, samples([0.5] * 4), samples([0.7] * 4), seed=0)[0].comparison.relevant == 0.05
    texts = samples([(-20.0, 10.0)] * 4)
    assert compare(PERPLEXITY, texts, texts, seed=0)[0].comparison.relevant == pytest.approx(0.05 * math.exp(2))


def test_an_inconclusive_row_plans_whole_items_unless_told_not_to():
    tested = flips(2, 1, 20)
    grouped = Draft(tested.comparison.model_copy(update={"n": 30}), tested.metric, tested.inference)
    (alone,), (row,) = judge([tested]), judge([grouped])
    assert row.items_needed == math.ceil(alone.items_needed * 30 / 20)  # 20 units of one and a half items
    assert judge([tested], plan=False)[0].items_needed is None
    described = Draft(tested.comparison, ACCURACY.model_copy(update={"descriptive": True}), tested.inference)
    assert judge([described])[0].items_needed is None
    assert (
        judge([Draft(tested.comparison.model_copy(update={"relevant": None}), ACCURACY, tested.inference)])[
            0
        ].items_needed
        is None
    )


def test_a_row_holds_what_was_inferred():
    row = judged(normal(0.1, 0.02, degrees_of_freedom=7.0, caution="careful"))
    half = stats.norm.isf(0.025) * 0.02
    assert (row.low, row.high) == pytest.approx((0.1 - half, 0.1 + half))
    assert row.p_value == row.p_adjusted == pytest.approx(2 * stats.norm.sf(5), rel=1e-6)
    assert (row.standard_error, row.degrees_of_freedom, row.caution, row.test) == (0.02, 7.0, "careful", "z-test")
    assert (row.effect_size, row.outcome) == (pytest.approx(0.1 / (0.02 * math.sqrt(12))), "better")


def test_effect_sizes_where_nothing_varies_are_0():
    assert judged(normal(0.1, 0.0)).effect_size == 0.0
    assert judged(normal(0.0, 0.02), discordant=(0, 0)).effect_size == 0.0
    assert judged(normal(0.0, 0.02), discordant=(1, 3)).effect_size == -0.25


def test_rows_without_an_interval_say_why():
    assert judged(None).caution == "no interval can be computed"
    assert judged(None, units=1).caution == "fewer than 2 items"
    assert judged(None, units=None).caution == "fewer than 2 items"
    assert (judged(None).outcome, judged(None, differing=0).outcome) == ("inconclusive", "identical")
    described = judged(None, metric=ECE)
    assert (described.outcome, described.caution) == ("not tested", "")
    assert judged(None, metric=ECE.model_copy(update={"descriptive": False})).outcome == "not tested"
    assert judged(None, metric=MEAN.model_copy(update={"descriptive": True})).outcome == "not tested"


def test_a_descriptive_row_in_which_nothing_differs_is_identical():
    row = judged(normal(0.0, 0.01), metric=MEAN.model_copy(update={"descriptive": True}), differing=0)
    assert (row.outcome, row.p_value, row.caution) == ("identical", None, "")


def test_an_interval_needs_two_different_finite_ends():
    assert finite_ends(None, 0.05) == (None, None)
    assert finite_ends(normal(0.1, 0.0), 0.05) == (None, None)
    assert finite_ends(Inference(0.0, lambda level: (-math.inf, level), "", 1.0), 0.05) == (None, 0.05)


def test_secondary_rows_are_a_family_of_their_own_with_no_unlisted_ones():
    first, second = flips(9, 2, 60), flips(9, 2, 60)
    secondary = ACCURACY.model_copy(update={"secondary": True})
    rows = judge([first, Draft(second.comparison, secondary, second.inference)], others=1)
    assert [row.level for row in rows] == [0.025, 0.05]
    assert rows[0].p_adjusted == pytest.approx(2 * rows[0].p_value)
