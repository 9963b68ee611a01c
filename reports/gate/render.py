"""Renders a gate report as text: a table of its rules, the items behind a verdict, and GitHub annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reports.document.schema import MetricInfo
from reports.gate.outcome import SHARE, GateReport, MovedSample, RuleResult, Verdict
from reports.numbers import interval_text, percent_text, signed_text, value_text
from reports.tables import Table
from reports.text import one_direction, visible

HEADINGS: dict[Verdict, str] = {"pass": "Passed", "fail": "Blocked", "inconclusive": "Inconclusive"}
MARKS: dict[Verdict, str] = {"pass": "pass", "fail": "FAIL", "inconclusive": "inconclusive"}
_ORDER: dict[Verdict, int] = {"fail": 0, "inconclusive": 1, "pass": 2}
_SUBJECTS = {
    "complete": "All tasks are scored completely",
    "required": "A required task is scored",
    "leakage": "Test items that equal training rows",
    "contamination": "Test items that share text with training rows",
    "peak_memory": "Memory of training",
    "throughput": "Speed",
    "adapter_size": "Size of the adapter",
    "truncated": "Answers cut off at the token limit",
    "deployed_equals": "Deployed model",
}
_ANNOTATIONS = 10  # GitHub shows at most as many per step
_TEXT = 400
_RIGHT_OR_WRONG = ("proportion", "macro_f1")


def baselines_text(report: GateReport) -> str:
    """The baselines as `MODEL of RUN`, separated by commas."""
    return ", ".join(info.label for info in report.baselines)


def blocking_first(rules: Sequence[RuleResult]) -> list[RuleResult]:
    """Rules in the order in which they matter: failed, not decided, advisory, passed."""
    return sorted(rules, key=lambda rule: (rule.verdict == "pass", rule.advisory, _ORDER[rule.verdict]))


def rules_table(rules: Sequence[RuleResult], marks: Mapping[Verdict, str] = MARKS) -> Table:
    """A table of rules, one requirement a row with all its numbers in one unit."""
    rows = [
        (requirement(rule), result_text(rule, marks), baseline_text(rule), candidate_text(rule), difference_text(rule))
        for rule in rules
    ]
    return Table(("Requirement", "Result", "Baseline", "Candidate", "Change"), tuple(rows), figures=False)


def requirement(rule: RuleResult) -> str:
    """What a rule requires, in words: what is judged, on which items, and the limit."""
    subject = rule.subject or _SUBJECTS.get(rule.rule, rule.name)
    if rule.rule == "required":
        subject = f"{subject}: {rule.task}"
    parts = [
        f"{rule.label}: " if rule.label and rule.label != subject else "",
        subject,
        f", {rule.slice}" if rule.slice else "",
        f": {rule.limit}" if rule.limit else "",
        f" (against {rule.against})" if rule.against else "",
    ]
    return "".join(parts)


def result_text(rule: RuleResult, marks: Mapping[Verdict, str] = MARKS) -> str:
    """The verdict of a rule with its mark, and the outcome of the comparison in the words of reports."""
    outcome = f", {rule.outcome}" if rule.outcome and rule.outcome != rule.verdict else ""
    return marks[rule.verdict] + outcome + (" (advisory)" if rule.advisory else "")


def candidate_text(rule: RuleResult) -> str:
    """The candidate's value with its unit."""
    if rule.value is None:
        return ""
    if rule.info is not None:
        return value_text(rule.value, rule.info)
    return percent_text(rule.value) if rule.unit == SHARE else f"{rule.value:,.4g} {rule.unit}".strip()


def baseline_text(rule: RuleResult) -> str:
    """The baseline's value with its unit."""
    return candidate_text(rule.model_copy(update={"value": rule.baseline}))


def difference_text(rule: RuleResult) -> str:
    """The difference from the baseline with its bounds, in the unit of the metric."""
    if rule.difference is None:
        return ""
    if rule.info is None:
        return f"{rule.difference:+,.4g} {rule.unit}".strip()
    ends = interval_text(rule.low, rule.high, rule.info, signed=True)
    return f"{signed_text(rule.difference, rule.info)} {ends}".strip()


def facts_text(rule: RuleResult) -> str:
    """The numbers behind a verdict, in one line."""
    parts = [f"verdict {rule.verdict}"] + ["advisory"] * rule.advisory
    for name, value in (
        ("limit", rule.limit),
        ("baseline", baseline_text(rule)),
        ("candidate", candidate_text(rule)),
        ("difference", difference_text(rule)),
        ("outcome", rule.outcome or ""),
        ("p", _number(rule.p_value)),
        ("corrected p", _number(rule.p_adjusted)),
        ("n", str(rule.n) if rule.n else ""),
        ("items needed", f"{rule.items_needed:,}" if rule.items_needed else ""),
    ):
        if value:
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def moved_text(sample: MovedSample, info: MetricInfo | None, *, with_id: bool = True) -> str:
    """An item that moved a rule, in one line: how its value changed in the metric's unit, its texts, and its id."""
    values = [item_score_text(score, info) for score in (sample.baseline_score, sample.candidate_score)]
    parts = [" instead of ".join(filter(None, reversed(values)))]
    for name, text in (
        ("question", sample.question),
        ("gold", sample.gold),
        ("baseline answered", sample.baseline_answer),
        ("answered", sample.answer),
    ):
        parts += [f"{name} {' '.join(text.split())!r}"] if text.strip() else []
    text = "; ".join(filter(None, parts)) or "item"
    return f"{text} ({sample.task}, item {sample.id})" if with_id else text


def item_score_text(score: float | None, info: MetricInfo | None) -> str:
    """The value of a single item: right or wrong where a metric counts that, else a number in its unit."""
    if score is None or info is None:
        return ""
    if info.kind in _RIGHT_OR_WRONG and score in (0.0, 1.0):
        return "right" if score else "wrong"
    return value_text(score, info)


def github_annotations(report: GateReport) -> Iterator[str]:
    """GitHub workflow commands: an error for each rule that blocks, a warning or (advisory) a notice for the others."""
    for rule in blocking_first([rule for rule in report.rules if rule.verdict != "pass"])[:_ANNOTATIONS]:
        level = "error" if report.blocks(rule) else "notice" if rule.advisory else "warning"
        title = _command(f"medbench gate: {requirement(rule)}"[:_TEXT]).replace(":", "%3A").replace(",", "%2C")
        yield f"::{level} title={title}::{_command(rule.reason[:_TEXT])}"


def _command(text: str) -> str:
    """Escape text for a workflow command, which ends at a line break, contains no other and turns no direction."""
    escaped = (
        one_direction(text)
        .replace("%", "%25")
        .replace("\r", "%0D")
        .replace("\n", "%0A")
        .replace("##[", "##\N{ZERO WIDTH SPACE}[")
    )
    return str(visible(escaped))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
