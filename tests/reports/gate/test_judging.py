"""Each kind of rule on candidates whose scores are known, and what keeps a rule from being judged."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from reports.comparison.sums import value_of_samples
from reports.document.evidence import OverlapCheck, OverlapMatch
from reports.document.schema import MetricInfo, TaskInfo
from reports.gate.estimate import paired, single
from reports.gate.judging import judge
from reports.gate.policy import DEFAULT, Policy
from tests.reports.gate.examples import (
    ACCURACY,
    LENGTH,
    PERPLEXITY,
    ROUGE,
    first,
    inputs,
    perplexities,
    right_and_wrong,
    shifted,
    verdict,
    with_items,
)


def test_a_regression_is_found_with_the_score_test():
    before = [1.0] * 30 + [0.0] * 10
    after = [0.0] * 12 + [1.0] * 18 + [0.0] * 8 + [1.0] * 2
    rule, report = verdict({"rule": "no_regression", "metric": "t/m"}, *inputs(ACCURACY, before, after))
    assert rule.p_value == pytest.approx(stats.norm.sf((12 - 2 - 0.75) / 14**0.5))
    assert (rule.verdict, rule.outcome, report.exit_code) == ("fail", "worse", 1)
    assert rule.reason == "shown to be worse: -25.0 pp, worse (corrected p 0.007)"
    assert len(rule.moved) == 10
    assert {sample.id for sample in rule.moved} < {str(n) for n in range(12)}
    assert (rule.moved[0].baseline, rule.moved[0].candidate) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("gained", "lost", "rule", "wanted", "outcome"),
    [
        (10, 10, {"rule": "non_inferiority", "margin": 0.05}, "pass", "equivalent"),
        (0, 10, {"rule": "non_inferiority", "margin": 0.05}, "pass", "worse"),
        (0, 40, {"rule": "non_inferiority", "margin": 0.05}, "fail", "worse"),
        (30, 45, {"rule": "non_inferiority", "margin": 0.05}, "inconclusive", "worse"),
        (30, 40, {"rule": "non_inferiority", "margin": 0.05}, "inconclusive", "inconclusive"),
        (30, 10, {"rule": "non_inferiority", "margin": 0.05}, "pass", "better"),
        (10, 10, {"rule": "no_regression"}, "pass", "equivalent"),
        (0, 5, {"rule": "no_regression"}, "pass", "equivalent"),
        (0, 7, {"rule": "no_regression"}, "fail", "worse"),
        (30, 40, {"rule": "no_regression"}, "inconclusive", "inconclusive"),
        (20, 2, {"rule": "superiority"}, "pass", "better"),
        (10, 10, {"rule": "superiority"}, "fail", "equivalent"),
        (2, 20, {"rule": "superiority"}, "fail", "worse"),
        (60, 50, {"rule": "superiority"}, "inconclusive", "inconclusive"),
        (20, 2, {"rule": "superiority", "margin": 0.05}, "fail", "better"),
        (20, 2, {"rule": "superiority", "margin": 0.05, "detect": 0.03}, "inconclusive", "better"),
        (45, 2, {"rule": "superiority", "margin": 0.05}, "pass", "better"),
    ],
)
def test_rules_over_400_right_and_wrong_answers(gained, lost, rule, wanted, outcome):
    found, _ = verdict({"metric": "t/m", **rule}, *inputs(ACCURACY, *right_and_wrong(gained, lost, 400)))
    assert (found.verdict, found.outcome) == (wanted, outcome), found.reason
    assert (found.items_needed or 0) > 400 if wanted == "inconclusive" else found.items_needed is None


@pytest.mark.parametrize(
    ("items", "wanted", "needed"),
    [(12, "inconclusive", 711), (39, "inconclusive", 279), (82, "inconclusive", 176), (83, "pass", None)],
)
def test_identical_answers_pass_only_where_a_loss_of_the_margin_would_have_shown(items, wanted, needed):
    rule, _ = verdict({"rule": "no_regression", "metric": "t/m"}, *inputs(ACCURACY, *right_and_wrong(0, 0, items)))
    assert (rule.verdict, rule.outcome, rule.items_needed) == (wanted, "identical", needed), rule.reason
    assert f"identical on all {items} items" in rule.reason


def test_the_reason_tells_what_is_missing():
    rule, _ = verdict({"rule": "no_regression", "metric": "t/m"}, *inputs(ACCURACY, *right_and_wrong(2, 4, 60)))
    assert rule.reason == (
        "a loss of the margin is not ruled out: -3.3 pp, inconclusive; 60 items are too few: it takes about 611 for an"
        " equal model to rule out a loss of 5.0 pp with 80% power"
    )


def test_enough_items_that_show_nothing_are_not_asked_for_again():
    both = inputs(ROUGE, *shifted(200, -0.047))
    rule, _ = verdict({"rule": "non_inferiority", "metric": "t/m", "margin": 0.05}, *both)
    assert (rule.verdict, rule.items_needed) == ("inconclusive", None)
    assert "200 items are enough for an equal model to rule out a loss of 5.0 pp with 80% power" in rule.reason


def test_means_are_tested_as_the_estimate_says():
    before, after = shifted(50, -0.01)
    rule, _ = verdict({"rule": "non_inferiority", "metric": "t/m", "margin": 0.02}, *inputs(ROUGE, before, after))
    tables = [np.stack([values, np.ones(50)], 1) for values in (before, after)]
    difference = paired("mean", *tables)
    assert rule.p_value == pytest.approx(difference.p_above(-0.02))
    assert (rule.low, rule.high) == pytest.approx(difference.bounds(0.95))


@pytest.mark.parametrize(
    ("gain", "n", "rule", "wanted"),
    [
        (0.00, 100, {"rule": "non_inferiority", "margin": 0.05}, "pass"),
        (-0.10, 100, {"rule": "non_inferiority", "margin": 0.05}, "fail"),
        (0.00, 8, {"rule": "non_inferiority", "margin": 0.05}, "inconclusive"),
        (0.10, 50, {"rule": "superiority"}, "pass"),
        (0.10, 50, {"rule": "superiority", "margin": 0.2}, "fail"),
        (0.00, 400, {"rule": "superiority"}, "fail"),
        (-0.10, 50, {"rule": "superiority"}, "fail"),
        (0.10, 9, {"rule": "superiority"}, "inconclusive"),
        (0.10, 10, {"rule": "superiority"}, "pass"),
        (-0.30, 9, {"rule": "superiority"}, "inconclusive"),
        (-0.30, 10, {"rule": "superiority"}, "fail"),
        (-0.30, 9, {"rule": "non_inferiority", "margin": 0.05}, "inconclusive"),
        (-0.30, 10, {"rule": "non_inferiority", "margin": 0.05}, "fail"),
        (-0.30, 9, {"rule": "no_regression"}, "inconclusive"),
        (-0.30, 10, {"rule": "no_regression"}, "fail"),
        (0.00, 100, {"rule": "no_regression"}, "pass"),
        (-0.10, 100, {"rule": "no_regression"}, "fail"),
        (0.00, 9, {"rule": "no_regression"}, "inconclusive"),
        (0.10, 50, {"rule": "change", "min": 0.05}, "pass"),
        (0.00, 50, {"rule": "change", "min": 0.05}, "fail"),
        (0.10, 50, {"rule": "change", "min": 0.05, "confidence": 0.95}, "pass"),
        (0.10, 50, {"rule": "change", "min": 0.10, "max": 0.2, "relative": True}, "fail"),
        (0.00, 50, {"rule": "bound", "min": 0.2}, "pass"),
        (0.00, 50, {"rule": "bound", "max": 0.2}, "fail"),
        (0.00, 50, {"rule": "bound", "min": 0.25, "confidence": 0.99}, "inconclusive"),
    ],
)
def test_rules_over_means(gain, n, rule, wanted):
    found, report = verdict({"metric": "t/m", **rule}, *inputs(ROUGE, *shifted(n, gain)))
    assert found.verdict == wanted, found.reason
    assert report.exit_code == {"pass": 0, "fail": 1, "inconclusive": 3}[wanted]
    assert (found.items_needed or 0) > n if wanted == "inconclusive" else found.items_needed is None


def test_a_change_of_just_the_limit_is_within_it():
    """In floating point 0.7 - 0.8 is less than -0.1."""
    found, _ = verdict(
        {"rule": "change", "metric": "t/m", "min": -0.1},
        *inputs(ACCURACY, [1.0] * 8 + [0.0] * 2, [1.0] * 7 + [0.0] * 3),
    )
    assert found.verdict == "pass"


def test_lower_is_better_where_it_is_and_margins_are_relative():
    generator = np.random.default_rng(0)
    before = [(-50.0 - float(e), 20.0) for e in generator.normal(0, 5, 60)]
    worse = [(logprob - 4, tokens) for logprob, tokens in before]
    for rule, wanted in (("no_regression", "fail"), ("superiority", "fail")):
        assert verdict({"rule": rule, "metric": "t/m"}, *inputs(PERPLEXITY, before, worse))[0].verdict == wanted
        assert verdict({"rule": rule, "metric": "t/m"}, *inputs(PERPLEXITY, worse, before))[0].verdict == "pass"
    found, _ = verdict(
        {"rule": "non_inferiority", "metric": "t/m", "margin": 0.3}, *inputs(PERPLEXITY, before, worse)
    )  # exp(4 / 20) is 22 % more
    assert found.verdict == "pass"


def test_equal_answers_to_a_few_items_never_pass_or_fail():
    values = [0.1, 0.5, 0.3] * 10
    rule, _ = verdict({"rule": "no_regression", "metric": "t/m"}, *inputs(ROUGE, values, values))
    assert (rule.verdict, rule.outcome) == ("inconclusive", "identical")
    rule, _ = verdict({"rule": "no_regression", "metric": "t/m"}, *inputs(ROUGE, values * 3, values * 3))
    assert rule.verdict == "pass"


@pytest.mark.parametrize(
    ("where", "n"),
    [({"class": "maybe"}, 14), ({"speciality": "cardiology"}, 20), ({"speciality": ["cardiology", "surgery"]}, 40)],
)
def test_slices_take_the_items_they_name(where, n):
    rule, _ = verdict({"rule": "bound", "metric": "t/m", "min": 0, "where": where}, *inputs(ROUGE, *shifted(40, 0)))
    assert (rule.n, rule.verdict) == (n, "pass")
    assert rule.slice


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"rule": "bound", "metric": "t/m", "min": 0, "where": {"class": "no"}}, "no item has the class no; there are"),
        ({"rule": "bound", "metric": "t/m", "min": 0, "where": {"ward": "3"}}, "none has a ward at all"),
        ({"rule": "bound", "metric": "t/m", "min": 0, "ids": ["x"]}, "1 of the 1 listed items were not scored"),
        ({"rule": "bound", "metric": "t/n", "min": 0}, "has no metric t/n; it has t/m"),
        ({"rule": "superiority", "metric": "*/n"}, "has no metric"),
        ({"rule": "peak_memory", "max_gib": 1}, "do not say how much memory"),
        ({"rule": "throughput", "min_tokens_per_second": 1}, "do not say how fast"),
        ({"rule": "must_pass", "metric": "t/m", "ids": ["77"], "at_least": 0}, "were not scored"),
    ],
)
def test_what_is_not_there_fails_with_its_reason(rule, reason):
    found, report = verdict(rule, *inputs(ROUGE, *shifted(40, 0)))
    assert report.verdict == "fail"
    assert reason in found.reason


def test_a_metric_without_a_direction_is_bounded_and_not_tested():
    both = inputs(LENGTH, *shifted(40, 0))
    found, _ = verdict({"rule": "no_regression", "metric": "t/m"}, *both)
    assert "neither direction of this metric is better" in found.reason
    assert verdict({"rule": "bound", "metric": "*/*", "max": 1}, *both)[0].verdict == "pass"


def test_listed_items_must_pass_each():
    before = [1.0] * 20
    after = [1.0] * 10 + [0.0] * 10
    rule = {"rule": "must_pass", "metric": "t/m", "at_least": 1}
    assert verdict({**rule, "ids": ["0", "5"]}, *inputs(ACCURACY, before, after))[0].verdict == "pass"
    found, _ = verdict({**rule, "ids": ["0", "15"]}, *inputs(ACCURACY, before, after))
    assert (found.verdict, [sample.id for sample in found.moved]) == ("fail", ["15"])


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"rule": "throughput", "of": "scoring", "min_tokens_per_second": 50}, "pass"),
        ({"rule": "throughput", "of": "scoring", "min_tokens_per_second": 51}, "fail"),
        ({"rule": "adapter_size", "max_mib": 3}, "pass"),
        ({"rule": "adapter_size", "max_mib": 2.9}, "fail"),
        ({"rule": "truncated", "max_share": 0.05}, "pass"),
        ({"rule": "truncated"}, "fail"),
        ({"rule": "complete"}, "pass"),
        ({"rule": "leakage"}, "pass"),
    ],
)
def test_operational_rules(rule, wanted):
    assert verdict(rule, *inputs(ROUGE, *shifted(40, 0)))[0].verdict == wanted


def test_leaked_items_and_unknown_training_rows_block():
    match = OverlapMatch(task="t", item="3", row="r", role="train", kind="n-gram", part="q", share=1.0, rows=1)
    check = OverlapCheck(method="", models=["adapter"], rows=1, items={"t": 40}, matches=[match])
    both = inputs(ROUGE, *shifted(40, 0), overlap=check)
    assert verdict({"rule": "leakage"}, *both)[0].verdict == "pass"
    assert verdict({"rule": "contamination", "max_items": 1}, *both)[0].verdict == "pass"
    found, _ = verdict({"rule": "contamination"}, *both)
    assert (found.verdict, found.moved[0].id) == ("fail", "3")
    found, _ = verdict({"rule": "leakage"}, *inputs(ROUGE, *shifted(40, 0), overlap=None))
    assert "what adapter was trained on is unknown" in found.reason


def test_a_leaked_item_is_named_with_both_texts():
    places = {"item_source": "a.jsonl, line 4", "row_source": "b.csv, line 9", "item_text": "Why?", "row_text": "why"}
    match = OverlapMatch(
        task="t", item="3", row="r", role="train", kind="exact", part="question", share=1, rows=2, **places
    )
    check = OverlapCheck(method="", models=["adapter"], rows=1, items={"t": 40}, matches=[match])
    found, _ = verdict({"rule": "leakage"}, *inputs(ROUGE, *shifted(40, 0), overlap=check))
    assert found.reason == (
        "1 test items are (nearly) equal to rows that were trained on, such as item 3 (a.jsonl, line 4) equals train"
        ' row r (b.csv, line 9) and 1 more rows: "Why?" and "why"'
    )


@pytest.mark.parametrize("rule", ["leakage", "contamination"])
@pytest.mark.parametrize(
    ("unsearched", "reason"),
    [
        (
            {"unsearched": {"t": ["3", "4", "5", "6"]}},
            "the text of 4 items cannot be split into words, so they were not searched: 3 of t, 4 of t, 5 of t;",
        ),
        (
            {"unsearched_rows": ["b.csv, line 9"]},
            "the questions of training rows cannot be split into words, so they were not searched: b.csv, line 9",
        ),
    ],
)
def test_text_that_cannot_be_split_blocks(rule, unsearched, reason):
    check = OverlapCheck(method="", models=["adapter"], rows=1, items={"t": 40}, **unsearched)
    found, _ = verdict({"rule": rule}, *inputs(ROUGE, *shifted(40, 0), overlap=check))
    assert found.verdict == "fail"
    assert found.reason.removesuffix(" fix or leave them out") == reason


@pytest.mark.parametrize(
    ("which", "change", "reason"),
    [
        (1, first({"metrics": {}}), "1 items have no value of t/m (0)"),
        (0, first({"metrics": {"m": None}}), "1 items have no value of t/m (0)"),
        (1, first({"metrics": {"m": 0.99}}), "its samples give"),
        (0, first({"doc_hash": "other"}), "1 items had another text for the baseline (0)"),
    ],
)
def test_items_that_do_not_bear_out_the_figures_block(which, change, reason):
    both = list(inputs(ROUGE, *shifted(40, 0)))
    both[which] = with_items(both[which], change)
    report = judge(DEFAULT, both[1], [both[0]])
    assert report.exit_code == 1
    assert any(reason in rule.reason for rule in report.rules)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"medbench_version": "9"}, "medbench (0, baseline 9)"),
        ({"environment": {"packages": {"lm_eval": "9"}}}, "lm_eval (None, baseline 9)"),
        ({"recipe": {"scoring": {"dtype": "float16"}}}, "scoring.dtype"),
        ({"tasks": [TaskInfo(name="t", title="T", version="2", metrics=[ROUGE])]}, "the version of t"),
        ({"tasks": []}, "was not scored on t"),
        ({"scores": []}, "has no value of t/m"),
    ],
)
def test_a_baseline_scored_in_another_way_blocks(change, reason):
    baseline, candidate = inputs(ROUGE, *shifted(40, 0))
    other = replace(baseline, results=baseline.results.model_copy(update=change))
    report = judge(DEFAULT, candidate, [other])
    assert report.exit_code == 1
    assert any(reason in rule.reason for rule in report.rules), [rule.reason for rule in report.rules]


def test_another_item_set_blocks():
    _, candidate = inputs(ROUGE, *shifted(40, 0))
    fewer, _ = inputs(ROUGE, *shifted(39, 0))
    report = judge(DEFAULT, candidate, [fewer])
    assert any("only one of the two was scored on 1 items (39)" in rule.reason for rule in report.rules)


def test_inconclusive_blocks_unless_the_policy_says_otherwise():
    both = inputs(ROUGE, *shifted(8, 0))
    rule = {"rule": "no_regression", "metric": "t/m"}
    assert verdict(rule, *both)[1].exit_code == 3
    assert verdict(rule, *both, inconclusive="pass")[1].exit_code == 0


def test_p_values_of_regressions_are_corrected_together():
    before, after = shifted(60, -0.012, seed=0)
    rules = [{"rule": "no_regression", "metric": "t/m", "name": name} for name in "abc"]
    _, candidate = both = inputs(ROUGE, before, after)
    report = judge(Policy.model_validate({"rules": rules}), candidate, [both[0]])
    assert report.rules[0].p_value < 1 / 3
    assert all(rule.p_adjusted == pytest.approx(3 * report.rules[0].p_value) for rule in report.rules)


def test_targets_on_which_nothing_differs_do_not_count_in_the_correction():
    baseline, candidate = inputs(ACCURACY, *right_and_wrong(2, 12, 90))
    rules = [
        {"rule": "no_regression", "metric": "t/m"},
        {"rule": "no_regression", "metric": "t/m", "ids": [str(n) for n in range(14, 90)], "name": "identical"},
    ]
    report = judge(Policy.model_validate({"rules": rules}), candidate, [baseline])
    assert report.rules[0].p_adjusted == report.rules[0].p_value
    assert [rule.outcome for rule in report.rules] == ["worse", "identical"]
    assert report.rules[1].p_adjusted == 1


def test_items_that_share_a_source_count_as_one():
    before, after = shifted(40, -0.02)
    both = [
        with_items(side, lambda item: item.model_copy(update={"cluster": f"c{int(item.id) // 10}"}))
        for side in inputs(ROUGE, before, after)
    ]
    found, _ = verdict({"rule": "no_regression", "metric": "t/m"}, *both)
    assert (found.verdict, found.n) == ("inconclusive", 40)
    assert found.items_needed % 10 == 0


def test_a_label_that_only_one_model_predicts_counts_for_both():
    """Labels are counted over both sides, so that an item adds to the same columns of each."""
    metric = MetricInfo(key="m", title="Macro-F1", kind="macro_f1", higher_is_better=True, percent=True)
    before = [(0.0, 0.0), (1.0, 1.0)] * 20
    after = [(0.0, 0.0), (1.0, 2.0), *before[2:]]
    found, _ = verdict({"rule": "no_regression", "metric": "t/m"}, *inputs(metric, before, after))
    assert (found.verdict, found.n, [sample.id for sample in found.moved]) == ("inconclusive", 40, ["1"])


@pytest.mark.parametrize(
    ("rule", "share", "limit"),
    [
        ({"rule": "non_inferiority", "margin": 0.1}, 0.1, "loses less than 1.23"),
        ({"rule": "superiority", "margin": 0.02}, -0.02, "gains more than 0.247"),
        ({"rule": "superiority"}, 0.0, "is better"),
        ({"rule": "no_regression", "margin": 0.1}, 0.1, "no loss shown, and one of 1.23 ruled out"),
    ],
)
def test_relative_margins_are_shares_of_the_baseline(rule, share, limit):
    """Lower perplexity is better: a tolerated loss is at most 1.1 times the baseline's, a gain at most 0.98 times."""
    before, after = perplexities(60, 0.02)
    found, _ = verdict({"metric": "t/m", **rule}, *inputs(PERPLEXITY, before, after))
    difference = paired("perplexity", np.array(before), np.array(after), sign=-1, share=share)
    if rule["rule"] == "no_regression":  # whose p-value is that of being worse
        difference = paired("perplexity", np.array(after), np.array(before), sign=-1)
    assert found.p_value == pytest.approx(difference.p_above(0.0))
    assert found.limit == limit


def test_a_relative_number_of_items_is_that_of_an_equal_model():
    before, after = perplexities(30, 0.0)
    found, _ = verdict({"rule": "non_inferiority", "metric": "t/m", "margin": 0.03}, *inputs(PERPLEXITY, before, after))
    difference = paired("perplexity", np.array(before), np.array(after), sign=-1, share=0.03)
    level = value_of_samples("perplexity", before)
    assert found.limit == f"loses less than {0.03 * level:.3f}"
    assert found.items_needed == difference.items_to_exceed(0.0, 0.03 * level, 0.95, 0.8)
    found, _ = verdict({"rule": "superiority", "metric": "t/m", "detect": 0.03}, *inputs(PERPLEXITY, before, after))
    difference = paired("perplexity", np.array(before), np.array(after), sign=-1)
    assert found.items_needed == difference.items_to_exceed(0.0, 0.03 * level, 0.95, 0.8)


@pytest.mark.parametrize(("n", "has_bounds"), [(9, False), (10, True)])
def test_bounds_and_outcomes_take_ten_items(n, has_bounds):
    found, _ = verdict({"rule": "superiority", "metric": "t/m"}, *inputs(ROUGE, *shifted(n, 0.1)))
    assert (found.low is not None, found.high is not None) == (has_bounds, has_bounds)
    assert found.outcome == ("better" if has_bounds else "inconclusive")


def test_a_metric_without_a_direction_is_different_and_neither_better_nor_worse():
    found, _ = verdict({"rule": "change", "metric": "t/m", "min": -1}, *inputs(LENGTH, *shifted(40, 0.3)))
    assert found.outcome == "different"


def test_an_undecided_bound_asks_for_the_items_that_its_distance_takes():
    values, _ = shifted(50, 0)
    rule = {"rule": "bound", "metric": "t/m", "min": float(np.mean(values)) - 0.04, "confidence": 0.99}
    found, _ = verdict(rule, *inputs(ROUGE, values, values))
    estimate = single("mean", np.stack([values, np.ones(50)], 1))
    assert (found.low, found.high) == pytest.approx(estimate.bounds(0.99))
    assert found.items_needed == estimate.items_to_exceed(-0.04, 0.0, 0.99, 0.8)
    nearer = {**rule, "min": float(np.mean(values)) - 0.001}
    half = (found.high - found.low) / 4
    found, _ = verdict(nearer, *inputs(ROUGE, values, values))
    assert found.items_needed == estimate.items_to_exceed(-half, 0.0, 0.99, 0.8)


def with_weights(side, sha256):
    models = [info.model_copy(update={"sha256": sha256, "kind": "adapter"}) for info in side.results.models]
    return replace(side, results=side.results.model_copy(update={"models": models}))


@pytest.mark.parametrize(
    ("rule", "verdict_", "start"),
    [
        ({"rule": "no_regression"}, "pass", ""),
        ({"rule": "non_inferiority", "margin": 0.01}, "pass", ""),
        ({"rule": "superiority"}, "fail", "no gain: "),
        ({"rule": "change", "min": -0.01, "confidence": 0.95}, "pass", "Accuracy is "),
    ],
)
def test_the_same_weights_and_answers_need_no_more_items(rule, verdict_, start):
    both = [with_weights(side, "s") for side in inputs(ACCURACY, *right_and_wrong(0, 0, 12))]
    result, _ = verdict(rule | {"metric": "t/m"}, *both)
    same = "the same weights and settings as the baseline, identical on all 12 items"
    assert (result.verdict, result.reason) == (verdict_, start + same)


def test_the_same_weights_with_other_answers_are_tested():
    both = [with_weights(side, "s") for side in inputs(ACCURACY, *right_and_wrong(0, 6, 40))]
    result, _ = verdict({"rule": "non_inferiority", "metric": "t/m", "margin": 0.05}, *both)
    assert result.verdict != "pass"
    unknown = [with_weights(side, "") for side in inputs(ACCURACY, *right_and_wrong(0, 0, 12))]
    assert verdict({"rule": "no_regression", "metric": "t/m"}, *unknown)[0].verdict == "inconclusive"


def test_identical_answers_say_how_large_a_loss_they_could_hide():
    both = inputs(ACCURACY, *right_and_wrong(0, 0, 60))
    result, _ = verdict({"rule": "non_inferiority", "metric": "t/m", "margin": 0.01}, *both)
    hidden = f"{-100 * result.low:.1f}"
    assert f"identical on all 60 items, which could still hide a loss of {hidden}" in result.reason
    assert "(95 % bound)" in result.reason
    few, _ = verdict({"rule": "no_regression", "metric": "t/m"}, *inputs(ACCURACY, *right_and_wrong(0, 0, 5)))
    assert "identical on all 5 items, which are too few to limit what they could hide" in few.reason


def test_advisory_rules_never_block():
    both = inputs(ACCURACY, *right_and_wrong(0, 40, 400))
    rule = {"rule": "no_regression", "metric": "t/m", "advisory": True}
    result, report = verdict(rule, *both)
    assert (result.verdict, result.advisory, report.exit_code) == ("fail", True, 0)
    assert report.reason == "No rule can block: all are advisory. Of 1 advisory rules 1 failed."
    rules = [rule, {"rule": "complete"}, {"rule": "adapter_size", "max_mib": 1, "advisory": True}]
    report = judge(Policy.model_validate({"rules": rules}), both[1], [both[0]])
    assert (report.verdict, report.reason) == ("pass", "Of 1 rules 1 passed. Of 2 advisory rules 2 failed.")


def test_advisory_rules_do_not_count_in_the_correction():
    baseline, candidate = inputs(ACCURACY, *right_and_wrong(2, 12, 90))
    rules = [{"rule": "no_regression", "metric": "t/m", "name": f"{n}", "advisory": n > 0} for n in range(3)]
    report = judge(Policy.model_validate({"rules": rules}), candidate, [baseline])
    assert report.rules[0].p_adjusted == report.rules[0].p_value
    assert report.rules[1].p_adjusted == 2 * report.rules[0].p_value


def test_every_rule_is_judged_against_each_baseline():
    last, candidate = inputs(ACCURACY, *right_and_wrong(2, 2, 400))
    reference, _ = inputs(ACCURACY, [1.0] * 400, [1.0] * 400)
    rules = [{"rule": "complete"}, {"rule": "no_regression", "metric": "t/m"}]
    report = judge(
        Policy.model_validate({"rules": rules}), candidate, [replace(last, run="last"), replace(reference, run="first")]
    )
    assert [(rule.name, rule.against, rule.verdict) for rule in report.rules] == [
        ("complete", "", "pass"),
        ("no regression: t/m against base of last", "base of last", "pass"),
        ("no regression: t/m against base of first", "base of first", "fail"),
    ]
    assert report.exit_code == 1
    assert [info.run for info in report.baselines] == ["last", "first"]
    assert report.baseline.run == "last"
