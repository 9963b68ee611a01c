"""Writes a gate report as JUnit XML: one suite with a case for each rule.

A failed rule is a failure; an inconclusive one is an error if the policy blocks those, else a skipped case. The
document is valid under both common schemas, Ant's (JUnit.xsd) and that of Jenkins' xUnit plugin (junit-10.xsd).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from reports.gate.outcome import GateReport, RuleResult
from reports.gate.render import facts_text, label, moved_text

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def junit_xml(report: GateReport) -> str:
    """The report as a JUnit XML document."""
    blocks = report.policy.inconclusive == "block"
    attributes = {
        "name": _token(label(report.candidate)),
        "package": "medbench.gate",
        "id": "0",
        "hostname": "localhost",
        "timestamp": _timestamp(report.candidate.created),
        "time": "0",
        "tests": str(len(report.rules)),
        "failures": str(sum(rule.verdict == "fail" for rule in report.rules)),
        "errors": str(sum(rule.verdict == "inconclusive" and blocks for rule in report.rules)),
        "skipped": str(sum(rule.verdict == "inconclusive" and not blocks for rule in report.rules)),
    }
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("verdict", report.verdict),
        ("reason", report.reason),
        ("baseline", label(report.baseline)),
        ("policy_sha256", report.policy_sha256),
        ("medbench", report.medbench_version),
    ):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    for rule in report.rules:
        _add_case(suite, rule, blocks=blocks)
    passed = [f"{rule.name}: {rule.reason}; {facts_text(rule)}" for rule in report.rules if rule.verdict == "pass"]
    ET.SubElement(suite, "system-out").text = _clean("\n".join(passed))
    ET.SubElement(suite, "system-err")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _add_case(suite: ET.Element, rule: RuleResult, *, blocks: bool) -> None:
    classname = f"medbench.gate.{rule.task or rule.rule}"
    case = ET.SubElement(suite, "testcase", name=_token(rule.name), classname=_token(classname), time="0")
    details = _clean("\n".join([rule.reason, facts_text(rule), *map(moved_text, rule.moved)]))
    if rule.verdict == "fail":
        ET.SubElement(case, "failure", message=_clean(rule.reason), type=_token(rule.rule)).text = details
    elif rule.verdict == "inconclusive" and blocks:
        ET.SubElement(case, "error", message=_clean(rule.reason), type="inconclusive").text = details
    elif rule.verdict == "inconclusive":
        ET.SubElement(case, "skipped", message=_clean(rule.reason))


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
