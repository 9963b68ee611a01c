"""What the gate compares: a model's results with the scores of its items, read from a run or a stored baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field

from reports.comparison.slicing import CLASS, column_value
from reports.document.evidence import HUMAN_RATING
from reports.document.reading import checked_sample
from reports.document.schema import MetricInfo, ModelInfo, Results, Sample, Score, TaskInfo
from reports.document.verification import Verification
from reports.errors import UserError
from reports.files import read_jsonl, sha256_value
from reports.strict import Strict

PAIRS = ("perplexity", "bits_per_byte", "macro_f1", "ece", "ratio")  # kinds whose value of an item is a pair
_SLICE_DIGITS = 16
_MAX_LABEL = 1000
MAX_VALUE = 1e15  # of a metric, in size
Row = TypeVar("Row", "ItemScore", Sample)


class ItemScore(Strict):
    """The part of a sample that a stored baseline keeps, without any text.

    Attributes:
        slices: Hashes of what `where` of a policy selects by: the gold label (`class`) and the fields, by name.
    """

    id: str
    doc_hash: str
    metrics: dict[str, float | tuple[float, ...] | None]
    finish_reason: Literal["stop", "length"] | None = None
    cluster: str | None = None
    repeat: int = 0
    slices: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class SuiteRow:
    """The mean of one metric of each task of a suite, which rules name `SUITE/mean_accuracy`.

    Attributes:
        suite: Name of the suite.
        parts: The metric by task; a metric that nobody was scored on has only its key.
    """

    suite: str
    parts: Mapping[str, MetricInfo]


@dataclass(frozen=True)
class GateInput:
    """The candidate or the baseline: a model of a run, with its scores.

    Attributes:
        run: Name of the run or of the stored baseline.
        results: The results document that contains the model.
        model: Its name in the results.
        items: Scores by task and item; those of a run are whole samples.
        faults: Why a task cannot be judged, by task; such as a missing file.
        trained_here: Whether the training in the results is that of this model.
        has_weights: Whether its weights are in the run folder, and are those that were scored.
        expected: The tasks that the candidate is judged on; those of its results if empty.
        rows: The rows of suites all of whose tasks are expected.
        certificates: The certificates of `medbench verify` that the policy asks for, or what is wrong, by file.
        unknown_base: Why the training data of the candidate's base is unknown; empty if it is not.
    """

    run: str
    results: Results
    model: str
    items: dict[str, Mapping[str, ItemScore | Sample]]
    faults: dict[str, str] = field(default_factory=dict)
    trained_here: bool = False
    has_weights: bool = False
    expected: tuple[TaskInfo, ...] = ()
    unknown_base: str = ""
    rows: tuple[SuiteRow, ...] = ()
    certificates: Mapping[str, Verification | str] = field(default_factory=dict)

    @property
    def tasks(self) -> Sequence[TaskInfo]:
        """The tasks that it is judged on, also if it was not scored on them."""
        return self.expected or self.results.tasks

    @property
    def info(self) -> ModelInfo:
        """The model's entry in the results."""
        return next(model for model in self.results.models if model.name == self.model)

    @property
    def base(self) -> ModelInfo | None:
        """The base that the model was scored on, which a whole model is itself; None in results of earlier versions."""
        return self.info if self.info.is_whole else self.results.base

    @property
    def scored_tasks(self) -> list[TaskInfo]:
        """The tasks that models answer, so without the ratings by people."""
        return [task for task in self.tasks if task.name != HUMAN_RATING]

    def task(self, name: str) -> TaskInfo | None:
        """The task in the results, or None."""
        return next((task for task in self.results.tasks if task.name == name), None)

    def score(self, task: str, metric: str) -> Score | None:
        """The score in the results, or None."""
        key = (self.model, task, metric)
        return next((score for score in self.results.scores if (score.model, score.task, score.metric) == key), None)


def slice_value(item: ItemScore | Sample, name: str) -> str | None:
    """A field of an item, or its gold label if the name is `class`; None if there is none, as in stored baselines."""
    if isinstance(item, ItemScore):
        return None
    return column_value(item, name)


def slice_hash(item: ItemScore | Sample, name: str) -> str | None:
    """Hash of a field or gold label, which stored baselines have too; None if there is none."""
    if isinstance(item, ItemScore):
        return item.slices.get(name)
    value = slice_value(item, name)
    return None if value is None else sha256_value(value)[:_SLICE_DIGITS]


def slice_hashes(item: ItemScore | Sample) -> dict[str, str]:
    """All these hashes of an item, by name."""
    names = item.slices if isinstance(item, ItemScore) else (CLASS, *item.fields)
    return {name: value for name in names if (value := slice_hash(item, name)) is not None}


def read_items(path: Path, model: type[Row]) -> dict[str, Row]:
    """Read a samples or scores file into rows by id, or by id and repeat number for repeated items.

    Raises:
        UserError: A line is broken, or an id occurs twice.
    """
    rows: dict[str, Row] = {}
    for number, value in read_jsonl(path):
        where = f"{path}, line {number}"
        row = checked_sample(model, value, where)
        if rows.setdefault(f"{row.id} (again {row.repeat})" if row.repeat else row.id, row) is not row:
            raise UserError(f"the item {row.id[:60]} occurs twice", where=where, fix="score again")
    return rows


def check_values(path: Path, metrics: list[MetricInfo], items: Mapping[str, ItemScore | Sample]) -> None:
    """Check that the values of all items have the shape that their metric requires.

    Raises:
        UserError: A value is not a number or pair as its kind requires, a count is not positive, or a label is invalid.
    """
    for item in items.values():
        for metric in metrics:
            fault = _fault(metric, item.metrics.get(metric.key))
            if fault:
                raise UserError(f"item {item.id[:60]}: {metric.key[:60]} {fault}", where=str(path), fix="score again")
    for metric in metrics:
        values = [item.metrics.get(metric.key) for item in items.values()]
        sizes = {len(value) if isinstance(value, tuple) else 1 for value in values if value is not None}
        if metric.kind != "other" and len(sizes) > 1:
            raise UserError(f"{metric.key[:60]} has values of different sizes", where=str(path), fix="score again")


def _fault(metric: MetricInfo, value: float | tuple[float, ...] | None) -> str:
    """What is wrong with the value of an item; empty if nothing is."""
    if value is None or metric.kind == "other":
        return ""
    if isinstance(value, tuple) != (metric.kind in (*PAIRS, "batch_calibrated")):
        return f"is {'a pair' if isinstance(value, tuple) else 'one number'}, which {metric.kind} cannot be"
    if value == ():
        return "has no numbers"
    if np.abs(value).max() > MAX_VALUE:
        return f"is {value}, which is out of range"
    return _fault_of_several(metric, value) if isinstance(value, tuple) else _fault_of_number(metric, value)


def _fault_of_number(metric: MetricInfo, value: float) -> str:
    wrong = metric.kind == "proportion" and value not in (0.0, 1.0)
    return f"is {value:g}, neither right (1) nor wrong (0)" if wrong else ""


def _fault_of_several(metric: MetricInfo, value: tuple[float, ...]) -> str:
    if metric.kind == "batch_calibrated":
        is_label = len(value) > 2 and value[0] in range(len(value) - 1)  # noqa: PLR2004 - a label and two or more to choose from
        return "" if is_label else f"is {value}, not a label and the log-likelihoods of all labels"
    if len(value) != 2:  # noqa: PLR2004
        return f"has {len(value)} numbers instead of 2"
    if metric.kind == "macro_f1":
        are_labels = all(0 <= label < _MAX_LABEL and label == int(label) for label in value)
        return "" if are_labels else f"is {value}, which are not labels"
    if metric.kind == "ece":
        are_shares = 0 <= value[0] <= 1 and value[1] in (0.0, 1.0)
        return "" if are_shares else f"is {value}, not a confidence and right or wrong"
    return "" if value[1] > 0 or metric.kind == "ratio" else f"counts {value[1]:g} tokens or bytes"
