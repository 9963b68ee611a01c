"""What a report needs to know of all samples, in numbers: one pass over each file that keeps no text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reports.comparison.sums import ECE_BINS
from reports.document.reading import locate_samples, samples_path
from reports.document.schema import MetricInfo, Results, Sample
from reports.frames import probabilities

_MOST_LABELS = 8  # of a matrix; where every question has choices of its own there are as many as questions
_LENGTH = "reasoning_tokens"


@dataclass(slots=True)
class Seen:
    """One answer in numbers.

    Attributes:
        offset: First byte of its line in the samples file.
        doc_hash: Of the item.
        lead: Its value in the task's leading metric.
        wrong_format: Whether it breaks the asked format.
        truncated: Whether it was cut off.
        length: Tokens of a generated answer; 0 for a chosen label.
    """

    offset: int
    doc_hash: str
    lead: float | None
    wrong_format: bool
    truncated: bool
    length: int


@dataclass
class Digest:
    """All answers of one model on one task.

    Attributes:
        label: Short name of the task, where it has one.
        seen: By item; of an item that was asked several times, the first answer.
        shown: Whether there are answers to show, as there are none where only the gold text was scored.
        confusion: How often each pair of gold and given label occurred, for questions with choices.
        bins: Of ten equal ranges of the given label's probability: sum of probabilities, right answers, answers.
        labels: What could be chosen from.
        lengths: Tokens of the reasoning of each answer.
    """

    model: str
    task: str
    path: Path
    label: str = ""
    seen: dict[str, Seen] = field(default_factory=dict)
    shown: bool = False
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    bins: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0, 0.0] for _ in range(ECE_BINS)])
    labels: set[str] = field(default_factory=set)
    lengths: list[float] = field(default_factory=list)

    @property
    def has_labels(self) -> bool:
        """Whether its questions share a few labels, so that their confusion can be shown."""
        return bool(self.confusion) and len(labels_of([self])) <= _MOST_LABELS

    @property
    def name(self) -> str:
        """The model with its task's label, as tables and captions name it."""
        return f"{self.model}, {self.label}" if self.label else self.model

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error over ten equal bins (Guo et al. 2017); None where nothing had choices."""
        total = sum(each[2] for each in self.bins)
        return sum(abs(confidence - right) for confidence, right, _ in self.bins) / total if total else None


def digest(run: Path, results: Results) -> list[Digest]:
    """A digest of every samples file that is there, by task and then model, in the order of the results.

    Raises:
        UserError: A line is not a sample.
    """
    found = []
    for task in results.tasks:
        for model in results.models:
            path = samples_path(run, model.name, task.name)
            if path.is_file():
                found.append(_digest_file(Digest(model.name, task.name, path, task.label), task.lead))
    return found


def labels_of(digests: Sequence[Digest]) -> list[str]:
    """All labels that were gold, given or offered; yes before no before maybe, others by name."""
    order = {"yes": 0, "no": 1, "maybe": 2}
    found = {label for each in digests for pair in (*each.confusion, each.labels) for label in pair}
    return sorted(found, key=lambda label: (order.get(label, len(order)), label))


def _digest_file(found: Digest, lead: MetricInfo | None) -> Digest:
    for offset, sample in locate_samples(found.path):
        found.shown = found.shown or bool(sample.output or sample.finish_reason or sample.choices)
        if sample.id not in found.seen:
            found.seen[sample.id] = _seen(offset, sample, lead)
        if sample.choices:
            found.confusion[sample.gold, sample.output] += 1
            found.labels |= sample.choices.keys()
            confidence = max(probabilities(sample.choices).values())
            counts = found.bins[min(ECE_BINS - 1, int(confidence * ECE_BINS))]
            counts[0] += confidence
            counts[1] += sample.gold == sample.output
            counts[2] += 1
        length = sample.metrics.get(_LENGTH)
        if isinstance(length, float):
            found.lengths.append(length)
    return found


def _seen(offset: int, sample: Sample, lead: MetricInfo | None) -> Seen:
    value = sample.metrics.get(lead.key) if lead else None
    return Seen(
        offset,
        sample.doc_hash,
        value if isinstance(value, float) else None,
        bool(sample.problems),
        sample.finish_reason == "length",
        (sample.output_tokens or len(sample.output)) if sample.finish_reason else 0,
    )
