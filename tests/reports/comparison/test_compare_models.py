"""Scores, paired comparisons, their correction and pools of adapters, from samples to the printed row."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.stats import proportion_items_needed, score_interval, score_p_value
from reports.comparison.compare_models import compare, judge, score
from reports.document.schema import MetricInfo, Sample

ACCURACY = MetricInfo(key="m", title="Accuracy", kind="proportion", higher_is_better=True)
PERPLEXITY = MetricInfo(key="m", title="Perplexity", kind="perplexity", higher_is_better=False)
MEAN = MetricInfo(key="m", title="ROUGE-L", kind="mean", higher_is_better=True, percent=True)
LENGTH = MetricInfo(key="m", title="Length", kind="mean", relevant=0.1)
MACRO_F1 = MetricInfo(key="m", title="Macro-F1", kind="macro_f1", higher_is_better=True)
ECE = MetricInfo(key="m", title="ECE", kind="ece", higher_is_better=False, descriptive=True)


def samples(values, model="base"):
    return [
        Sample(
            id=str(n), doc_hash=str(n), model=model, task="t", prompt="p", output="o", gold="g", metrics={"m": value}
        )
        for n, value in enumerate(values)
    ]


def outcome(metric, before, after):
    (judged,) = judge([compare(metric, samples(before), samples(after, "new"), seed=0)[0]])
    return judged


def flips(gained, lost, items, key="m"):
    """A comparison of right and wrong answers with so many of either kind."""
    before = [0.0] * gained + [1.0] * lost + [1.0] * (items - gained - lost)
    after = [1.0] * gained + [0.0] * lost + [1.0] * (items - gained - lost)
    return compare(ACCURACY.model_copy(update={"key": "m"}), samples(before), samples(after, key), seed=0)[0]


def test_a_score_has_its_interval_and_its_number_of_items():
    found = score(ACCURACY, samples([1.0] * 8 + [0.0] * 2), 0.8, seed=0)
    interval = stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.value, found.n, found.repeats, found.spread, found.caution) == (0.8, 10, 1, None, "")


def test_lm_evals_own_score_is_shown_where_there_is_one_and_each_item_was_asked_once():
    assert score(ACCURACY, samples([1.0, 0.0]), 0.75, seed=0).value == 0.75
    assert score(ACCURACY, samples([1.0, 0.0]), None, seed=0).value == 0.5
    other = score(MEAN.model_copy(update={"kind": "other"}), samples([0.1] * 9), 0.3, seed=0)
    assert (other.value, other.low, other.n) == (0.3, None, 9)


def test_repeated_answers_show_how_much_the_score_varies_between_them():
    rows = [
        sample.model_copy(update={"repeat": repeat})
        for repeat, values in enumerate([[0.4, 0.2, 0.6], [0.6, 0.3, 0.9]])
        for sample in samples(values)
    ]
    found = score(MEAN, rows, 0.4, seed=0)
    assert (found.n, found.repeats) == (3, 2)
    assert found.value == pytest.approx(0.5)
    assert found.spread == pytest.approx(np.std([0.4, 0.6], ddof=1))


def test_right_and_wrong_are_compared_by_mcnemar_and_tango():
    judged = outcome(ACCURACY, [1.0] * 10 + [0.0] * 12, [1.0] * 9 + [0.0] + [1.0] * 10 + [0.0] * 2)
    assert judged.p_value == judged.p_adjusted == pytest.approx(stats.chi2.sf(81 / 11, 1))
    assert (judged.low, judged.high) == score_interval(10, 1, 22)
    assert judged.difference == pytest.approx(9 / 22)
    assert (judged.outcome, judged.discordant, judged.differing, judged.units) == ("better", (10, 1), 11, 22)
    assert judged.effect_size == pytest.approx(10 / 11 - 0.5)
    assert (judged.relevant, judged.level, judged.items_needed, judged.degrees_of_freedom) == (0.05, 0.05, None, None)


def test_an_inconclusive_comparison_says_how_many_items_it_takes():
    judged = judge([flips(2, 1, 20)])[0]
    assert judged.outcome == "inconclusive"
    assert judged.items_needed == proportion_items_needed(3, 20, 0.05, 0.05)
    assert judged.p_value == pytest.approx(score_p_value(2, 1, 20))


def test_models_within_the_margin_are_equivalent_and_equal_ones_identical():
    assert outcome(MEAN, [0.5, 0.6] * 500, [0.501, 0.599] * 500).outcome == "equivalent"
    values = list(np.random.default_rng(2).random(40))
    same = outcome(MEAN, values, values)
    assert (same.difference, same.p_value, same.outcome, same.differing, same.caution) == (0.0, 1.0, "identical", 0, "")
    assert same.items_needed is None


def test_undirected_metrics_differ_and_their_margin_is_a_share_of_the_baseline():
    generator = np.random.default_rng(3)
    before = generator.normal(100, 10, 60)
    judged = outcome(LENGTH, list(before), list(before + generator.normal(30, 5, 60)))
    assert judged.outcome == "different"
    assert judged.relevant == pytest.approx(0.1 * before.mean())
    assert judged.effect_size == pytest.approx(judged.difference / (judged.standard_error * math.sqrt(60)))
    from_nothing = outcome(LENGTH, [0.0] * 20, list(before[:20]))
    assert from_nothing.relevant == pytest.approx(0.1 * before[:20].mean())


def test_perplexity_is_compared_by_document_and_lower_is_better():
    generator = np.random.default_rng(1)
    tokens = generator.integers(20, 200, 30)
    before = [(-3.0 * n - float(e), float(n)) for n, e in zip(tokens, generator.normal(0, 5, 30), strict=True)]
    judged = outcome(PERPLEXITY, before, [(logprob + 0.3 * n, n) for logprob, n in before])
    total = sum(logprob for logprob, _ in before) / sum(n for _, n in before)
    assert judged.difference == pytest.approx(math.exp(-total - 0.3) - math.exp(-total))
    assert judged.low < judged.difference < judged.high < 0
    assert judged.outcome == "better"
    assert judged.relevant == pytest.approx(0.05 * math.exp(-total))


def test_only_items_that_both_answered_unchanged_are_compared():
    before, after = samples([1.0] * 10), samples([0.0] * 10, "new")
    after[3] = after[3].model_copy(update={"doc_hash": "changed"})
    tested, unpaired = compare(ACCURACY, before, after[:8], seed=0)
    assert tested.comparison.n == 7
    assert unpaired == ["3", "8", "9"]


def test_too_few_items_and_scores_without_values():
    one = outcome(MEAN, [0.1], [0.9])
    assert (one.outcome, one.caution, one.p_value) == ("inconclusive", "fewer than 2 items", None)
    assert outcome(MEAN, [0.1] * 4, [0.1] * 4).outcome == "identical"
    assert outcome(MEAN.model_copy(update={"kind": "other"}), [0.1] * 9, [0.9] * 9).outcome == "not compared"
    nothing = outcome(PERPLEXITY, [(0.0, 0.0)] * 6, [(-1.0, 1.0)] * 6)
    assert (nothing.outcome, nothing.caution) == ("inconclusive", "no interval can be computed")


def test_items_that_share_a_source_count_as_one_unit():
    generator = np.random.default_rng(6)
    before = np.repeat(generator.random(8), 10)
    after = before + np.repeat(generator.normal(0.02, 0.1, 8), 10)

    def compared(*, clusters):
        sides = [samples(values, model) for values, model in ((before, "base"), (after, "new"))]
        for side in sides:
            for number, sample in enumerate(side):
                sample.cluster = f"source {number // 10}" if clusters else None
        return judge([compare(MEAN, *sides, seed=0)[0]])[0]

    alone, together = compared(clusters=False), compared(clusters=True)
    assert (alone.units, together.units, together.n) == (80, 8, 80)
    assert together.difference == pytest.approx(alone.difference)
    assert together.standard_error > 2.5 * alone.standard_error
    assert together.p_value > alone.p_value
    assert together.caution == "only 8 independent groups of items"


@pytest.mark.parametrize("grouped", [0, 1])
def test_items_are_paired_also_where_only_one_run_knows_of_their_shared_source(grouped):
    """A run that asked fewer items may have asked only one of a source."""
    values = [float(value) for value in np.random.default_rng(8).integers(0, 2, 40)]
    sides = [samples(values), samples(values, "new")]
    sides[grouped] = [
        sample.model_copy(update={"cluster": f"f{sample.id}" if int(sample.id) % 3 == 0 else None})
        for sample in sides[grouped]
    ]
    (pair,) = judge([compare(ACCURACY, *sides, seed=0)[0]])
    assert (pair.difference, pair.discordant, pair.n, pair.outcome) == (0.0, (0, 0), 40, "identical")


def test_several_answers_to_an_item_are_averaged_and_add_no_items():
    rows = samples([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    doubled = rows + [row.model_copy(update={"metrics": {"m": 0.0}}) for row in rows]
    assert score(ACCURACY, doubled, 2 / 6, seed=0).n == 6
    tested, _ = compare(ACCURACY, rows, [row.model_copy(update={"model": "new"}) for row in doubled], seed=0)
    assert tested.comparison.difference == pytest.approx(-2 / 6)
    assert (tested.comparison.n, tested.comparison.discordant, tested.comparison.differing) == (6, None, 4)


def test_each_row_is_read_at_its_corrected_level():
    """P of 10 and of 9 to 2 discordant items: the first at .05 / 2, the second at .05."""
    rows = judge([flips(9, 2, 60, "second"), flips(10, 1, 60, "first")])
    assert [row.level for row in rows] == pytest.approx([0.05, 0.025])
    assert (rows[1].low, rows[1].high) == score_interval(10, 1, 60, 0.025)
    assert rows[1].p_adjusted == pytest.approx(2 * score_p_value(10, 1, 60))
    assert [row.outcome for row in rows] == ["better", "better"]


def test_a_correction_can_turn_better_into_inconclusive_and_its_interval_says_so():
    alone = judge([flips(9, 2, 60)])[0]
    among = judge([flips(9, 2, 60), flips(8, 2, 60), flips(7, 3, 60)])[0]
    assert (alone.outcome, among.outcome) == ("better", "inconclusive")
    assert alone.low > 0 > among.low
    assert (among.low, among.high) == score_interval(9, 2, 60, 0.05 / 3)
    assert among.items_needed == proportion_items_needed(11, 60, 0.05, 0.05 / 3)


def test_rows_in_which_nothing_could_differ_leave_the_family():
    dead = [flips(1, 0, 60), flips(0, 0, 60), flips(1, 1, 60)]
    assert judge([flips(9, 2, 60), *dead])[0].level == 0.05
    assert judge([flips(9, 2, 60), *dead], others=1)[0].level == 0.025


def test_primary_and_secondary_metrics_are_corrected_apart_unless_they_are_claims():
    first, second = flips(9, 2, 60), flips(9, 2, 60)
    second = type(second)(second.comparison, ACCURACY.model_copy(update={"secondary": True}), second.inference)
    assert [row.level for row in judge([first, second])] == [0.05, 0.05]
    assert [row.level for row in judge([first, second], apart=True)] == [0.025, 0.025]
    assert [row.level for row in judge([second], others=3)] == [0.05]
    assert [row.level for row in judge([second], others=3, apart=True)] == [0.0125]


def test_descriptive_metrics_are_shown_at_95_percent_and_not_tested():
    pair = flips(9, 2, 60)
    shown = type(pair)(pair.comparison, ACCURACY.model_copy(update={"descriptive": True}), pair.inference)
    rows = judge([shown, pair, flips(8, 2, 60)])
    assert (rows[0].outcome, rows[0].p_value, rows[0].level) == ("not tested", None, 0.05)
    assert (rows[0].low, rows[0].high) == score_interval(9, 2, 60)
    assert rows[1].level == 0.025
    same = flips(0, 0, 60)
    same = type(same)(same.comparison, ACCURACY.model_copy(update={"descriptive": True}), same.inference)
    assert judge([same])[0].outcome == "identical"


def test_of_eight_equal_adapters_none_is_better_or_worse_in_most_runs():
    generator, hits = np.random.default_rng(9), 0
    metric = ACCURACY.model_copy(update={"relevant": 0.0})
    for _ in range(60):
        base = generator.integers(0, 2, 50).astype(float)
        tested = []
        for name in range(8):
            flipped = generator.random(50) < 0.3
            adapter = np.where(flipped, generator.integers(0, 2, 50), base)
            tested.append(compare(metric, samples(list(base)), samples(list(adapter), f"a{name}"), seed=0)[0])
        hits += any(row.outcome in ("better", "worse") for row in judge(tested))
    assert hits / 60 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 60)
