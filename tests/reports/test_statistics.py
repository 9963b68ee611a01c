"""Figures, intervals and paired tests against plain formulas and known answers."""

import math

import numpy as np
import pytest
from scipy import stats

from reports.schema import MetricInfo, Sample
from reports.statistics import compare, judge, score

ACCURACY = MetricInfo(key="m", title="Accuracy", kind="proportion", higher_is_better=True)
PERPLEXITY = MetricInfo(key="m", title="Perplexity", kind="perplexity", higher_is_better=False)
MEAN = MetricInfo(key="m", title="ROUGE-L", kind="mean", higher_is_better=True)
MACRO_F1 = MetricInfo(key="m", title="Macro-F1", kind="macro_f1", higher_is_better=True)


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


def test_macro_f1_is_resampled_as_sklearn_computes_it():
    from sklearn.metrics import f1_score

    from reports.statistics import _macro_f1

    generator = np.random.default_rng(0)
    gold, predicted = generator.integers(0, 3, (2, 5, 40))
    wanted = [f1_score(g, p, average="macro", zero_division=0.0) for g, p in zip(gold, predicted, strict=True)]
    assert list(_macro_f1(gold, predicted)) == pytest.approx(wanted)


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


def test_too_few_items_are_not_compared():
    assert outcome(MEAN, [0.1] * 4, [0.9] * 4).outcome == "not compared"


def test_p_values_are_corrected_over_the_metrics_of_a_pair():
    metrics = {("t", name): MetricInfo(key=name, title=name, higher_is_better=True) for name in "ab"}
    pair, _ = compare(MEAN, samples([0.0] * 30), samples([0.1] * 30, "new"), seed=0)
    one = pair.model_copy(update={"metric": "a", "p_value": 0.03})
    two = pair.model_copy(update={"metric": "b", "p_value": 0.04})
    assert [each.p_adjusted for each in judge([one, two], metrics)] == pytest.approx([0.06, 0.06])
    assert {each.outcome for each in judge([one, two], metrics)} == {"no detectable difference"}


def test_false_alarms_stay_near_five_percent_and_intervals_cover_the_truth():
    generator = np.random.default_rng(3)
    alarms = covered = 0
    for _ in range(200):
        before = generator.normal(0, 1, 50)
        found, _ = compare(MEAN, samples(before), samples(before + generator.normal(0, 1, 50), "new"), seed=0)
        alarms += found.p_value < 0.05
        covered += found.low <= 0 <= found.high
    assert alarms <= 20
    assert covered >= 178
