"""A gate report as text: requirements in words, one unit a row, the items behind a verdict, GitHub annotations."""

import pytest

from reports.document.schema import MetricInfo
from reports.gate.outcome import SHARE, GateInputInfo, GateReport, MovedSample, RuleResult
from reports.gate.policy import DEFAULT
from reports.gate.render import (
    blocking_first,
    facts_text,
    github_annotations,
    item_score_text,
    moved_text,
    requirement,
    result_text,
    rules_table,
)

ACCURACY = MetricInfo(key="m", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
PERPLEXITY = MetricInfo(key="p", title="Perplexity", kind="perplexity", higher_is_better=False)
ITEM = MovedSample(
    id="7",
    task="t",
    baseline=1.0,
    candidate=0.0,
    baseline_score=1.0,
    candidate_score=0.0,
    question="Is it?",
    baseline_answer="yes",
    answer="no",
    gold="yes",
)
FAILED = RuleResult(
    name="no regression: t/m",
    rule="no_regression",
    task="t",
    metric="m",
    subject="Accuracy (PubMedQA)",
    info=ACCURACY,
    verdict="fail",
    reason="shown to be worse",
    value=0.61234,
    baseline=0.7,
    difference=-0.08766,
    outcome="worse",
    low=-0.15,
    high=-0.02,
    limit="no loss shown",
    p_value=0.001,
    p_adjusted=0.002,
    n=400,
    items_needed=1200,
    moved=[ITEM],
)
UNDECIDED = RuleResult(name="few", rule="superiority", verdict="inconclusive", reason="too few", items_needed=711)
PASSED = RuleResult(name="complete", rule="complete", verdict="pass", reason="all 3 tasks are finished")
ADVISORY = FAILED.model_copy(update={"label": "speed", "advisory": True, "moved": [], "items_needed": 9999})


def report(*rules, **changes):
    fields = {
        "medbench_version": "0.1",
        "policy": DEFAULT,
        "policy_sha256": "0123456789abcdef",
        "candidate": GateInputInfo(run="new", model="adapter", sha256="fedcba9876543210"),
        "baseline": GateInputInfo(run="old", model="base"),
        "baselines": [GateInputInfo(run="old", model="base")],
        "verdict": "fail",
        "exit_code": 1,
        "reason": "Of 3 rules 1 failed.",
        "rules": list(rules),
    }
    return GateReport(**fields | changes)


def test_a_model_is_named_with_its_run():
    assert GateInputInfo(run="new", model="adapter").label == "adapter of new"


def test_rules_that_block_come_first_then_those_that_cannot():
    assert blocking_first([PASSED, ADVISORY, UNDECIDED, FAILED]) == [FAILED, UNDECIDED, ADVISORY, PASSED]


def test_a_row_has_one_unit_and_says_what_is_required():
    table = rules_table([FAILED, UNDECIDED, PASSED])
    assert table.columns == ("Requirement", "Result", "Baseline", "Candidate", "Change")
    assert table.rows == (
        ("Accuracy (PubMedQA): no loss shown", "FAIL, worse", "70.0 %", "61.2 %", "-8.8 pp [-15.0, -2.0]"),
        ("few", "inconclusive", "", "", ""),
        ("All tasks are scored completely", "pass", "", "", ""),
    )


@pytest.mark.parametrize("missing", ["low", "high"])
def test_a_difference_without_both_bounds_is_a_number(missing):
    assert rules_table([FAILED.model_copy(update={missing: None})]).rows[0][4] == "-8.8 pp"


@pytest.mark.parametrize(
    ("rule", "requires", "value"),
    [
        ({"rule": "peak_memory", "value": 12.345, "unit": "GiB", "limit": "at most 16 GiB"},
         "Memory of training: at most 16 GiB", "12.35 GiB"),
        ({"rule": "throughput", "value": 1234.5, "unit": "tokens per second", "limit": "at least 900"},
         "Speed: at least 900", "1,234 tokens per second"),
        ({"rule": "truncated", "value": 0.05, "unit": SHARE, "limit": "at most 0.0 %"},
         "Answers cut off at the token limit: at most 0.0 %", "5.0 %"),
        ({"rule": "leakage", "value": 3.0, "unit": "items", "limit": "at most 0 items"},
         "Test items that equal training rows: at most 0 items", "3 items"),
        ({"rule": "required", "task": "medqa"}, "A required task is scored: medqa", ""),
        ({"rule": "bound", "label": "calibrated", "subject": "ECE", "info": ACCURACY, "value": 0.04,
          "limit": "at most 5 %"}, "calibrated: ECE: at most 5 %", "4.0 %"),
        ({"rule": "bound", "subject": "ECE", "info": ACCURACY, "slice": "class maybe", "against": "adapter of old",
          "limit": "at most 5 %"}, "ECE, class maybe: at most 5 % (against adapter of old)", ""),
    ],
)  # fmt: skip
def test_rules_in_words_with_their_unit(rule, requires, value):
    result = RuleResult(**{"name": "n", "verdict": "pass", "reason": "", **rule})
    assert requirement(result) == requires
    assert rules_table([result]).rows[0][3] == value


def test_values_of_other_metrics_are_numbers():
    worse = FAILED.model_copy(update={"info": PERPLEXITY, "value": 8.1234, "baseline": 7.0, "difference": 1.1234})
    assert rules_table([worse]).rows[0][2:] == ("7.00", "8.12", "+1.12 [-0.150, -0.020]")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "FAIL, worse"),
        ({"advisory": True}, "FAIL, worse (advisory)"),
        ({"verdict": "pass", "outcome": "equivalent"}, "pass, equivalent"),
        ({"verdict": "inconclusive", "outcome": "inconclusive"}, "inconclusive"),
        ({"verdict": "pass", "outcome": None}, "pass"),
    ],
)
def test_results_have_the_outcome_words_of_reports(changes, text):
    assert result_text(FAILED.model_copy(update=changes)) == text


def test_the_numbers_behind_a_verdict():
    assert facts_text(PASSED) == "verdict pass"
    assert facts_text(FAILED) == (
        "verdict fail, limit no loss shown, baseline 70.0 %, candidate 61.2 %, difference -8.8 pp [-15.0, -2.0],"
        " outcome worse, p 0.001, corrected p 0.002, n 400, items needed 1,200"
    )
    assert facts_text(ADVISORY).startswith("verdict fail, advisory, limit no loss shown")


@pytest.mark.parametrize(
    ("fields", "info", "text"),
    [
        ({}, ACCURACY, "item (t, item 7)"),
        ({"baseline_score": 1.0, "candidate_score": 0.0}, ACCURACY, "wrong instead of right (t, item 7)"),
        ({"candidate_score": 4.7707}, PERPLEXITY, "4.77 (t, item 7)"),
        ({"baseline_score": 3.25, "candidate_score": 4.7707}, PERPLEXITY, "4.77 instead of 3.25 (t, item 7)"),
        ({"baseline_score": 1.0, "candidate_score": 0.0}, None, "item (t, item 7)"),
        ({"answer": "no\n way", "gold": "yes"}, ACCURACY, "gold 'yes'; answered 'no way' (t, item 7)"),
    ],
)
def test_an_item_that_moved_a_rule(fields, info, text):
    sample = MovedSample(id="7", task="t", **fields)
    assert moved_text(sample, info) == text
    assert moved_text(sample, info, with_id=False) == text.removesuffix(" (t, item 7)")


def test_scores_of_items_are_right_or_wrong_where_a_metric_counts_that():
    assert [item_score_text(score, ACCURACY) for score in (1.0, 0.0, 0.5, None)] == ["right", "wrong", "50.0 %", ""]
    assert item_score_text(1.0, PERPLEXITY) == "1.00"


def test_annotations_are_errors_for_what_blocks():
    lenient = DEFAULT.model_copy(update={"inconclusive": "pass"})
    worse = "title=medbench gate%3A Accuracy (PubMedQA)%3A no loss shown::shown to be worse"
    assert [*github_annotations(report(UNDECIDED, PASSED, FAILED))] == [
        f"::error {worse}",
        "::error title=medbench gate%3A few::too few",
    ]
    assert [*github_annotations(report(UNDECIDED, FAILED, policy=lenient))] == [
        f"::error {worse}",
        "::warning title=medbench gate%3A few::too few",
    ]
    lines = github_annotations(report(PASSED, ADVISORY, UNDECIDED, FAILED))
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::error", "::notice"]


def test_annotations_are_escaped_and_few():
    hostile = FAILED.model_copy(update={"subject": "a,\u202e 5 %", "limit": "", "reason": "100 %\r\nnext: line, here"})
    (line,) = github_annotations(report(hostile))
    assert line == "::error title=medbench gate%3A a%2C 5 %25::100 %25%0D%0Anext: line, here"
    long = FAILED.model_copy(update={"subject": "n" * 999, "reason": "r" * 999})
    lines = [*github_annotations(report(*[long] * 12))]
    assert lines == [f"::error title=medbench gate%3A {'n' * 385}::{'r' * 400}"] * 10
