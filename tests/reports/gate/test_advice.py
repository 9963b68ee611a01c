"""What to change so that a rule gets a decision: the number of questions, and the setting that scores so many."""

from dataclasses import replace

import pytest

from reports.document.schema import DataInfo
from reports.gate.advice import advice
from reports.gate.outcome import RuleResult
from reports.gate.policy import DEFAULT
from tests.reports.gate.examples import ACCURACY, inputs, right_and_wrong, verdict

UNDECIDED = RuleResult(
    name="no regression: t/m",
    rule="no_regression",
    task="t",
    metric="m",
    subject="Accuracy",
    verdict="inconclusive",
    reason="too few",
    n=60,
    items_needed=356,
)


def candidate_with(available, scoring=None, source="mine.jsonl"):
    """A candidate whose task has so many questions, with these settings of its recipe."""
    _, candidate = inputs(ACCURACY, *right_and_wrong(2, 2, 60))
    data = DataInfo(
        role="t", source="mine.jsonl", selection="", rows=60, sha256="x", synthetic=False, available=available
    )
    recipe = {"scoring": scoring or {}, "data": {"train": {"source": source}, "reasoning": {"source": source}}}
    return replace(candidate, results=candidate.results.model_copy(update={"data": [data], "recipe": recipe}))


def advised(candidate, *rules):
    return advice(rules or (UNDECIDED,), DEFAULT, candidate)


CHANCE = "which decides Accuracy with a probability of about 80 %"


@pytest.mark.parametrize(
    ("scoring", "settings"),
    [
        ({}, "set scoring.limits: {t: 356} in the recipe"),
        ({"limits": {"t": 60}}, "set scoring.limits: {t: 356} (60 now) in the recipe"),
        ({"limit": 60}, "set scoring.limit: 356 (60 now) in the recipe"),
        (
            {"limit": 60, "limits": {"t": 80}},
            "set scoring.limit: 356 (60 now) and scoring.limits: {t: 356} (80 now) in the recipe",
        ),
        ({"limit": 500, "limits": {"t": 60}}, "set scoring.limits: {t: 356} (60 now) in the recipe"),
        ({"limit": "many", "limits": 3}, "set scoring.limits: {t: 356} in the recipe"),
    ],
)
def test_the_setting_that_limits_the_questions_is_named(scoring, settings):
    text = f"Score about 356 questions of T instead of 60, {CHANCE}: {settings}."
    assert advised(candidate_with(1000, scoring)) == [text]


def test_results_of_earlier_versions_do_not_say_how_many_questions_there_are():
    assert advised(candidate_with(None))[0].startswith("Score about 356 questions of T instead of 60")


def test_data_that_is_too_small_has_to_grow_or_the_rule_to_be_looser():
    assert advised(candidate_with(60)) == [
        (
            f"T has 60 questions, and about 356 are needed, {CHANCE}: add questions to data.reasoning (mine.jsonl), or"
            " loosen margin of these rules in the policy."
        )
    ]
    assert advised(candidate_with(200, {"limit": 60}, source="other.jsonl")) == [
        (
            f"T has 200 questions, and about 356 are needed, {CHANCE}: score a larger data set, or loosen margin of"
            " these rules in the policy; until then set scoring.limit: 200 (60 now) in the recipe."
        )
    ]


def test_the_rules_of_a_task_share_one_sentence_with_the_largest_number():
    other = UNDECIDED.model_copy(update={"subject": "Macro-F1", "rule": "superiority", "items_needed": 1200})
    (text,) = advised(candidate_with(100), UNDECIDED, other)
    assert text.startswith("T has 100 questions, and about 1,200 are needed, which decides Accuracy and Macro-F1 with")
    assert "loosen margin and detect of these rules" in text


def test_the_mean_of_a_suite_needs_more_questions_of_all_its_tasks():
    suite = UNDECIDED.model_copy(update={"task": "retention", "subject": "Mean of retention"})
    assert advised(candidate_with(100), suite) == [
        (
            "Score about 356 questions of the suite retention instead of 60, which decides Mean of retention with a"
            " probability of about 80 %: raise scoring.limit and scoring.limits in the recipe, or a margin in the"
            " policy where its tasks have no more."
        )
    ]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            {"rule": "non_inferiority"},
            (
                "Accuracy: no number of questions is expected to decide it. Train the candidate further if it is near"
                " the limit, score questions of every class if some are rare, or change margin of the rule in the"
                " policy."
            ),
        ),
        (
            {"rule": "bound"},
            (
                "Accuracy: no number of questions is expected to decide it. Train the candidate further if it is near"
                " the limit, score questions of every class if some are rare, or change confidence of the rule in the"
                " policy."
            ),
        ),
        (
            {"rule": "no_bad_slice"},
            (
                "Score more questions (scoring.limit, scoring.limits), or name columns with fewer values in by of the"
                " rule: no slice of Accuracy has 10 questions."
            ),
        ),
        (
            {"rule": "deployed_equals", "task": None},
            "Repeat medbench verify with more items (--limit): the certificate does not decide yet.",
        ),
    ],
)
def test_rules_that_no_number_of_questions_decides(rule, text):
    undecided = UNDECIDED.model_copy(update={"items_needed": None, **rule})
    assert advised(candidate_with(1000), undecided, undecided) == [text]


def test_decided_and_advisory_rules_need_no_advice():
    rules = [UNDECIDED.model_copy(update=change) for change in ({"verdict": "pass"}, {"advisory": True})]
    assert advised(candidate_with(1000), *rules) == []


def test_a_report_has_the_advice_of_its_rules():
    _, report = verdict({"rule": "no_regression", "metric": "t/m"}, *inputs(ACCURACY, *right_and_wrong(2, 2, 60)))
    (rule,) = report.rules
    assert report.advice == [
        (
            f"Score about {rule.items_needed:,} questions of T instead of 60, {CHANCE}: set scoring.limits:"
            f" {{t: {rule.items_needed}}} in the recipe."
        )
    ]
