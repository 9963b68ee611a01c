"""Checks of a results document beyond its schema, so that every table and plot can be made of it.

A document may come from a stranger: its recipe and environment have no schema of ours, numbers may be of any size, and
its parts may refer to tasks and metrics that it does not have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from reports.document.schema import Results
from reports.errors import UserError
from reports.strict import checked

_WITHOUT_TASKS = {"suites", "judging", "ratings", "overlap"}  # checked by themselves, or shown as they are
_Known = dict[str, set[str]]
MOST_NUMBER = 1e300  # larger numbers overflow when they are added or shown in percent


class _Part(BaseModel):
    """A part without a schema; the types of the keys that are shown must be exact."""

    model_config = ConfigDict(strict=True)


class _Report(_Part):
    title: str = ""
    samples: Annotated[int, Field(ge=0)] = 0


class _Lora(_Part):
    alpha: float = 0.0
    dropout: float = 0.0
    target_modules: list[str] = Field(default_factory=list)


class _Trainer(_Part):
    learning_rate: float = 0.0
    warmup_ratio: float | None = None
    gradient_checkpointing: bool | str | None = None


class _Recipe(_Part):
    report: _Report = _Report()
    lora: _Lora | None = None
    trainer: _Trainer | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class _Environment(_Part):
    packages: dict[str, Any] | None = None


class _Loss(_Part):
    step: float


class _Training(_Part):
    losses: list[_Loss] = Field(default_factory=list)


class _Shown(_Part):
    """The parts without a schema that are shown."""

    recipe: _Recipe
    environment: _Environment
    training: _Training | None = None


def check_numbers(value: Any, where: str, *, fix: str, key: str = "") -> None:
    """Check that all numbers of a JSON value are finite and can be computed with.

    Raises:
        UserError: One is not; the message names its key.
    """
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        check_numbers(member, where, fix=fix, key=f"{key}.{name}" if key else str(name))
    if isinstance(value, int | float) and not abs(value) <= MOST_NUMBER:
        raise UserError(f"{key}: the number is not finite or out of range", where=where, fix=fix)


def check_shown(results: Results, where: str, *, fix: str) -> None:
    """Check the settings that tables show, and that all parts are of tasks and metrics of the document.

    Raises:
        UserError: A setting has another type, or a task or metric is unknown; the message names the key.
    """
    parts = results.model_dump(include={"recipe", "environment", "training"})
    checked(_Shown, parts, what="a results document", where=where, fix=fix)
    for part, key, known, tasks in _scopes(results):
        for place, task, metric in _references(part, key):
            if task in tasks if metric is None else metric in known.get(task, ()):
                continue
            what = f"not a results document: {place}: no task {task}" + (f" with a metric {metric}" if metric else "")
            raise UserError(what, where=where, fix=fix)


def _scopes(results: Results) -> Iterator[tuple[Any, str, _Known, set[str]]]:
    """Parts with their keys, the metrics that they may be of by task, and the tasks."""
    known: _Known = {task.name: {metric.key for metric in task.metrics} for task in results.tasks}
    tasks = {*known}
    for number, suite in enumerate(results.suites):
        own: _Known = defaultdict(set)
        for score in suite.scores:
            own[score.task].add(score.metric)
        known |= own
        yield suite.comparisons, f"suites.{number}.comparisons", own, {*own}
    for number, judging in enumerate(results.judging):  # scores are by rubric, calibrated differences name no task
        rated = {metric.key for metric in judging.metrics}
        names = {score.task for score in judging.scores} | {pair.task for pair in judging.comparisons}
        own = dict.fromkeys(["", *names], rated)
        for name in ("scores", "comparisons", "calibration"):
            yield getattr(judging, name), f"judging.{number}.{name}", own, {*own}
    for key in sorted(results.model_fields_set - _WITHOUT_TASKS):
        yield getattr(results, key), key, known, tasks


def _references(part: Any, key: str) -> Iterator[tuple[str, str, str | None]]:
    """The keys of the parts that belong to a task, with its name and, if they are of one metric, the metric's key."""
    if isinstance(part, BaseModel):
        task, metric = getattr(part, "task", ""), getattr(part, "metric", None)
        if task or metric:
            yield key, task, metric
        members: Iterable[tuple[object, Any]] = part
    elif isinstance(part, list):
        members = enumerate(part)
    else:
        return
    for name, member in members:
        yield from _references(member, f"{key}.{name}")
