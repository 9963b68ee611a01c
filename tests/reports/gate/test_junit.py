"""A gate report as JUnit XML."""

from xml.etree import ElementTree as ET

import pytest

from reports.gate.junit import junit_xml
from reports.gate.outcome import GateInputInfo
from reports.gate.policy import DEFAULT
from tests.reports.gate.test_render import FAILED, PASSED, UNDECIDED, report


def suite_of(*rules, **changes):
    document = junit_xml(report(*rules, **changes))
    assert document.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n  <testsuite ')
    assert document.endswith("</testsuites>\n")
    return ET.fromstring(document.split("\n", 1)[1]).find("testsuite")


def test_a_suite_counts_its_cases_and_names_the_models():
    second = PASSED.model_copy(update={"name": "again"})
    suite = suite_of(FAILED, UNDECIDED, PASSED, second)
    assert suite.attrib == {
        "name": "adapter of new",
        "package": "medbench.gate",
        "id": "0",
        "hostname": "localhost",
        "timestamp": "1970-01-01T00:00:00",
        "time": "0",
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    assert {entry.get("name"): entry.get("value") for entry in suite.find("properties")} == {
        "verdict": "fail",
        "reason": "Of 3 rules 1 failed.",
        "baseline": "base of old",
        "policy_sha256": "0123456789abcdef",
        "medbench": "0.1",
    }
    assert suite.find("system-out").text == (
        "complete: all 3 tasks are finished; verdict pass\nagain: all 3 tasks are finished; verdict pass"
    )
    assert suite.find("system-err").text is None


def test_a_failed_rule_is_a_failure_with_its_items():
    case = suite_of(FAILED).find("testcase")
    assert case.attrib == {"name": "no regression: t/m", "classname": "medbench.gate.t", "time": "0"}
    (failure,) = case
    assert (failure.tag, failure.attrib) == ("failure", {"message": "shown to be worse", "type": "no_regression"})
    reason, facts, item = failure.text.split("\n")
    assert reason == "shown to be worse"
    assert facts.startswith("verdict fail, limit no loss shown")
    assert (
        item
        == "wrong instead of right; question 'Is it?'; gold 'yes'; baseline answered 'yes'; answered 'no' (t, item 7)"
    )


def test_an_inconclusive_rule_is_an_error_if_the_policy_blocks_it_and_else_skipped():
    (error,) = suite_of(UNDECIDED).find("testcase")
    assert (error.tag, error.attrib) == ("error", {"message": "too few", "type": "inconclusive"})
    assert error.text == "too few\nverdict inconclusive, items needed 711"
    suite = suite_of(UNDECIDED, PASSED, policy=DEFAULT.model_copy(update={"inconclusive": "pass"}))
    assert (suite.get("errors"), suite.get("skipped")) == ("0", "1")
    case, passed = suite.findall("testcase")
    assert [(part.tag, part.attrib) for part in case] == [("skipped", {"message": "too few"})]
    assert (case.get("classname"), [*passed]) == ("medbench.gate.superiority", [])


@pytest.mark.parametrize(
    ("created", "timestamp"),
    [
        ("2026-11-28T12:30:15+02:00", "2026-11-28T10:30:15"),
        ("2026-11-28T12:30:15.123456+00:00", "2026-11-28T12:30:15"),
        ("0001-01-01T00:00:00+05:00", "1970-01-01T00:00:00"),
        ("yesterday", "1970-01-01T00:00:00"),
    ],
)
def test_the_timestamp_is_when_the_candidate_was_scored_in_utc(created, timestamp):
    suite = suite_of(PASSED, candidate=GateInputInfo(run="r", model="m", created=created))
    assert suite.get("timestamp") == timestamp


def test_characters_that_xml_does_not_allow_are_replaced():
    hostile = FAILED.model_copy(update={"name": "a\x00\n b", "reason": "\x1b[31m\ttext"})
    suite = suite_of(hostile, PASSED.model_copy(update={"reason": "x\x01"}), reason="y\x02")
    case = suite.find("testcase")
    assert case.get("name") == "a\N{REPLACEMENT CHARACTER} b"
    assert case.find("failure").get("message") == "\N{REPLACEMENT CHARACTER}[31m\ttext"
    assert suite.find("properties")[1].get("value") == "y\N{REPLACEMENT CHARACTER}"
    assert suite.find("system-out").text.startswith("complete: x\N{REPLACEMENT CHARACTER}; ")


def test_an_advisory_rule_that_does_not_pass_is_skipped():
    suite = suite_of(FAILED.model_copy(update={"advisory": True}), PASSED.model_copy(update={"advisory": True}))
    assert [suite.get(name) for name in ("failures", "errors", "skipped")] == ["0", "0", "1"]
    case, passed = suite.findall("testcase")
    message = "advisory, fail: shown to be worse"
    assert [(part.tag, part.attrib) for part in case] == [("skipped", {"message": message})]
    assert [*passed] == []
