"""Renders a gate report as lines of text, a Markdown summary and GitHub annotations."""

from __future__ import annotations

import html
from collections.abc import Iterator

from reports.gate.outcome import GateReport, MovedSample, RuleResult, Verdict
from reports.tables import NOT_MEDICAL_ADVICE, Table
from reports.text import break_up, plain_markdown, visible

HEADINGS: dict[Verdict, str] = {"pass": "Passed", "fail": "Blocked", "inconclusive": "Inconclusive"}
_MARKS: dict[Verdict, str] = {"pass": "pass", "fail": "FAIL", "inconclusive": "inconclusive"}
_ORDER: dict[Verdict, int] = {"fail": 0, "inconclusive": 1, "pass": 2}
_ANNOTATIONS = 10  # GitHub shows at most as many per step
_TEXT = 400


def baselines_text(report: GateReport) -> str:
    """The baselines as `MODEL of RUN`, separated by commas."""
    return ", ".join(info.label for info in report.baselines)


def rules_table(report: GateReport) -> Table:
    """A table of all rules, those that block first."""
    rows = [
        (rule.name, _mark(rule), _number(rule.baseline), _number(rule.value), _difference(rule), rule.reason)
        for rule in sorted(report.rules, key=_order)
    ]
    return Table(("Rule", "Verdict", "Baseline", "Candidate", "Difference", "Why"), tuple(rows), figures=False)


def _mark(rule: RuleResult) -> str:
    return f"{_MARKS[rule.verdict]} (advisory)" if rule.advisory else _MARKS[rule.verdict]


def _order(rule: RuleResult) -> tuple[bool, bool, int]:
    return rule.verdict == "pass", rule.advisory, _ORDER[rule.verdict]


def facts_text(rule: RuleResult) -> str:
    """The numbers behind a verdict, in one line."""
    parts = [f"verdict {rule.verdict}"] + ["advisory"] * rule.advisory
    for name, value in (
        ("limit", rule.limit),
        ("baseline", _number(rule.baseline)),
        ("candidate", _number(rule.value)),
        ("difference", _difference(rule)),
        ("outcome", rule.outcome or ""),
        ("p", _number(rule.p_value)),
        ("corrected p", _number(rule.p_adjusted)),
        ("n", str(rule.n) if rule.n else ""),
        ("items needed", f"{rule.items_needed:,}" if rule.items_needed else ""),
    ):
        if value:
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def moved_text(sample: MovedSample) -> str:
    """An item that moved a rule, in one line."""
    values = [("baseline", sample.baseline), ("candidate", sample.candidate)]
    parts = [f"{name} {_values(value)}" for name, value in values if value is not None]
    parts += [f"answer {sample.answer!r}"] if sample.answer else []
    parts += [f"gold {sample.gold!r}"] if sample.gold else []
    return f"{sample.task} {sample.id}: {', '.join(parts)}" if parts else f"{sample.task} {sample.id}"


def markdown(report: GateReport) -> str:
    """The summary in GitHub-flavoured Markdown, with all text from data and models escaped."""
    lines = [
        f"## medbench gate: {HEADINGS[report.verdict]}",
        plain_markdown(f"{report.candidate.label[:_TEXT]} against {baselines_text(report)[:_TEXT]}. {report.reason}"),
        rules_table(report).markdown(_escape),
    ]
    for rule in report.rules:
        if rule.moved:
            items = "\n".join(f"- {_escape(moved_text(sample))}" for sample in rule.moved)
            heading = f"{_escape_html(rule.name)}: the items that moved it, worst first"
            lines.append(f"<details><summary>{heading}</summary>\n\n{items}\n\n</details>")
    needed = [rule.items_needed for rule in report.rules if rule.items_needed and not rule.advisory]
    if needed:
        lines.append(f"To decide every rule takes about {max(needed):,} items.")
    lines.append(
        _escape(
            f"medbench {report.medbench_version}, policy {report.policy_sha256[:12]}, candidate weights"
            f" {report.candidate.sha256[:12] or 'unknown'}"
            f"{'' if report.candidate.has_weights else ' (not in the run folder, so not compared)'}."
            f" {NOT_MEDICAL_ADVICE}"
        )
    )
    return "\n\n".join(lines) + "\n"


def github_annotations(report: GateReport) -> Iterator[str]:
    """GitHub workflow commands: an error for each rule that blocks, a warning or (advisory) a notice for the others."""
    for rule in sorted((rule for rule in report.rules if rule.verdict != "pass"), key=_order)[:_ANNOTATIONS]:
        level = "error" if report.blocks(rule) else "notice" if rule.advisory else "warning"
        title = _command(f"medbench gate: {rule.name}"[:_TEXT]).replace(":", "%3A").replace(",", "%2C")
        yield f"::{level} title={title}::{_command(rule.reason[:_TEXT])}"


def _command(text: str) -> str:
    """Escape text for a workflow command, which ends at a line break and may contain no other."""
    escaped = (
        text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace("##[", "##\N{ZERO WIDTH SPACE}[")
    )
    return str(visible(escaped))


def _escape(text: str) -> str:
    """Escape text for Markdown."""
    return plain_markdown(" ".join(text.split())[:_TEXT])


def _escape_html(text: str) -> str:
    """Escape text for HTML, on one line and without what GitHub acts on."""
    return break_up(html.escape(visible(" ".join(text.split())[:_TEXT]), quote=False))


def _difference(rule: RuleResult) -> str:
    if rule.difference is None:
        return ""
    ends = f" [{_number(rule.low)}, {_number(rule.high)}]" if rule.low is not None and rule.high is not None else ""
    return f"{rule.difference:+.4g}{ends}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _values(value: float | tuple[float, ...]) -> str:
    return " / ".join(f"{number:.4g}" for number in (value if isinstance(value, tuple) else (value,)))
