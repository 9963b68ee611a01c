"""Writes a gate report as a comment for a pull request, for reviewers who do not know medbench.

All text from data and models is escaped. A comment on GitHub has at most 65,536 characters, so what comes last is left
out if the whole would be longer than that.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby

from reports.gate.outcome import ChangedItem, GateInputInfo, GateReport, RuleResult, TaskChanges, Verdict
from reports.gate.render import (
    baseline_text,
    blocking_first,
    candidate_text,
    item_score_text,
    moved_text,
    requirement,
    rules_table,
)
from reports.numbers import join_words
from reports.tables import NOT_MEDICAL_ADVICE, Table
from reports.text import break_up, one_direction, plain_markdown, visible

_TITLES: dict[Verdict, str] = {
    "pass": "\N{WHITE HEAVY CHECK MARK} medbench: the model may be released",
    "fail": "\N{CROSS MARK} medbench: the model should not be released",
    "inconclusive": "\N{WARNING SIGN}\N{VARIATION SELECTOR-16} medbench: not decided yet",
}
_MARKS: dict[Verdict, str] = {
    "pass": "\N{WHITE HEAVY CHECK MARK} met",
    "fail": "\N{CROSS MARK} not met",
    "inconclusive": "\N{WARNING SIGN}\N{VARIATION SELECTOR-16} inconclusive",
}
_MOST = 60_000  # characters
_MOST_ROWS = 20  # of a table, and reasons
_TEXT = 400
_SPACES = re.compile(r"[^\S\N{NO-BREAK SPACE}]+")  # those that break lines or may do so
_LINK = re.compile(r"https?://[\w.:-]+(?:/[\w.~%@+-]*)*(?:#[\w-]*)?")


def comment(report: GateReport, link: str = "") -> str:
    """The comment in GitHub-flavoured Markdown.

    Args:
        report: The gate's report.
        link: URL of the whole report; left out unless it is a plain one.
    """
    parts: list[str] = []
    room = _MOST
    for part in chain(_shown(report, link), _folded(report)):
        room -= len(part) + 2
        if room < 0:
            parts.append("The rest is in the report.")
            break
        parts.append(part)
    return "\n\n".join(parts) + "\n"


def _shown(report: GateReport, link: str) -> Iterator[str]:
    """The parts that nobody has to unfold: verdict, models and data, requirements, reasons, what to change."""
    yield f"## {_TITLES[report.verdict]}"
    where = f" [Report with all questions and answers]({link})." if _LINK.fullmatch(link) else ""
    yield _escape(_sentence(report)) + where
    yield _about(report).markdown(_escape)
    rules = _open_rules(report)
    yield _requirements(rules)
    open_rules = [rule for rule in blocking_first(report.rules) if rule.verdict != "pass"]
    if open_rules:
        yield "**What is not met or not decided, and why**"
        yield _bullets(f"{requirement(rule)}: {rule.reason}." for rule in open_rules[:_MOST_ROWS])
    if report.advice:
        yield "**What to change for a decision**"
        yield _bullets(report.advice[:_MOST_ROWS])


def _sentence(report: GateReport) -> str:
    """The verdict and its main reason in plain words."""
    name = f"model {report.candidate.model}".strip()
    baselines = join_words([info.model for info in report.baselines])
    rules = [rule for rule in report.rules if not rule.advisory]
    failed = [rule for rule in rules if rule.verdict == "fail"]
    undecided = [rule for rule in rules if rule.verdict == "inconclusive"]
    if failed:
        worse = next((rule for rule in failed if rule.outcome == "worse" and rule.baseline is not None), None)
        cause = f"{requirement(failed[0])}: {failed[0].reason}"
        if worse is not None:
            slice_text = f" ({worse.slice})" if worse.slice else ""
            values = f"{candidate_text(worse)} instead of {baseline_text(worse)}"
            cause = f"its {worse.subject}{slice_text} is worse than that of {worse.against or baselines}, {values}"
        return f"The {name} should not be released: {cause}. {_counted(len(failed), len(rules))} not met."
    if report.verdict == "inconclusive":
        return (
            f"Whether the {name} may be released is not decided yet: the questions scored so far are too few."
            f" {_counted(len(undecided), len(rules))} not decided, and none is shown to be missed."
        )
    accepted = f" {_counted(len(undecided), len(rules))} not decided, which the policy accepts." if undecided else ""
    changes = _directions(rules)
    compared = f" Compared with {baselines}, it is {changes}." if changes else ""
    met = len(rules) - len(undecided)
    what = f"{met} of {len(rules)} requirements" if undecided else f"all {met} requirements"
    what = "the only requirement" if len(rules) == met == 1 else what
    return f"The {name} may be released: it meets {what}.{accepted}{compared}"


def _counted(count: int, total: int) -> str:
    return f"{count} of {total} requirements {'is' if count == 1 else 'are'}"


def _directions(rules: Sequence[RuleResult]) -> str:
    """In which metrics the candidate is better and in which it is worse, and than which of several baselines."""
    parts = []
    for outcome in ("better", "worse"):
        named = dict.fromkeys(
            rule.subject + (f" (against {rule.against})" if rule.against else "")
            for rule in rules
            if rule.outcome == outcome and rule.subject
        )
        parts += [f"{outcome} in {join_words(list(named))}"] if named else []
    return " and ".join(parts)


def _about(report: GateReport) -> Table:
    """What was judged: model, base, baselines, data."""
    candidate = report.candidate
    rows = [
        ("Model", _named(candidate.model or "unknown", candidate)),
        ("Base", candidate.base),
        ("Trained on", candidate.trained_on),
        ("Compared with", "; ".join(_named(_label(info, candidate), info) for info in report.baselines)),
        *(("Scored on", text) for text in report.data[:_MOST_ROWS]),
        ("Note", report.prompts),
    ]
    first, *others = (row for row in rows if row[1])
    return Table(first, tuple(others), figures=False)


def _named(name: str, info: GateInputInfo) -> str:
    """A model's name with its source."""
    return ", ".join(filter(None, (name, info.source)))


def _label(info: GateInputInfo, candidate: GateInputInfo) -> str:
    """A baseline's name, with its run if that is not the candidate's."""
    return info.model if info.run == candidate.run else info.label


def _requirements(rules: Sequence[RuleResult]) -> str:
    """The table of rules in Markdown, in which no number wraps."""
    table = rules_table(rules, _MARKS)
    rows = ((*row[:2], *(cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in row[2:])) for row in table.rows)
    return replace(table, rows=tuple(rows)).markdown(_escape)


def _open_rules(report: GateReport) -> list[RuleResult]:
    """The rules that are not met or not decided, then those that compare with a baseline, as far as a table holds."""
    ordered = blocking_first(report.rules)
    shown = [rule for rule in ordered if rule.verdict != "pass" or rule.difference is not None]
    return (shown or ordered)[:_MOST_ROWS]


def _folded(report: GateReport) -> Iterator[str]:
    """The parts to unfold: what changed, the other requirements, how to read it all."""
    for change in report.changes:
        if change.gained or change.lost:
            yield _fold(_change_title(change), "\n\n".join(_change_parts(change)))
    explained = {(change.task, change.metric.key) for change in report.changes}
    for rule in report.rules:
        if rule.moved and ((rule.task, rule.metric) not in explained or rule.slice):
            lines = _bullets(moved_text(sample, rule.info, with_id=False) for sample in rule.moved)
            yield _fold(f"Questions behind: {requirement(rule)}", f"{_ADVICE}\n\n{lines}")
    shown = {rule.name for rule in _open_rules(report)}
    if rest := [rule for rule in report.rules if rule.name not in shown]:
        more = f"{len(rest)} more requirement{'s' if len(rest) > 1 else ''}"
        yield _fold(more, _requirements(rest[: 3 * _MOST_ROWS]))
    yield _fold("How to read this", _explanation(report))


_ADVICE = f"> {NOT_MEDICAL_ADVICE}"


def _change_title(change: TaskChanges) -> str:
    better, worse = _words(change)
    counts = f"{change.lost:,} {worse}, {change.gained:,} {better}, of {change.items:,}"
    return f"Questions that changed in {change.title}: {counts}"


def _words(change: TaskChanges) -> tuple[str, str]:
    """What a better and a worse answer are called."""
    return ("now right", "now wrong") if change.metric.kind == "proportion" else ("better", "worse")


def _change_parts(change: TaskChanges) -> Iterator[str]:
    """Note, gains and losses by slice, and questions with both answers."""
    better, worse = _words(change)
    yield _ADVICE
    for column, slices in groupby(change.slices, key=lambda it: it.column):
        rows = [
            (it.value, str(it.items), str(it.lost), str(it.gained), f"{it.gained - it.lost:+d}".replace("+0", "0"))
            for it in slices
            if it.gained or it.lost
        ]
        columns = (column, "Questions", worse.capitalize(), better.capitalize(), "Net")
        yield Table(columns, tuple(rows)).markdown(_escape)
    for title, sign in ((worse, -1), (better, 1)):
        items = [it for it in change.changed if sign * change.metric.sign * (it.candidate - it.baseline) > 0]
        if items:
            yield f"**{title.capitalize()}**"
            headings = ("Question", "Expected", "Baseline's answer", "Candidate's answer")
            yield Table(headings, tuple(_item_row(change, it) for it in items), figures=False).markdown(_escape)


def _item_row(change: TaskChanges, item: ChangedItem) -> tuple[str, str, str, str]:
    """A question, the expected answer, and both answers with their value."""
    answers = [
        f"{text or '(not stored)'} ({item_score_text(value, change.metric)})"
        for text, value in ((item.baseline_answer, item.baseline), (item.candidate_answer or "(empty)", item.candidate))
    ]
    return item.question, item.gold, answers[0], answers[1]


def _explanation(report: GateReport) -> str:
    """What the words and numbers mean, and what the verdict rests on."""
    weights = f"weights {report.candidate.sha256[:12] or 'unknown'}"
    if not report.candidate.has_weights:
        weights += " (they are not in the run folder, so they were not compared with those that were scored)"
    words = (
        "Both models answered the same questions. The brackets are the interval in which the change plausibly lies:"
        " only an interval without 0 is called better or worse, one that is too wide to tell is called inconclusive."
        " Equivalent means that the interval contains no change that matters."
    )
    provenance = f"medbench {report.medbench_version}, policy {report.policy_sha256[:12]}, {weights}."
    lines = [words, f"{report.reason} The requirements are those of this repository's policy.", provenance]
    return _bullets([*lines, NOT_MEDICAL_ADVICE])


def _bullets(lines: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(f"- {_escape(line)}" for line in lines)


def _fold(title: str, body: str) -> str:
    return f"<details><summary>{_escape_html(title)}</summary>\n\n{body}\n\n</details>"


def _escape(text: str) -> str:
    """Escape text for Markdown."""
    return plain_markdown(_SPACES.sub(" ", text).strip()[:_TEXT])


def _escape_html(text: str) -> str:
    """Escape text for HTML, on one line and without what GitHub acts on."""
    line = one_direction(visible(" ".join(text.split())[:_TEXT]))
    return break_up(html.escape(line, quote=False))
