"""The whole report: which function judges which rule, the correction, names, verdict and exit code."""

from dataclasses import replace

import pytest

from reports.document.schema import DataInfo
from reports.files import sha256_value
from reports.gate.inputs import GateInput
from reports.gate.judging import input_info, judge, refuse
from reports.gate.outcome import GateInputInfo
from reports.gate.policy import Policy
from reports.version import __version__
from tests.reports.gate.examples import ACCURACY, LENGTH, ROUGE, inputs, right_and_wrong

VALUES = [0.2, 0.4, 0.6, 0.8] * 3
PASSES = {"rule": "bound", "metric": "t/m", "min": 0}
FAILS = {"rule": "bound", "metric": "t/m", "min": 1}
UNDECIDED = {"rule": "superiority", "metric": "t/m"}  # twelve items are too few


def report(*rules, both=None, **policy):
    baseline, candidate = both or inputs(ROUGE, VALUES, VALUES)
    return judge(Policy.model_validate({"rules": list(rules), **policy}), candidate, [baseline])


@pytest.mark.parametrize(
    ("rules", "options", "verdict", "code", "reason"),
    [
        ([PASSES], {}, "pass", 0, "Of 1 rules 1 passed."),
        ([FAILS], {}, "fail", 1, "Of 1 rules 1 failed."),
        ([UNDECIDED], {}, "inconclusive", 3, "Of 1 rules 1 could not be decided."),
        ([UNDECIDED, PASSES, PASSES], {}, "inconclusive", 3, "Of 3 rules 1 could not be decided, 2 passed."),
        ([UNDECIDED, PASSES], {"inconclusive": "pass"}, "pass", 0, "Of 2 rules 1 could not be decided, 1 passed."),
        ([UNDECIDED, FAILS, FAILS, PASSES], {}, "fail", 1, "Of 4 rules 2 failed, 1 could not be decided, 1 passed."),
        ([FAILS, UNDECIDED], {"inconclusive": "pass"}, "fail", 1, "Of 2 rules 1 failed, 1 could not be decided."),
    ],
)
def test_one_failed_rule_fails_the_report_and_one_undecided_rule_blocks_it(rules, options, verdict, code, reason):
    result = report(*rules, **options)
    assert (result.verdict, result.exit_code, result.reason) == (verdict, code, reason)


def test_a_report_names_its_policy_and_both_models():
    policy = Policy.model_validate({"rules": [PASSES]})
    baseline, candidate = inputs(ROUGE, VALUES, VALUES, created="2026-01-02")
    result = judge(policy, candidate, [baseline])
    assert (result.medbench_version, result.policy) == (__version__, policy)
    assert result.policy_sha256 == sha256_value(policy.model_dump(mode="json"))
    assert result.candidate == GateInputInfo(run="r", model="adapter", sha256="b", created="2026-01-02")
    assert result.baseline == input_info(baseline)
    assert result.baseline == GateInputInfo(run="r", model="base", sha256="a", created="2026-01-02")


def test_a_refused_candidate_fails_every_rule_for_one_reason():
    policy = Policy.model_validate({"rules": [PASSES, UNDECIDED | {"name": "mine"}, PASSES]})
    names = GateInputInfo(run="r", model="adapter"), GateInputInfo(run="s", model="base")
    result = refuse(policy, "the run is not complete", names[0], [names[1]])
    assert (result.candidate, result.baseline) == names
    assert [(rule.name, rule.rule, rule.verdict, rule.reason) for rule in result.rules] == [
        ("bound: t/m (min 0.0)", "bound", "fail", "the run is not complete"),
        ("mine", "superiority", "fail", "the run is not complete"),
        ("bound: t/m (min 0.0) (2)", "bound", "fail", "the run is not complete"),
    ]
    assert (result.verdict, result.exit_code, result.reason) == ("fail", 1, "Of 3 rules 3 failed.")


def test_names_that_occur_again_are_numbered():
    result = report(PASSES, PASSES, FAILS, PASSES, PASSES | {"name": "mine"})
    zero = "bound: t/m (min 0.0)"
    assert [rule.name for rule in result.rules] == [zero, f"{zero} (2)", "bound: t/m (min 1.0)", f"{zero} (3)", "mine"]


def test_each_rule_is_judged_by_its_own_function_in_the_order_of_the_policy():
    result = report(
        {"rule": "complete"},
        PASSES,
        {"rule": "superiority", "metric": "t/none"},
        {"rule": "change", "metric": "t/m", "min": -1},
        {"rule": "must_pass", "metric": "t/m", "ids": ["0"], "at_least": 0.1},
        {"rule": "non_inferiority", "metric": "t/m", "margin": 0.9},
        {"rule": "no_regression", "metric": "t/m", "margin": 0.9},
        UNDECIDED,
    )
    assert [(rule.rule, rule.verdict) for rule in result.rules] == [
        ("complete", "pass"),
        ("bound", "pass"),
        ("superiority", "fail"),
        ("change", "pass"),
        ("must_pass", "pass"),
        ("non_inferiority", "pass"),
        ("no_regression", "pass"),
        ("superiority", "inconclusive"),
    ]
    limits = [rule.limit for rule in result.rules]
    assert limits[1:2] + limits[3:] == [
        "at least 0 %",
        "at least -100 pp",
        "at least 10 %",
        "loses less than 90.0 pp",
        "no loss shown, and one of 90.0 pp ruled out",
        "is better",
    ]


def test_a_pattern_gives_one_result_for_each_metric():
    baseline, candidate = inputs(ROUGE, VALUES, VALUES)
    metrics = [ROUGE, ROUGE.model_copy(update={"key": "n"})]
    tasks = [task.model_copy(update={"metrics": metrics}) for task in candidate.results.tasks]
    candidate = replace(candidate, results=candidate.results.model_copy(update={"tasks": tasks}))
    result = report(PASSES | {"metric": "*/*"}, both=(baseline, candidate))
    assert [(rule.name, rule.verdict) for rule in result.rules] == [
        ("bound: t/m (min 0.0)", "pass"),
        ("bound: t/n (min 0.0)", "fail"),
    ]
    assert result.rules[1].reason == "adapter of r has no value of t/n"


@pytest.mark.parametrize("rule", ["superiority", "no_regression"])
def test_a_metric_without_a_direction_is_not_tested(rule):
    result = report({"rule": rule, "metric": "t/m"}, both=inputs(LENGTH, VALUES, VALUES))
    assert (result.rules[0].verdict, result.rules[0].reason, result.rules[0].metric) == (
        "fail",
        "neither direction of this metric is better; write a bound or a change for it",
        "m",
    )


def slice_of(start, stop, name):
    return {"rule": "no_regression", "metric": "t/m", "ids": [str(n) for n in range(start, stop)], "name": name}


def test_regressions_are_corrected_by_holm_where_anything_differs():
    """Nine of 60 lost in one slice, five of 60 in another, and a third in which nothing differs."""
    before, after = right_and_wrong(0, 9, 60)
    second = right_and_wrong(0, 5, 60)
    same = right_and_wrong(0, 0, 60)
    both = inputs(ACCURACY, before + second[0] + same[0], after + second[1] + same[1])
    result = report(slice_of(0, 60, "a"), slice_of(60, 120, "b"), slice_of(120, 180, "c"), PASSES, both=both)
    first, other, identical, bound = result.rules
    assert first.p_value < other.p_value < 0.05
    assert (first.p_adjusted, other.p_adjusted) == pytest.approx((2 * first.p_value, other.p_value))
    assert (identical.outcome, identical.p_adjusted, bound.p_adjusted) == ("identical", 1.0, None)
    assert [rule.name for rule in result.rules] == ["a", "b", "c", "bound: t/m (min 0.0)"]


def test_the_power_of_the_policy_plans_the_items():
    both = inputs(ACCURACY, *right_and_wrong(30, 40, 400))
    rules = [
        {"rule": "no_regression", "metric": "t/m"},
        {"rule": "non_inferiority", "metric": "t/m", "margin": 0.05},
        {"rule": "superiority", "metric": "t/m"},
        {"rule": "bound", "metric": "t/m", "min": 0.48, "confidence": 0.99},
        {"rule": "change", "metric": "t/m", "min": -0.03, "confidence": 0.99},
    ]
    reports = [report(*rules, both=both, power=power) for power in (0.8, 0.9)]
    eighty, ninety = ([rule.items_needed or 0 for rule in result.rules] for result in reports)
    assert all(more > fewer > 400 for fewer, more in zip(eighty, ninety, strict=True) if fewer)
    assert sum(needed > 0 for needed in eighty) >= 4


def test_an_input_is_named_by_its_model():
    _, candidate = inputs(ROUGE, VALUES, VALUES)
    assert isinstance(candidate, GateInput)
    assert input_info(candidate) == GateInputInfo(run="r", model="adapter", sha256="b", created="")


def described(rules, label="", **changes):
    """The report on a candidate whose task has a label and a setting."""
    baseline, candidate = inputs(ROUGE, VALUES, VALUES, **changes)
    tasks = [task.model_copy(update={"label": label, "setting": "40 of 90 items"}) for task in candidate.results.tasks]
    candidate = replace(candidate, results=candidate.results.model_copy(update={"tasks": tasks}), trained_here=True)
    return judge(Policy.model_validate({"rules": rules}), candidate, [baseline])


def test_a_report_says_what_was_judged_in_the_words_of_the_candidate_s_tasks():
    train = DataInfo(role="train", source="mine.jsonl", selection="", rows=1450, sha256="x", synthetic=False)
    report = described([PASSES, {"rule": "complete", "name": "whole"}], "PubMedQA", data=[train])
    bound, complete = report.rules
    assert (bound.subject, bound.info, bound.label) == ("ROUGE-L (PubMedQA)", ROUGE, "")
    assert (complete.subject, complete.info, complete.label) == ("", None, "whole")
    assert report.data == ["PubMedQA: 40 of 90 items"]
    assert report.candidate.trained_on == "1,450 rows of mine.jsonl"
    assert (report.baseline.trained_on, report.baseline.base) == ("", "")
    assert described([PASSES]).rules[0].subject == "ROUGE-L"
