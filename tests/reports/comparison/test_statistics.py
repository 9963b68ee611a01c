"""Figures, intervals and paired tests against plain formulas and known answers."""

import math

import numpy as np
import pytest
from reports.comparison.power import mcnemar_detectable, mcnemar_power
from scipy import stats

from benchmarks.statistics_simulation import METRICS, simulate
from reports.comparison.statistics import compare, compare_pool, judge, score, score_pool
from reports.comparison.sums import figure, units
from reports.document.schema import MetricInfo, Sample

ACCURACY = MetricInfo(key="m", title="Accuracy", kind="proportion", higher_is_better=True)
PERPLEXITY = MetricInfo(key="m", title="Perplexity", kind="perplexity", higher_is_better=False)
MEAN = MetricInfo(key="m", title="ROUGE-L", kind="mean", higher_is_better=True)
MACRO_F1 = MetricInfo(key="m", title="Macro-F1", kind="macro_f1", higher_is_better=True)
ECE = MetricInfo(key="m", title="ECE", kind="ece", higher_is_better=False)


def samples(values, model="base"):
    return [
        Sample(
            id=str(n), doc_hash=str(n), model=model, task="t", prompt="p", output="o", gold="g", metrics={"m": value}
        )
        for n, value in enumerate(values)
    ]


def outcome(metric, before, after):
    pair, _ = compare(metric, samples(before), samples(after, "new"), seed=0)
    (judged,) = judge([pair], {("t", "m"): metric})
    return judged


def test_proportions_have_wilsons_interval():
    found = score(ACCURACY, samples([1.0] * 8 + [0.0] * 2), 0.8, seed=0)
    interval = stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_macro_f1_is_sklearns_from_sums_over_items():
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(0)
    for labels in (2, 3, 4):
        gold, predicted = generator.integers(0, labels, (2, 40))
        pairs = list(zip(gold.tolist(), predicted.tolist(), strict=True))
        sums = units(MACRO_F1, samples(pairs)).table.sum(0)
        wanted = f1_score(gold, predicted, average="macro", zero_division=0.0)
        assert float(figure("macro_f1")(sums)) == pytest.approx(wanted)


def test_ece_weighs_the_gap_of_each_bin_by_its_items():
    """Guo et al. 2017, equation 5, with ten bins of the same width; a confidence of 1 is in the last one."""
    pairs = [(0.95, 1.0), (0.95, 0.0), (1.0, 1.0), (0.31, 0.0), (0.39, 1.0)]
    sums = units(ECE, samples(pairs)).table.sum(0)
    last, fourth = abs((0.95 + 0.95 + 1.0) - 2), abs((0.31 + 0.39) - 1)
    assert float(figure("ece")(sums)) == pytest.approx((last + fourth) / 5)


def test_right_and_wrong_are_tested_by_mcnemar():
    before, after = [1.0] * 10 + [0.0] * 12, [1.0] * 9 + [0.0] + [1.0] * 10 + [0.0] * 2
    found = outcome(ACCURACY, before, after)
    assert found.p_value == pytest.approx(stats.binomtest(1, 11).pvalue)
    assert found.difference == pytest.approx(9 / 22)
    assert found.outcome == "better"


def test_perplexity_is_resampled_by_document_and_lower_is_better():
    generator = np.random.default_rng(1)
    tokens = generator.integers(20, 200, 30)
    before = [(-3.0 * n - float(e), float(n)) for n, e in zip(tokens, generator.normal(0, 5, 30), strict=True)]
    after = [(logprob + 0.3 * n, n) for logprob, n in before]
    found = outcome(PERPLEXITY, before, after)
    total = sum(logprob for logprob, _ in before) / sum(n for _, n in before)
    assert found.difference == pytest.approx(math.exp(-total - 0.3) - math.exp(-total))
    assert found.low < found.difference < found.high < 0
    assert found.outcome == "better"


def test_equal_models_show_no_difference():
    values = list(np.random.default_rng(2).random(40))
    found = outcome(MEAN, values, values)
    assert (found.difference, found.p_value, found.outcome) == (0.0, 1.0, "no detectable difference")


def test_a_model_that_always_gives_one_label_is_worse_in_macro_f1():
    gold = [0] * 20 + [1] * 20 + [2] * 20
    right = [(g, g if n % 5 else (g + 1) % 3) for n, g in enumerate(gold)]
    assert outcome(MACRO_F1, right, [(g, 0) for g in gold]).outcome == "worse"


def test_only_items_that_both_answered_unchanged_are_compared():
    before, after = samples([1.0] * 10), samples([0.0] * 10, "new")
    after[3] = after[3].model_copy(update={"doc_hash": "changed"})
    found, unpaired = compare(ACCURACY, before, after[:8], seed=0)
    assert found.n == 7
    assert unpaired == ["3", "8", "9"]


def test_a_handful_of_items_is_too_few_and_figures_without_samples_are_not_compared():
    assert outcome(MEAN, [0.1] * 4, [0.9] * 4).outcome == "too few items"
    assert outcome(MEAN.model_copy(update={"kind": "other"}), [0.1] * 9, [0.9] * 9).outcome == "not compared"


def test_no_difference_is_told_from_too_few_items_by_what_could_have_been_seen():
    generator = np.random.default_rng(4)

    def judged(items):
        values = generator.random(items)
        return outcome(MEAN, values, values + generator.normal(0, 0.1, items))

    few, many = judged(12), judged(2000)
    assert (few.outcome, many.outcome) == ("too few items", "no detectable difference")
    assert few.detectable > few.relevant > many.detectable
    assert few.items_needed > 12
    assert many.items_needed < 2000


def test_detectable_differences_of_right_and_wrong_are_found_as_often_as_they_say():
    """The power of McNemar's exact test against counting all outcomes of a small comparison."""
    items, discordant, difference = 12, 0.6, 0.4
    up, down = (discordant + difference) / 2, (discordant - difference) / 2
    wanted = sum(
        stats.multinomial.pmf([b, c, items - b - c], items, [up, down, 1 - discordant])
        for b in range(items + 1)
        for c in range(items + 1 - b)
        if b + c and stats.binomtest(b, b + c).pvalue <= 0.05
    )
    assert mcnemar_power(difference, discordant, items, 0.05) == pytest.approx(wanted)
    stated = mcnemar_detectable(0.2, 500, 0.05)
    assert mcnemar_power(stated, 0.2, 500, 0.05) == pytest.approx(0.8, abs=1e-4)
    assert mcnemar_detectable(0.2, 5, 0.05) is None


def test_the_permutation_test_is_scipys():
    generator = np.random.default_rng(5)
    before, after = generator.random(9), generator.random(9) + 0.15
    wanted = stats.permutation_test(
        (before, after), lambda x, y, axis: (y - x).mean(axis), permutation_type="samples", vectorized=True
    )
    assert outcome(MEAN, before, after).p_value == pytest.approx(wanted.pvalue, abs=0.015)


def test_items_that_share_a_source_count_as_one_unit():
    generator = np.random.default_rng(6)
    before = np.repeat(generator.random(8), 10)
    after = before + np.repeat(generator.normal(0.02, 0.1, 8), 10)

    def compared(clusters):
        sides = [samples(values, model) for values, model in ((before, "base"), (after, "new"))]
        for side in sides:
            for number, sample in enumerate(side):
                sample.cluster = f"source {number // 10}" if clusters else None
        return compare(MEAN, *sides, seed=0)[0]

    alone, together = compared(clusters=False), compared(clusters=True)
    assert (alone.units, together.units, together.n) == (80, 8, 80)
    assert together.difference == pytest.approx(alone.difference)
    assert together.standard_error > 2.5 * alone.standard_error
    assert together.p_value > alone.p_value


def test_answers_of_several_models_to_an_item_are_averaged_and_add_no_items():
    rows = samples([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    doubled = rows + [row.model_copy(update={"metrics": {"m": 0.0}}) for row in rows]
    assert score(ACCURACY, doubled, 2 / 6, seed=0).n == 6
    pair, _ = compare(ACCURACY, rows, [row.model_copy(update={"model": "new"}) for row in doubled], seed=0)
    assert pair.difference == pytest.approx(-2 / 6)
    assert (pair.n, pair.test) == (6, "paired permutation")


def test_repeated_answers_show_how_much_the_figure_varies_between_them():
    answers = [[0.4, 0.2, 0.6], [0.6, 0.3, 0.9]]
    rows = [
        sample.model_copy(update={"repeat": repeat})
        for repeat, values in enumerate(answers)
        for sample in samples(values)
    ]
    found = score(MEAN, rows, 0.4, seed=0)
    assert (found.n, found.repeats) == (3, 2)
    assert found.value == pytest.approx(0.5)
    assert found.spread == pytest.approx(np.std([0.4, 0.6], ddof=1))


def test_a_pool_of_seeds_is_as_unsure_as_its_items_and_its_seeds_together():
    """Adapters that differ much from seed to seed show nothing, however many items there are."""
    generator = np.random.default_rng(7)
    before = generator.random(400)

    def pooled(effects):
        members = [before + effect + generator.normal(0, 0.05, 400) for effect in effects]
        apart = [samples(list(values), "mean") for values in members]
        differences = [float(np.mean(values - before)) for values in members]
        pair, _ = compare_pool(MEAN, samples(list(before)), "mean", apart, seed=0)
        return judge([pair], {("t", "m"): MEAN})[0], differences

    steady, differences = pooled([0.05, 0.051, 0.049])
    assert steady.outcome == "better"
    assert steady.difference == pytest.approx(np.mean(differences))
    shaky, differences = pooled([0.15, -0.05, 0.05])
    assert shaky.outcome == "too few items"
    assert shaky.standard_error == pytest.approx(np.std(differences, ddof=1) / math.sqrt(3), rel=0.05)
    assert shaky.degrees_of_freedom == pytest.approx(2, rel=0.05)
    assert (shaky.n, shaky.test) == (400, "t-test over items and seeds")


def test_the_figure_of_a_pool_is_the_mean_of_its_seeds_also_where_their_answers_together_would_be_better():
    """One seed is as much too sure as the other is too unsure: together they would seem calibrated."""
    base, sure, unsure = (
        samples([(0.75, float(n % 20 < right)) for n in range(200)], name)
        for name, right in (("base", 13), ("mean", 11), ("mean", 19))
    )
    apart = [sure, unsure]
    found = score_pool(ECE, "mean", apart, 0.2, seed=0)
    assert found.value == pytest.approx(0.2)
    assert found.low < 0.2 < found.high
    pair, _ = compare_pool(ECE, base, "mean", apart, seed=0)
    (judged,) = judge([pair], {("t", "m"): ECE})
    assert judged.difference == pytest.approx(0.1)
    assert judged.outcome == "worse"


def test_seeds_are_pooled_over_the_items_that_all_have_a_value_for():
    first, second = samples([0.5] * 10, "mean"), samples([0.7] * 9 + [None], "mean")
    found = score_pool(MEAN, "mean", [first, second], None, seed=0)
    assert found.n == 9
    assert found.value == pytest.approx(0.6)
    assert found.spread == pytest.approx(np.std([0.5, 0.7], ddof=1))
    pair, unpaired = compare_pool(MEAN, samples([0.1] * 10), "mean", [first, second], seed=0)
    assert (pair.n, unpaired) == (9, ["9"])
    assert pair.difference == pytest.approx(0.5)


@pytest.mark.parametrize("grouped", [0, 1])
def test_items_are_paired_also_where_only_one_run_knows_of_their_shared_source(grouped):
    """A run that asked fewer items may have asked only one of a source."""
    values = [float(value) for value in np.random.default_rng(8).integers(0, 2, 40)]
    sides = [samples(values), samples(values, "new")]
    sides[grouped] = [
        sample.model_copy(update={"cluster": f"f{sample.id}" if int(sample.id) % 3 == 0 else None})
        for sample in sides[grouped]
    ]
    pair, _ = compare(ACCURACY, *sides, seed=0)
    assert (pair.difference, pair.discordant, pair.n) == (0.0, (0, 0), 40)


def test_a_model_that_fell_apart_is_worse_and_no_fault():
    generator = np.random.default_rng(9)
    before, after = (
        [(-100 * value, 100) for value in generator.normal(nats, spread, 40)]
        for nats, spread in ((2.3, 0.3), (12.0, 0.8))
    )
    judged = outcome(PERPLEXITY, before, after)
    assert judged.outcome == "worse"
    assert judged.detectable is None


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("nats", [180.0, 400.0, 690.0])
def test_a_pool_that_fell_apart_is_no_fault_either(nats):
    generator = np.random.default_rng(10)

    def drawn(mean, name):
        return samples([(-10 * float(value), 10) for value in mean * (1 + generator.random(12) / 10)], name)

    apart = [drawn(nats, "mean"), drawn(nats * 1.02, "mean")]
    pair, _ = compare_pool(PERPLEXITY, drawn(3.0, "base"), "mean", apart, seed=0)
    (judged,) = judge([pair], {("t", "m"): PERPLEXITY})
    assert judged.outcome in ("worse", "too few items")


def test_primary_and_secondary_metrics_are_corrected_apart():
    pair, _ = compare(MEAN, samples([0.0] * 30), samples([0.1] * 30, "new"), seed=0)
    several = [pair.model_copy(update={"metric": name, "p_value": 0.03}) for name in "abcd"]
    metrics = {
        ("t", name): MetricInfo(key=name, title=name, higher_is_better=True, secondary=name != "a") for name in "abcd"
    }
    assert [each.outcome for each in judge(several, metrics)] == ["better", *["no detectable difference"] * 3]


def test_p_values_are_corrected_over_the_metrics_of_a_pair():
    metrics = {("t", name): MetricInfo(key=name, title=name, higher_is_better=True) for name in "ab"}
    pair, _ = compare(MEAN, samples([0.0] * 30), samples([0.1] * 30, "new"), seed=0)
    one = pair.model_copy(update={"metric": "a", "p_value": 0.03})
    two = pair.model_copy(update={"metric": "b", "p_value": 0.04})
    assert [each.p_adjusted for each in judge([one, two], metrics)] == pytest.approx([0.06, 0.06])
    assert {each.outcome for each in judge([one, two], metrics)} == {"no detectable difference"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "accuracy")) for name in METRICS]
)
def test_intervals_cover_false_alarms_are_rare_and_detectable_differences_are_found(name, monkeypatch):
    """A small cut of `benchmarks/statistics_simulation.py`, whose 2,000 comparisons are in `benchmarks/results`."""
    monkeypatch.setattr("reports.comparison.resampling._PERMUTATIONS", 999)
    monkeypatch.setattr("benchmarks.statistics_simulation.STATED_BY", 20)
    found = simulate(name, 50, 150)
    assert found["coverage"] >= 0.9
    assert found["coverage_of_the_detectable"] >= 0.9
    assert found["false_alarms"] <= 0.1
    assert 0.6 <= found["detected"] <= 0.92
