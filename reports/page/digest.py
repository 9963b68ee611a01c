"""Statistics of all samples that a report needs: one pass over each file, without holding any text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import pandas as pd

from reports.comparison.sums import ECE_BINS, value_of_samples
from reports.document.reading import locate_samples, samples_path
from reports.document.schema import MetricInfo, Results
from reports.frames import confusion_matrix, probabilities
from reports.text import cut, visible

_MOST_LABELS = 8  # of a matrix; if every question has its own choices there are as many labels as questions
_LABEL = 200  # characters of a label
_LENGTH = "reasoning_tokens"


@dataclass(slots=True)
class AnswerStats:
    """Statistics of one answer.

    Attributes:
        offset: First byte of its line in the samples file.
        doc_hash: Hash of the item.
        lead: Value of the task's leading metric.
        wrong_format: Whether it breaks the requested format.
        truncated: Whether it hit the token limit.
        length: Number of tokens of a generated answer; 0 for a chosen label.
    """

    offset: int
    doc_hash: str
    lead: float | None
    wrong_format: bool
    truncated: bool
    length: int


@dataclass
class Digest:
    """Statistics of all answers of one model on one task.

    Attributes:
        label: Short name of the task, or empty.
        answers: Statistics by item; for items with several answers, those of the first.
        has_answers: Whether there are answers to show; there are none if only the gold text was scored.
        choices: Gold label, given label and the given one's probability of each answer, for questions with choices.
        offered: Labels offered as choices.
        lengths: Number of reasoning tokens of each answer.
    """

    model: str
    task: str
    path: Path
    label: str = ""
    answers: dict[str, AnswerStats] = field(default_factory=dict)
    has_answers: bool = False
    choices: list[tuple[str, str, float]] = field(default_factory=list)
    offered: set[str] = field(default_factory=set)
    lengths: list[float] = field(default_factory=list)

    @property
    def has_labels(self) -> bool:
        """Whether the questions share few enough labels to show their confusion."""
        return bool(self.choices) and len(labels_of([self])) <= _MOST_LABELS

    @property
    def name(self) -> str:
        """The model and the task's label, for tables and captions."""
        return f"{self.model}, {self.label}" if self.label else self.model

    @property
    def calibration_error(self) -> float | None:
        """Debiased expected calibration error, as in the scores, or None if no question had choices."""
        frame = self.confidences()
        return None if frame.empty else value_of_samples("ece", frame.to_numpy(dtype=float).tolist())

    def confidences(self) -> pd.DataFrame:
        """Probability of the given label in `confidence`, and whether it was `right`; a row per answer."""
        rows = [(confidence, float(gold == given)) for gold, given, confidence in self.choices]
        return pd.DataFrame(rows, columns=["confidence", "right"])

    def reliability(self) -> pd.DataFrame:
        """Means of `confidences` in those of ten equal ranges of probability that have answers."""
        frame = self.confidences()
        return frame.groupby((frame["confidence"] * ECE_BINS).astype(int).clip(upper=ECE_BINS - 1)).mean()

    def confusion(self, labels: list[str]) -> pd.DataFrame:
        """Counts of gold labels in rows and given labels in columns."""
        gold, given = ([choice[0] for choice in self.choices], [choice[1] for choice in self.choices])
        return confusion_matrix(gold, given, labels)


def digest(run: Path, results: Results) -> list[Digest]:
    """Digest all samples files of a run, by task and then model, in the order of the results.

    Raises:
        UserError: A line is not a sample.
    """
    return [
        _digest_file(Digest(model.name, task.name, path, task.label), task.lead)
        for task in results.tasks
        for model in results.models
        if (path := samples_path(run, model.name, task.name)).is_file()
    ]


def labels_of(digests: Sequence[Digest]) -> list[str]:
    """All gold, given and offered labels: yes, no, maybe, then others by name."""
    order = {"yes": 0, "no": 1, "maybe": 2}
    labels = {label for digest in digests for label in digest.offered}
    labels |= {label for digest in digests for gold, given, _ in digest.choices for label in (gold, given)}
    return sorted(labels, key=lambda label: (order.get(label, len(order)), label))


def _label(text: str) -> str:
    """Label as tables and plots show it."""
    return str(visible(cut(text, _LABEL)))


def _digest_file(digest: Digest, lead: MetricInfo | None) -> Digest:
    for offset, sample in locate_samples(digest.path):
        digest.has_answers = digest.has_answers or bool(sample.output or sample.finish_reason or sample.choices)
        value = sample.metrics.get(lead.key) if lead else None
        stats = AnswerStats(
            offset,
            sample.doc_hash,
            lead=value if isinstance(value, float) else None,
            wrong_format=bool(sample.problems),
            truncated=sample.finish_reason == "length",
            length=(sample.output_tokens or len(sample.output)) if sample.finish_reason else 0,
        )
        digest.answers.setdefault(sample.id, stats)
        if sample.choices:
            confidence = max(probabilities(sample.choices).values())
            if isfinite(confidence):
                digest.choices.append((_label(sample.gold), _label(sample.output), confidence))
                digest.offered |= set(map(_label, sample.choices))
        length = sample.metrics.get(_LENGTH)
        if isinstance(length, float) and isfinite(length):
            digest.lengths.append(length)
    return digest
