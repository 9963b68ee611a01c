"""A gate report as text, Markdown and GitHub annotations."""

import pytest

from reports.gate.outcome import GateInputInfo, GateReport, MovedSample, RuleResult
from reports.gate.policy import DEFAULT
from reports.gate.render import facts_text, github_annotations, markdown, moved_text, rules_table

FAILED = RuleResult(
    name="no regression: t/m",
    rule="no_regression",
    task="t",
    metric="m",
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
    moved=[MovedSample(id="7", task="t", baseline=1.0, candidate=0.0, answer="no", gold="yes")],
)
UNDECIDED = RuleResult(name="few", rule="superiority", verdict="inconclusive", reason="too few", items_needed=711)
PASSED = RuleResult(name="complete", rule="complete", verdict="pass", reason="all 3 tasks are finished")


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


def test_the_table_starts_with_what_blocks():
    table = rules_table(report(PASSED, UNDECIDED, FAILED))
    assert table.columns == ("Rule", "Verdict", "Baseline", "Candidate", "Difference", "Why")
    assert table.rows == (
        ("no regression: t/m", "FAIL", "0.7", "0.6123", "-0.08766 [-0.15, -0.02]", "shown to be worse"),
        ("few", "inconclusive", "", "", "", "too few"),
        ("complete", "pass", "", "", "", "all 3 tasks are finished"),
    )


def test_a_difference_without_both_bounds_is_a_number():
    half = FAILED.model_copy(update={"high": None})
    assert rules_table(report(half)).rows[0][4] == "-0.08766"
    assert rules_table(report(half.model_copy(update={"low": None, "high": 0.1}))).rows[0][4] == "-0.08766"


def test_the_numbers_behind_a_verdict():
    assert facts_text(PASSED) == "verdict pass"
    assert facts_text(FAILED) == (
        "verdict fail, limit no loss shown, baseline 0.7, candidate 0.6123, difference -0.08766 [-0.15, -0.02],"
        " outcome worse, p 0.001, corrected p 0.002, n 400, items needed 1,200"
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "t 7"),
        ({"baseline": 1.0, "candidate": 0.0}, "t 7: baseline 1, candidate 0"),
        ({"candidate": (-31.25, 20.0)}, "t 7: candidate -31.25 / 20"),
        ({"answer": "no", "gold": "yes"}, "t 7: answer 'no', gold 'yes'"),
    ],
)
def test_an_item_that_moved_a_rule(fields, text):
    assert moved_text(MovedSample(id="7", task="t", **fields)) == text


def test_the_markdown_summary():
    assert markdown(report(FAILED, UNDECIDED, PASSED)) == (
        "## medbench gate: Blocked\n"
        "\n"
        "adapter of new against base of old. Of 3 rules 1 failed.\n"
        "\n"
        "| Rule | Verdict | Baseline | Candidate | Difference | Why |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| no regression: t/m | FAIL | 0.7 | 0.6123 | -0.08766 [-0.15, -0.02] | shown to be worse |\n"
        "| few | inconclusive |  |  |  | too few |\n"
        "| complete | pass |  |  |  | all 3 tasks are finished |\n"
        "\n"
        "<details><summary>no regression: t/m: the items that moved it, worst first</summary>\n"
        "\n"
        "- t 7: baseline 1, candidate 0, answer 'no', gold 'yes'\n"
        "\n"
        "</details>\n"
        "\n"
        "To decide every rule takes about 1,200 items.\n"
        "\n"
        "medbench 0.1, policy 0123456789ab, candidate weights fedcba987654 (not in the run folder, so not"
        " compared). Research output of a language model. Not medical advice.\n"
    )


def test_text_from_models_is_escaped():
    hostile = MovedSample(id="<b>&\n*x* @you", task="t")
    text = markdown(report(FAILED.model_copy(update={"name": "<i>", "moved": [hostile]})))
    assert "- t &lt;b>& \\*x\\* @\N{ZERO WIDTH SPACE}you\n" in text
    assert "<summary>&lt;i&gt;: the items" in text
    assert f"against {'b' * 400}. " in markdown(report(baselines=[GateInputInfo(run="r", model="b" * 999)]))


def test_unknown_weights_and_decided_rules_in_the_summary():
    text = markdown(report(PASSED, candidate=GateInputInfo(run="new", model="adapter", has_weights=True)))
    assert "candidate weights unknown." in text
    assert "To decide every rule" not in text
    assert "<details>" not in text


def test_annotations_are_errors_for_what_blocks():
    lenient = DEFAULT.model_copy(update={"inconclusive": "pass"})
    assert [*github_annotations(report(UNDECIDED, PASSED, FAILED))] == [
        "::error title=medbench gate%3A no regression%3A t/m::shown to be worse",
        "::error title=medbench gate%3A few::too few",
    ]
    assert [*github_annotations(report(UNDECIDED, FAILED, policy=lenient))] == [
        "::error title=medbench gate%3A no regression%3A t/m::shown to be worse",
        "::warning title=medbench gate%3A few::too few",
    ]


def test_annotations_are_escaped_and_few():
    hostile = FAILED.model_copy(update={"name": "a, 5 %", "reason": "100 %\r\nnext: line, here"})
    (line,) = github_annotations(report(hostile))
    assert line == "::error title=medbench gate%3A a%2C 5 %25::100 %25%0D%0Anext: line, here"
    long = FAILED.model_copy(update={"name": "n" * 999, "reason": "r" * 999})
    lines = [*github_annotations(report(*[long] * 12))]
    assert lines == [f"::error title=medbench gate%3A {'n' * 385}::{'r' * 400}"] * 10


ADVISORY = FAILED.model_copy(update={"name": "speed", "advisory": True, "moved": [], "items_needed": 9999})


def test_advisory_rules_are_shown_as_such_and_annotated_as_notices():
    whole = report(PASSED, ADVISORY, UNDECIDED, FAILED)
    assert [row[:2] for row in rules_table(whole).rows] == [
        ("no regression: t/m", "FAIL"),
        ("few", "inconclusive"),
        ("speed", "FAIL (advisory)"),
        ("complete", "pass"),
    ]
    assert [line.partition(" ")[0] for line in github_annotations(whole)] == ["::error", "::error", "::notice"]
    assert "To decide every rule takes about 1,200 items." in markdown(whole)
    assert facts_text(ADVISORY).startswith("verdict fail, advisory, limit no loss shown")


def test_all_baselines_are_named():
    others = [GateInputInfo(run="last", model="adapter"), GateInputInfo(run="first", model="base")]
    assert "adapter of new against adapter of last, base of first. Of 3" in markdown(report(baselines=others))
