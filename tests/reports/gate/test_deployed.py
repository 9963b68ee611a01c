"""The rule `deployed_equals`: it passes only for an equivalent certificate of these weights, within its own margins."""

from dataclasses import replace

import pytest

from reports.errors import UserError
from reports.gate.comment import comment
from reports.gate.junit import junit_xml
from reports.verification.equivalence import judge
from tests.reports.gate.examples import ACCURACY, inputs, right_and_wrong, verdict
from tests.reports.verification.deployments import document, equal_parts, quiz, random_nats

RULE = {"rule": "deployed_equals"}


def certified(metric=None, **reference):
    """An equivalent certificate of the candidate's accuracy on 500 items, all of which it answers as it did."""
    parts = equal_parts()
    info = (metric or ACCURACY).model_copy()
    part = parts.metrics[0].model_copy(update={"task": "t", "info": info, "reference": 0.5, "target": 0.5})
    return document(parts.model_copy(update={"metrics": [part]}), **reference)


def judged(certificate, rule=RULE):
    baseline, candidate = inputs(ACCURACY, *right_and_wrong(0, 0, 500))
    files = {} if certificate is None else {"verify.json": certificate}
    return verdict(rule, baseline, replace(candidate, certificates=files))


def test_an_equivalent_certificate_of_these_weights_passes():
    result, report = judged(certified())
    assert (result.verdict, result.outcome, result.n) == ("pass", "equivalent", 500), result.reason
    assert "Deployed as q8_0 GGUF: equivalent to the evaluated adapter on 500 items" in result.reason
    assert "margin 5.0 pp" in result.reason
    assert "deployed equals" in junit_xml(report)
    assert "| Deployed model: equivalent to the candidate | ✅ met, equivalent |" in comment(report)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (None, "there is no verify.json"),
        ("verify.json cannot be used: x", "cannot be used"),
        (certified(sha256="other"), "weights other, not b"),
        (certified(base_sha256="other"), "base other, not a"),
        (certified(config_sha256="other"), "settings other, not unknown"),
        (certified(ACCURACY.model_copy(update={"key": "x"})), "does not compare t/m"),
        (document(equal_parts()), "does not compare t/m"),
    ],
)
def test_every_other_certificate_fails(certificate, reason):
    result, _ = judged(certificate)
    assert result.verdict == "fail"
    assert reason in result.reason


def test_a_certificate_of_other_answers_fails():
    certificate = certified()
    certificate.metrics[0].reference = 0.4
    assert "compares other answers: t/m was 0.4, not 0.5" in judged(certificate)[0].reason


def test_outcomes_become_verdicts():
    from tests.reports.verification.deployments import CHOICES

    few, nats = random_nats(30), random_nats(300)
    inconclusive = judged(document(judge([CHOICES], quiz(few), quiz(few))))[0]
    different = judged(document(judge([CHOICES], quiz(nats), quiz(nats - 1.0))))[0]
    assert (inconclusive.verdict, different.verdict) == ("inconclusive", "fail")
    assert inconclusive.items_needed > 30


def test_the_rules_own_margins_decide_too():
    assert judged(certified(), RULE | {"margins": {"t/*": 0.2}})[0].verdict == "pass"
    assert judged(certified(), RULE | {"margins": {"t/m": 0.001}})[0].verdict == "inconclusive"
    assert judged(certified(), RULE | {"max_nats_per_token": 0.1})[0].verdict == "pass"
    tight = judged(certified(), RULE | {"max_nats_per_token": 1e-6})[0]
    assert (tight.verdict, "above the limit of 1e-06" in tight.reason) == ("fail", True)
    assert "no-such is not a task" in judged(certified(), RULE | {"tasks": ["no-such"]})[0].reason


@pytest.mark.parametrize(("margins", "fault"), [({"t/m": 5.0}, "is less than 1"), ({"t/x": 0.1}, "no main metric")])
def test_margins_that_mean_nothing_are_errors_of_the_policy(margins, fault):
    with pytest.raises(UserError, match=fault):
        judged(certified(), RULE | {"margins": margins})
