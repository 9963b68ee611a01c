"""Writes a gate report as JUnit XML: one suite with a case for each rule.

A failed rule is a failure; an inconclusive one is an error if the policy blocks those, else a skipped case, and so is
every advisory rule that does not pass. The
document is valid under both common schemas, Ant's (JUnit.xsd) and that of Jenkins' xUnit plugin (junit-10.xsd).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from reports.gate.outcome import GateReport, RuleResult
from reports.gate.render import baselines_text, facts_text, moved_text

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def junit_xml(report: GateReport) -> str:
    """The report as a JUnit XML document."""
    results = [_result(report, rule) for rule in report.rules]
    attributes = {
        "name": _token(report.candidate.label),
        "package": "medbench.gate",
        "id": "0",
        "hostname": "localhost",
        "timestamp": _timestamp(report.candidate.created),
        "time": "0",
        "tests": str(len(report.rules)),
        "failures": str(results.count("failure")),
        "errors": str(results.count("error")),
        "skipped": str(results.count("skipped")),
    }
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("verdict", report.verdict),
        ("reason", report.reason),
        ("baseline", baselines_text(report)),
        ("policy_sha256", report.policy_sha256),
        ("medbench", report.medbench_version),
    ):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    for rule, result in zip(report.rules, results, strict=True):
        _add_case(suite, rule, result)
    passed = [f"{rule.name}: {rule.reason}; {facts_text(rule)}" for rule in report.rules if rule.verdict == "pass"]
    ET.SubElement(suite, "system-out").text = _clean("\n".join(passed))
    ET.SubElement(suite, "system-err")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _result(report: GateReport, rule: RuleResult) -> str:
    """The element of a rule's case; empty if it passed."""
    if rule.verdict == "pass":
        return ""
    return {"fail": "failure", "inconclusive": "error"}[rule.verdict] if report.blocks(rule) else "skipped"


def _add_case(suite: ET.Element, rule: RuleResult, result: str) -> None:
    classname = f"medbench.gate.{rule.task or rule.rule}"
    case = ET.SubElement(suite, "testcase", name=_token(rule.name), classname=_token(classname), time="0")
    message = _clean(f"advisory, {rule.verdict}: {rule.reason}" if rule.advisory else rule.reason)
    if result == "skipped":
        ET.SubElement(case, "skipped", message=message)
    elif result:
        kind = _token(rule.rule) if result == "failure" else "inconclusive"
        details = "\n".join([rule.reason, facts_text(rule), *(moved_text(sample, rule.info) for sample in rule.moved)])
        ET.SubElement(case, result, message=message, type=kind).text = _clean(details)


def _timestamp(created: str) -> str:
    """When the candidate was scored, in UTC and without a time zone, as Ant's schema requires."""
    try:
        return datetime.fromisoformat(created).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError):
        return "1970-01-01T00:00:00"


def _clean(text: str) -> str:
    """Replace the characters that XML does not allow."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _token(text: str) -> str:
    """Text on one line, as the schemas require of names."""
    return " ".join(_clean(text).split())
