"""What a candidate omits or describes otherwise than the baseline counts against it."""

from dataclasses import replace

import pytest

from reports.document.schema import TaskInfo
from reports.gate.judging import judge
from reports.gate.policy import DEFAULT, Policy
from tests.reports.gate.examples import ACCURACY, first, inputs, right_and_wrong, verdict, with_items

BOTH = inputs(ACCURACY, *right_and_wrong(10, 10, 400))
ACCEPTED = {"rule": "no_regression", "metric": "*/*"}


def rewritten(source, **changes):
    """A model of another run, whose results say these things."""
    return replace(source, results=source.results.model_copy(update=changes))


def reasons(candidate, *baselines, **policy):
    report = judge(Policy.model_validate({**DEFAULT.model_dump(), **policy}), candidate, baselines)
    return {rule.name: rule.reason for rule in report.rules if rule.verdict == "fail"}


def test_a_candidate_that_was_asked_everything_passes():
    baseline, candidate = BOTH
    assert reasons(candidate, baseline) == {}


def test_a_task_of_the_baseline_that_the_candidate_lacks_fails_complete_and_every_pattern():
    baseline, candidate = BOTH
    other = TaskInfo(name="other", title="O", metrics=[ACCURACY])
    wider = replace(rewritten(baseline, tasks=[*baseline.results.tasks, other]), items=baseline.items | {"other": {}})
    missing = "adapter of r was not scored on other"
    assert reasons(candidate, wider) == {
        "complete": missing,
        "leakage": "the items of other were not compared with the training rows",
        "contamination": "the items of other were not compared with the training rows",
        "no regression: other/m": missing,
    }
    rule = {"rule": "bound", "metric": "o*/*", "min": 0.1}
    assert verdict(rule, wider, candidate)[0].reason == missing


def test_a_metric_of_the_baseline_that_the_candidate_lacks_fails_too():
    baseline, candidate = BOTH
    second = ACCURACY.model_copy(update={"key": "second", "secondary": True})
    wider = rewritten(baseline, tasks=[TaskInfo(name="t", title="T", metrics=[ACCURACY, second])])
    assert reasons(candidate, wider) == {"complete": "adapter of r lacks t/second"}


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        ({"required": ["other"]}, "required: other"),
        ({"rules": [{"rule": "complete"}, {"rule": "bound", "metric": "other/m", "min": 0.5}]}, "complete"),
    ],
)
def test_tasks_that_the_policy_requires_or_names_have_to_be_there(policy, rule):
    baseline, candidate = BOTH
    assert reasons(candidate, baseline, **policy)[rule] == "adapter of r was not scored on other"


def test_a_required_task_that_is_finished_passes():
    baseline, candidate = BOTH
    report = judge(Policy.model_validate({"required": ["t"], "rules": [ACCEPTED]}), candidate, [baseline])
    assert (report.rules[0].name, report.rules[0].verdict) == ("required: t", "pass")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"higher_is_better": False}, "higher_is_better False, baseline True"),
        ({"higher_is_better": None}, "higher_is_better None, baseline True"),
        ({"secondary": True}, "secondary True, baseline False"),
        ({"descriptive": True}, "descriptive True, baseline False"),
        ({"relevant": 1e9}, "relevant 1000000000.0, baseline 0.05"),
        ({"kind": "mean"}, "kind mean, baseline proportion"),
        ({"percent": False}, "percent False, baseline True"),
    ],
)
def test_a_metric_that_the_candidate_describes_otherwise_is_not_judged(change, difference):
    baseline, candidate = BOTH
    task = TaskInfo(name="t", title="T", metrics=[ACCURACY.model_copy(update=change)])
    reason = f"adapter of r: t: m is a different metric in the baseline ({difference})"
    assert reasons(rewritten(candidate, tasks=[task]), baseline) == {
        "complete": reason,
        "no regression: t/m": reason,
    }


def test_clusters_are_the_baselines():
    baseline, candidate = BOTH
    regrouped = with_items(candidate, first({"cluster": "c"}))
    reason = "adapter of r: t: 1 items belong to other clusters in the baseline r (0)"
    assert reasons(regrouped, baseline) == {"complete": reason, "no regression: t/m": reason}
    assert verdict({"rule": "bound", "metric": "t/m", "min": 0.1}, baseline, regrouped)[0].reason == reason
