"""The two sides of a gate: a model's results with the scores of each of its items, read from a run or a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from reports.document.evidence import HUMAN_RATING
from reports.document.reading import checked_sample
from reports.document.schema import MetricInfo, ModelInfo, Results, Sample, Score, TaskInfo
from reports.errors import UserError
from reports.files import read_jsonl
from reports.strict import Strict

PAIRS = ("perplexity", "bits_per_byte", "macro_f1", "ece", "ratio")  # kinds whose value of an item is a pair
_MAX_LABEL = 1000
_MOST = 1e15
Row = TypeVar("Row", "ItemScore", Sample)


class ItemScore(Strict):
    """What a baseline keeps of a sample: no text of it."""

    id: str
    doc_hash: str
    metrics: dict[str, float | tuple[float, ...] | None]
    finish_reason: Literal["stop", "length"] | None = None
    cluster: str | None = None
    repeat: int = 0


@dataclass(frozen=True)
class Side:
    """A model in a run.

    Attributes:
        run: Where it was read from, as told.
        results: The results document that it is in.
        model: Its name there.
        items: Scores by task and item; the candidate's are whole samples.
        faults: What keeps a task from being judged, by task; such as a missing file.
        trained_here: Whether the results' training is the one of this model.
    """

    run: str
    results: Results
    model: str
    items: dict[str, Mapping[str, ItemScore | Sample]]
    faults: dict[str, str] = field(default_factory=dict)
    trained_here: bool = False

    @property
    def info(self) -> ModelInfo:
        """What the results say of the model."""
        return next(each for each in self.results.models if each.name == self.model)

    @property
    def asked(self) -> list[TaskInfo]:
        """The tasks that were put to the models; people's marks are one in the results only."""
        return [task for task in self.results.tasks if task.name != HUMAN_RATING]

    def task(self, name: str) -> TaskInfo | None:
        """What was asked; None where it was not."""
        return next((each for each in self.results.tasks if each.name == name), None)

    def score(self, task: str, metric: str) -> Score | None:
        """The figure in the results; None where there is none."""
        wanted = (self.model, task, metric)
        return next((each for each in self.results.scores if (each.model, each.task, each.metric) == wanted), None)


def read_items(path: Path, model: type[Row]) -> dict[str, Row]:
    """The rows of a samples or scores file by id, and by their number where an item was asked several times.

    Raises:
        UserError: A line is broken, or an id is there twice.
    """
    found: dict[str, Row] = {}
    for number, value in read_jsonl(path):
        where = f"{path}, line {number}"
        row = checked_sample(model, value, where)
        if found.setdefault(f"{row.id} (again {row.repeat})" if row.repeat else row.id, row) is not row:
            raise UserError(f"the item {row.id[:60]} is there twice", where=where, fix="score again")
    return found


def check_values(path: Path, metrics: list[MetricInfo], items: Mapping[str, ItemScore | Sample]) -> None:
    """Refuse values of a shape that their metric cannot have.

    Raises:
        UserError: A value is no pair or number as its kind wants it, a count is not positive, or a label is no label.
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
    """What is wrong with a value of an item; empty where nothing is, or where it is no finite number."""
    if value is None or metric.kind == "other":
        return ""
    if isinstance(value, tuple) != (metric.kind in (*PAIRS, "batch_calibrated")):
        return f"is {'a pair' if isinstance(value, tuple) else 'one number'}, which {metric.kind} cannot be"
    if not _is_finite(value):
        return ""
    if np.abs(value).max() > _MOST:
        return f"is {value}, beyond all measure"
    return _fault_of_several(metric, value) if isinstance(value, tuple) else _fault_of_number(metric, value)


def _fault_of_number(metric: MetricInfo, value: float) -> str:
    wrong = metric.kind == "proportion" and value not in (0.0, 1.0)
    return f"is {value:g}, neither right (1) nor wrong (0)" if wrong else ""


def _fault_of_several(metric: MetricInfo, value: tuple[float, ...]) -> str:
    if metric.kind == "batch_calibrated":
        is_label = len(value) > 2 and value[0] in range(len(value) - 1)  # noqa: PLR2004 - a label and two or more to choose from
        return "" if is_label else f"is {value}, no label with the log-likelihoods of all labels"
    if len(value) != 2:  # noqa: PLR2004
        return f"has {len(value)} numbers instead of 2"
    if metric.kind == "macro_f1":
        are_labels = all(0 <= each < _MAX_LABEL and each == int(each) for each in value)
        return "" if are_labels else f"is {value}, which are no labels"
    if metric.kind == "ece":
        are_shares = 0 <= value[0] <= 1 and value[1] in (0.0, 1.0)
        return "" if are_shares else f"is {value}, no confidence with right or wrong"
    return "" if value[1] > 0 or metric.kind == "ratio" else f"counts {value[1]:g} tokens or bytes"


def _is_finite(value: float | tuple[float, ...] | None) -> bool:
    """Whether there is a value, and it is a number."""
    return value is not None and all(map(math.isfinite, value if isinstance(value, tuple) else (value,)))
