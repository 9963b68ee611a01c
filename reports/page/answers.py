"""Answers side by side: the questions that a report shows, their badges, and each metric's value with its reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.document.reading import sample_at
from reports.document.schema import MetricInfo, Results, Sample, TaskInfo
from reports.frames import probabilities
from reports.numbers import MISSING, value_text
from reports.page.answer_texts import Part, differing_parts, question_of
from reports.page.digest import AnswerStats, Digest
from reports.text import cut

_BUDGET = 1_300_000  # bytes of all texts together; the rest of a page stays below 700 kB, 2 MB in all
FILTERS = {
    "won": "Won",
    "lost": "Lost",
    "same": "Same",
    "format": "Wrong format",
    "truncated": "Truncated",
    "longest": "Longest",
}
AGAINST = {"won": "\N{BLACK UP-POINTING TRIANGLE}", "lost": "\N{BLACK DOWN-POINTING TRIANGLE}", "same": "="}
_MARK = 7  # bytes of markup for each part of an answer
_LONGEST = 0.1  # share of a task's questions
_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")
_WORD = re.compile(r"\w{4,}")
_WORDS = 8
_BRIEF = 40  # characters of an answer in a line
_MOST_BRIEF = 5  # answers in a line, the gold label among them
_HEADING = 200
_QUESTION = 1000


@dataclass(frozen=True)
class Answer:
    """One model's answer.

    Attributes:
        model: Name of the model.
        text: The answer.
        parts: The same in parts that are or are not in the baseline's answer, or for the baseline in the only other's.
        metrics: (title, value, why) of each metric.
        marks: Remarks such as `won`.
    """

    model: str
    text: str
    parts: list[Part]
    metrics: list[tuple[str, str, str]]
    marks: list[str]


@dataclass(frozen=True)
class Question:
    """One question with all models' answers.

    Attributes:
        anchor: Its deep link.
        id: Id of the item.
        task: Name of the task.
        question: The question without instructions and chat markup.
        prompt: The prompt as the models read it.
        gold: The gold answer.
        brief: The first answers in a few words: (model, text, remark against the baseline), after a gold label.
        marks: Filters that it passes.
        answers: The models' answers.
    """

    anchor: str
    id: str
    task: str
    question: str
    prompt: str
    gold: str
    brief: list[tuple[str, str, str]]
    marks: list[str]
    answers: list[Answer]

    @property
    def heading(self) -> str:
        """The question in one line."""
        return cut(" ".join(self.question.split()), _HEADING)

    @property
    def badges(self) -> list[tuple[str, list[str]]]:
        """Won, lost or same, with the models' names: same only if no model won or lost."""
        of = {word: [answer.model for answer in self.answers if word in answer.marks] for word in AGAINST}
        return [(word, models) for word, models in of.items() if models and (word != "same" or word in self.marks)]


@dataclass(frozen=True)
class TaskExamples:
    """Questions of one task that a report shows.

    Attributes:
        task: The task.
        questions: The questions.
        total: Number of all questions of the task.
        criterion: Title of the metric behind won and lost.
        rivals: Number of models beside the baseline.
    """

    task: TaskInfo
    questions: list[Question]
    total: int
    criterion: str
    rivals: int


def side_by_side(results: Results, digests: Sequence[Digest], most: int) -> list[TaskExamples]:
    """Choose the questions to show, for every task that has answers.

    Args:
        results: The results document.
        digests: Digests of all samples files.
        most: Maximum number of questions per task.
    """
    answered = [digest for digest in digests if digest.has_answers]
    tasks = [(task, [digest for digest in answered if digest.task == task.name]) for task in results.tasks]
    tasks = [(task, own) for task, own in tasks if own]
    return [_task_examples(task, own, results.baseline, most, _BUDGET // len(tasks)) for task, own in tasks]


def _task_examples(task: TaskInfo, digests: list[Digest], baseline: str, most: int, budget: int) -> TaskExamples:
    marks = _marks(task, digests, baseline)
    questions: list[Question] = []
    for key in _chosen(list(marks), marks, most):
        question = _question(task, digests, key, marks[key], baseline)
        texts = (question.question, question.prompt, question.gold, *(answer.text for answer in question.answers))
        markup = 800 * (1 + len(question.answers)) + _MARK * sum(len(answer.parts) for answer in question.answers)
        budget -= sum(len(text.encode("utf-8", "replace")) for text in texts) + markup
        if budget < 0:
            break
        questions.append(question)
    order = {key: number for number, key in enumerate(marks)}
    questions.sort(key=lambda question: order[question.id])
    rivals = sum(digest.model != baseline for digest in digests)
    return TaskExamples(task, questions, len(marks), task.lead.title if task.lead else "", rivals)


def _marks(task: TaskInfo, digests: list[Digest], baseline: str) -> dict[str, list[str]]:
    """The filters that each item of a task passes, in the order of the items."""
    items: dict[str, dict[str, AnswerStats]] = {}
    for digest in digests:
        for key, stats in digest.answers.items():
            items.setdefault(key, {})[digest.model] = stats
    length_of = {key: max(stats.length for stats in answers.values()) for key, answers in items.items()}
    lengths = sorted(length_of.values(), reverse=True)
    longest = lengths[min(len(lengths) - 1, int(len(lengths) * _LONGEST))] if lengths else 0
    marks = {}
    for key, answers in items.items():
        remarks = {remark for stats in answers.values() for remark in _remarks(task, stats, answers.get(baseline))}
        remarks -= {"same"} if remarks & {"won", "lost"} else set()
        marks[key] = [name for name, title in FILTERS.items() if title.lower() in remarks]
        if length_of[key] >= max(1, longest):
            marks[key].append("longest")
    return marks


def _remarks(task: TaskInfo, stats: AnswerStats, base: AnswerStats | None) -> list[str]:
    """Remarks on an answer: won, lost or same against the baseline's in the leading metric, and its faults."""
    remarks = []
    if (
        task.lead
        and base is not None
        and base is not stats
        and stats.doc_hash == base.doc_hash
        and None not in (stats.lead, base.lead)
    ):
        gain = task.lead.sign * ((stats.lead or 0.0) - (base.lead or 0.0))
        remarks.append("won" if gain > 0 else "lost" if gain < 0 else "same")
    remarks += ["wrong format"] if stats.wrong_format else []
    remarks += ["truncated"] if stats.truncated else []
    return remarks


def _chosen(keys: list[str], marks: dict[str, list[str]], most: int) -> Iterable[str]:
    """Choose some questions for every filter, so that none is empty, then the rest in order."""
    if most <= 0:
        return []
    share = max(1, most // (len(FILTERS) + 1))
    first = [key for name in FILTERS for key in [key for key in keys if name in marks[key]][:share]]
    return list(dict.fromkeys([*first, *keys]))[:most]


def _question(task: TaskInfo, digests: list[Digest], key: str, marks: list[str], baseline: str) -> Question:
    answering = [digest for digest in digests if key in digest.answers]
    stats = {digest.model: digest.answers[key] for digest in answering}
    samples = [sample_at(digest.path, digest.answers[key].offset) for digest in answering]
    first = samples[0]
    outputs = {sample.model: cut(sample.output) for sample in samples}
    answers, brief = [], []
    for own, sample in zip(stats.values(), samples, strict=True):
        values = [metric for metric in task.metrics if isinstance(sample.metrics.get(metric.key), float)]
        metrics = [_metric_facts(metric, sample) for metric in values]
        remarks = _remarks(task, own, stats.get(baseline))
        others = [name for name in outputs if name != baseline]
        other = baseline if sample.model != baseline else others[0] if len(others) == 1 else ""
        parts = differing_parts(outputs[sample.model], outputs.get(other) if not first.choices else None)
        answers.append(Answer(sample.model, outputs[sample.model], parts, metrics, remarks))
        against = next((word for word in AGAINST if word in remarks), "")
        if first.choices:
            brief.append((sample.model, cut(sample.output, _BRIEF), against))
        elif task.lead:
            brief.append((sample.model, f"{task.lead.title} {_value(task.lead, sample)}", against))
    if first.choices:
        brief.insert(0, ("gold", cut(first.gold, _BRIEF), ""))
    if len(brief) > _MOST_BRIEF:
        brief[_MOST_BRIEF - 1 :] = [("and", f"{len(brief) - _MOST_BRIEF + 1} more", "")]
    question = first.question or question_of(first.prompt)
    texts = (cut(question, _QUESTION), cut(first.prompt), cut(first.gold))
    return Question(anchor(task.name, key), key, task.name, *texts, brief, marks, answers)


def anchor(task: str, item: str) -> str:
    """URL fragment of a question: its id if that is a plain name, else a hash of it."""
    plain = item if _NAME.fullmatch(item) else hashlib.sha256(item.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{task}.{plain}"


def _value(metric: MetricInfo, sample: Sample) -> str:
    """A metric's value for one answer; yes or no if it is right or wrong."""
    value = sample.metrics.get(metric.key)
    if not isinstance(value, float):
        return MISSING
    if metric.kind == "proportion" and value in (0, 1):
        return "yes" if value else "no"
    return value_text(value, metric)


def _metric_facts(metric: MetricInfo, sample: Sample) -> tuple[str, str, str]:
    """(title, value, reason) of one metric for one answer."""
    text = _value(metric, sample)
    if sample.choices and metric.kind == "proportion":
        chances = ", ".join(f"{label} {share:.0%}" for label, share in probabilities(sample.choices).items())
        return metric.title, text, f"answered {cut(sample.output, 40)}, gold {cut(sample.gold, 40)}; {chances}"
    if metric.key == "format_compliance" and sample.problems is not None:
        return metric.title, text, cut("; ".join(sample.problems), 300) or "every part once, in order"
    if metric.key == "ended" and sample.finish_reason:
        how = "stopped after" if sample.finish_reason == "stop" else "cut off at"
        return metric.title, text, f"{how} {sample.output_tokens} tokens"
    if metric.key.startswith("rouge"):
        gold = {word.lower() for word in _WORD.findall(sample.gold)}
        given = dict.fromkeys(word.lower() for word in _WORD.findall(cut(sample.output)))
        shared = [word for word in given if word in gold]
        some = ", ".join(shared[:_WORDS]) + (", ..." if len(shared) > _WORDS else "")
        return metric.title, text, f"{len(shared)} of the longer words of gold{': ' if some else ''}{some}"
    return metric.title, text, ""
