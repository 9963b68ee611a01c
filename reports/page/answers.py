"""Answers side by side: which questions a report shows, what each metric said of each answer and why."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.document.reading import sample_at
from reports.document.schema import MetricInfo, Results, Sample, TaskInfo
from reports.frames import probabilities
from reports.numbers import MISSING, value_text
from reports.page.digest import Digest, Seen
from reports.text import cut

_BUDGET = 1_300_000  # bytes of all texts together; what a page has besides them stays below the rest of 2 MB
FILTERS = {
    "won": "Won",
    "lost": "Lost",
    "format": "Wrong format",
    "truncated": "Truncated",
    "longest": "Longest",
}
_REMARKS = {"won": "won", "lost": "lost", "format": "wrong format", "truncated": "truncated"}  # that a filter looks for
_LONGEST = 0.1  # of a task's questions
_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")
_WORD = re.compile(r"\w{4,}")
_WORDS = 8


@dataclass(frozen=True)
class Answer:
    """One model's answer: its text and, for each metric, (title, value, why)."""

    model: str
    text: str
    metrics: list[tuple[str, str, str]]
    marks: list[str]


@dataclass(frozen=True)
class Question:
    """One question with everybody's answers side by side; `anchor` is its deep link, `marks` the filters it passes."""

    anchor: str
    id: str
    task: str
    prompt: str
    gold: str
    summary: str
    marks: list[str]
    answers: list[Answer]


@dataclass(frozen=True)
class Shown:
    """The questions of one task that a report shows, of how many, and what made one won or lost."""

    task: TaskInfo
    questions: list[Question]
    total: int
    criterion: str


def side_by_side(results: Results, digests: Sequence[Digest], most: int) -> list[Shown]:
    """The questions to show of every task that has answers.

    Args:
        results: The results document.
        digests: Of every samples file.
        most: Questions of a task at most.
    """
    tasks = [(task, [each for each in digests if each.task == task.name and each.shown]) for task in results.tasks]
    tasks = [(task, found) for task, found in tasks if found]
    return [_shown(task, found, results.baseline, most, _BUDGET // len(tasks)) for task, found in tasks]


def _shown(task: TaskInfo, digests: list[Digest], baseline: str, most: int, budget: int) -> Shown:
    marks = _marks(task, digests, baseline)
    questions: list[Question] = []
    for key in _chosen(list(marks), marks, most):
        question = _question(task, digests, key, marks[key], baseline)
        texts = (question.prompt, question.gold, *(each.text for each in question.answers))
        budget -= sum(len(text.encode("utf-8", "replace")) for text in texts) + 700 * (1 + len(question.answers))
        if budget < 0:
            break
        questions.append(question)
    order = {key: number for number, key in enumerate(marks)}
    questions.sort(key=lambda each: order[each.id])
    return Shown(task, questions, len(marks), task.lead.title if task.lead else "")


def _marks(task: TaskInfo, digests: list[Digest], baseline: str) -> dict[str, list[str]]:
    """The filters that each item of a task passes, in the order of the items."""
    items: dict[str, dict[str, Seen]] = {}
    for each in digests:
        for key, seen in each.seen.items():
            items.setdefault(key, {})[each.model] = seen
    lengths = sorted((max(seen.length for seen in found.values()) for found in items.values()), reverse=True)
    longest = lengths[min(len(lengths) - 1, int(len(lengths) * _LONGEST))] if lengths else 0
    marks = {}
    for key, found in items.items():
        said = {remark for seen in found.values() for remark in _remarks(task, seen, found.get(baseline))}
        marks[key] = [name for name, remark in _REMARKS.items() if remark in said]
        if max(seen.length for seen in found.values()) >= max(1, longest):
            marks[key].append("longest")
    return marks


def _remarks(task: TaskInfo, seen: Seen, base: Seen | None) -> list[str]:
    """What stands beside an answer: `won` or `lost` against the baseline's in the leading metric, and its faults."""
    found = []
    if task.lead and base is not None and seen.doc_hash == base.doc_hash and None not in (seen.lead, base.lead):
        gain = task.lead.sign * ((seen.lead or 0.0) - (base.lead or 0.0))
        found += ["won"] if gain > 0 else ["lost"] if gain < 0 else []
    found += ["wrong format"] if seen.wrong_format else []
    found += ["truncated"] if seen.truncated else []
    return found


def _chosen(keys: list[str], marks: dict[str, list[str]], most: int) -> Iterable[str]:
    """Some of every filter first, so that none comes up empty, then the rest in their order."""
    if most <= 0:
        return []
    share = max(1, most // (len(FILTERS) + 1))
    first = [key for name in FILTERS for key in [key for key in keys if name in marks[key]][:share]]
    return list(dict.fromkeys([*first, *keys]))[:most]


def _question(task: TaskInfo, digests: list[Digest], key: str, marks: list[str], baseline: str) -> Question:
    found = {each.model: each.seen[key] for each in digests if key in each.seen}
    samples = [sample_at(each.path, each.seen[key].offset) for each in digests if key in each.seen]
    first = samples[0]
    answers = []
    for seen, each in zip(found.values(), samples, strict=True):
        metrics = [_said(metric, each) for metric in task.metrics if isinstance(each.metrics.get(metric.key), float)]
        answers.append(Answer(each.model, cut(each.output), metrics, _remarks(task, seen, found.get(baseline))))
    if first.choices:
        parts = [f"gold {cut(first.gold, 40)}", *(f"{each.model} {cut(each.output, 40)}" for each in samples)]
    else:
        parts = [f"{each.model} {task.lead.title} {_value(task.lead, each)}" for each in samples] if task.lead else []
    return Question(
        anchor(task.name, key), key, task.name, cut(first.prompt), cut(first.gold), ", ".join(parts), marks, answers
    )


def anchor(task: str, item: str) -> str:
    """The fragment of a question's deep link: its own id where that is plain, else a hash of it."""
    plain = item if _NAME.fullmatch(item) else hashlib.sha256(item.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{task}.{plain}"


def _value(metric: MetricInfo, sample: Sample) -> str:
    """A metric's value for one answer; whether it is right, for what is right or wrong."""
    value = sample.metrics.get(metric.key)
    if not isinstance(value, float):
        return MISSING
    if metric.kind == "proportion" and value in (0, 1):
        return "yes" if value else "no"
    return value_text(value, metric)


def _said(metric: MetricInfo, sample: Sample) -> tuple[str, str, str]:
    """(title, value, why) of one metric for one answer."""
    text = _value(metric, sample)
    if sample.choices and metric.kind == "proportion":
        chances = ", ".join(f"{label} {share:.0%}" for label, share in probabilities(sample.choices).items())
        return metric.title, text, f"said {cut(sample.output, 40)}, gold {cut(sample.gold, 40)}; {chances}"
    if metric.key == "format_compliance" and sample.problems is not None:
        return metric.title, text, cut("; ".join(sample.problems), 300) or "every part once, in order"
    if metric.key == "ended" and sample.finish_reason:
        how = "ended by itself after" if sample.finish_reason == "stop" else "cut off at"
        return metric.title, text, f"{how} {sample.output_tokens} tokens"
    if metric.key.startswith("rouge"):
        gold = {word.lower() for word in _WORD.findall(sample.gold)}
        given = dict.fromkeys(word.lower() for word in _WORD.findall(cut(sample.output)))
        shared = [word for word in given if word in gold]
        some = ", ".join(shared[:_WORDS]) + (", ..." if len(shared) > _WORDS else "")
        return metric.title, text, f"{len(shared)} of the gold's longer words are in it" + (f": {some}" if some else "")
    return metric.title, text, ""
