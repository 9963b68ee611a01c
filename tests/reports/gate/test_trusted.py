"""What a candidate omits or describes otherwise than the baseline counts against it."""

from dataclasses import replace

import pytest

from reports.document.evidence import OverlapMatch
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


def on_base(model, /, **changes):
    """A model of another run, on another base."""
    return rewritten(model, base=model.results.base.model_copy(update=changes))


OTHER_BASE = (
    "what adapter was trained on is unknown: its base x (SHA-256 c...) is not that of the baseline, nor recorded;"
    " declare its data when you score it (--set trained_on.base=FILE), or accept this with the policy line `unknown:"
    " pass` under `rule: leakage`"
)


@pytest.mark.parametrize("given", [None, "unknown"])
def test_a_base_that_is_not_the_baselines_is_one_with_unknown_training_data(given):
    """Such as one that was trained on test items and lost its record."""
    baseline, candidate = BOTH
    other = on_base(candidate, sha256="c", source="x", training_data=given)
    assert reasons(other, baseline) == {
        "leakage": OTHER_BASE,
        "contamination": OTHER_BASE.replace("rule: leakage", "rule: contamination"),
    }
    assert reasons(other, baseline, on_base(other, name="base")) == {}
    unsaid = rewritten(candidate, base=None)
    assert "the results of r do not record its base" in reasons(unsaid, baseline)["leakage"]
    assert "leakage" in reasons(candidate, rewritten(replace(baseline, model="adapter"), base=None))


@pytest.mark.parametrize("given", ["known", "declared"])
def test_a_base_whose_rows_were_compared_may_be_another(given):
    baseline, candidate = BOTH
    assert reasons(on_base(candidate, sha256="c", training_data=given), baseline) == {}


def test_the_base_of_the_candidates_own_run_vouches_for_none():
    baseline, candidate = BOTH
    other = on_base(candidate, sha256="c")
    own = replace(other, model="base")
    assert reasons(other, own) == {}
    assert "leakage" in reasons(other, own, baseline)


def test_accepting_an_unknown_base_accepts_no_leak_that_is_known():
    baseline, candidate = BOTH
    other = on_base(candidate, sha256="c", source="x")
    rule = {"rule": "leakage", "unknown": "pass"}
    accepted = OTHER_BASE.partition(";")[0] + ", which the policy accepts"
    assert verdict(rule, baseline, other)[0].reason == (
        f"0 test items are (nearly) equal to rows that were trained on; {accepted}"
    )
    match = OverlapMatch(task="t", item="3", row="r", role="train", kind="exact", part="question", share=1, rows=1)
    leaked = other.results.overlap.model_copy(update={"matches": [match]})
    assert verdict(rule, baseline, rewritten(other, overlap=leaked))[0].verdict == "fail"


@pytest.mark.parametrize("change", [{"sha256": "c"}, {"config_sha256": "c"}, {"tokenizer_sha256": "c"}])
def test_the_same_adapter_on_another_base_is_another_model(change):
    rule = {"rule": "no_regression", "metric": "t/m"}
    baseline, candidate = inputs(ACCURACY, *right_and_wrong(0, 0, 12))
    released = rewritten(replace(candidate, items=baseline.items))
    assert verdict(rule, released, candidate)[0].verdict == "pass"
    assert verdict(rule, released, on_base(candidate, **change))[0].verdict == "inconclusive"


def test_clusters_are_the_baselines():
    baseline, candidate = BOTH
    regrouped = with_items(candidate, first({"cluster": "c"}))
    reason = "adapter of r: t: 1 items belong to other clusters in the baseline r (0)"
    assert reasons(regrouped, baseline) == {"complete": reason, "no regression: t/m": reason}
    assert verdict({"rule": "bound", "metric": "t/m", "min": 0.1}, baseline, regrouped)[0].reason == reason


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, ""),
        ({"chat_template_sha256": "c"}, "another chat template than"),
        ({"chat_template_sha256": "c", "tokenizer_sha256": "c"}, "another chat template and tokenizer than"),
        ({"tokenizer_sha256": None}, ""),  # as of a pool
    ],
)
def test_other_prompts_than_the_baselines_are_reported(changes, sentence):
    def prompted(source, **hashes):
        models = [info.model_copy(update=hashes) for info in source.results.models]
        return rewritten(source, models=models)

    hashes = {"tokenizer_sha256": "a", "chat_template_sha256": "b"}
    baseline, candidate = (prompted(source, **hashes) for source in BOTH)
    report = judge(DEFAULT, prompted(candidate, **changes), [baseline])
    warning = "The candidate was prompted with " + sentence
    assert (warning in report.reason) == bool(sentence)
    assert ("prompted" in report.reason) == bool(sentence)
    assert report.verdict == "pass"
