"""What stays in memory of the samples of one model on one task, while their texts go to a file."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reports.comparison.slicing import column_value, question_length
from reports.document.schema import Sample
from reports.files import ListHash
from reports.frames import probabilities


@dataclass(frozen=True, slots=True)
class SampleValues:
    """A sample without its texts; a `reports.comparison.sums.ScoredItem`.

    Attributes:
        prompt_hash: Tells prompts apart.
        columns: Values of the columns that slices are made by.
        question_length: Characters of the question.
        choice: Probability of the chosen label, and 1 if it is right, else 0; None without choices.
    """

    id: str
    doc_hash: str
    model: str
    task: str
    metrics: dict[str, float | tuple[float, ...] | None]
    cluster: str | None
    repeat: int
    prompt_hash: bytes
    columns: dict[str, str]
    question_length: int
    choice: tuple[float, float] | None = None


class Tally:
    """Takes samples one by one and lets go of their texts.

    Args:
        columns: Columns whose values are held, as in `scoring.slices`.

    Attributes:
        values: Each sample without its texts.
        prompts: Hash over [id, prompt] of all samples.
        golds: Hash over [id, gold].
        problems: How often answers broke their format in which way.
        prompt_tokens: Of all samples together.
        output_tokens: Likewise.
    """

    def __init__(self, columns: Sequence[str] = ()) -> None:
        self._columns = columns
        self.values: list[SampleValues] = []
        self.prompts = ListHash()
        self.golds = ListHash()
        self.problems: Counter[str] = Counter()
        self.prompt_tokens = self.output_tokens = 0

    def add(self, sample: Sample) -> None:
        """Note a sample."""
        self.values.append(_values(sample, self._columns))
        self.prompts.add([sample.id, sample.prompt])
        self.golds.add([sample.id, sample.gold])
        self.problems.update(sample.problems or ())
        self.prompt_tokens += sample.prompt_tokens or 0
        self.output_tokens += sample.output_tokens or 0


def _values(sample: Sample, columns: Sequence[str]) -> SampleValues:
    """The sample without its texts; names that samples, models and repeats have in common are held once."""
    values = {column: column_value(sample, column) for column in columns}
    return SampleValues(
        sys.intern(sample.id),
        sys.intern(sample.doc_hash),
        sys.intern(sample.model),
        sys.intern(sample.task),
        {sys.intern(key): value for key, value in sample.metrics.items()},
        sample.cluster if sample.cluster is None else sys.intern(sample.cluster),
        sample.repeat,
        hashlib.blake2b(sample.prompt.encode(), digest_size=16).digest(),
        {column: sys.intern(value) for column, value in values.items() if value is not None},
        question_length(sample),
        (max(probabilities(sample.choices).values()), float(sample.output == sample.gold)) if sample.choices else None,
    )
