"""Resolves a rule about a metric: the metrics that match its pattern, and which items moved it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from reports.comparison.sums import Clusters, value_of_clusters
from reports.document.schema import MetricInfo, MetricKind, Sample
from reports.document.suites import MEAN_ACCURACY
from reports.gate.changes import EXCERPT, answer_of, question_of
from reports.gate.estimate import Difference, Single, paired, pseudo_values, single
from reports.gate.inputs import GateInput, ItemScore, SuiteRow
from reports.gate.label_difference import label_difference
from reports.gate.outcome import MovedSample, RuleResult, Verdict
from reports.gate.policy import Bound, Change, MustPass, NoBadSlice, OnMetric, is_pattern, rule_name, slice_text
from reports.gate.units import members, units_of

if TYPE_CHECKING:
    from reports.gate.estimate import Values

_SHOWN = 10


@dataclass(frozen=True)
class Target:
    """A rule on one metric of one task, or on the row of a suite.

    Attributes:
        rule: The rule.
        task: Name of the task or suite.
        metric: The metric.
        name: Name of the result.
        parts: The parts of a suite's row; empty for a task.
        row: The row that the same rule judges and this task is part of; empty if there is none.
    """

    rule: OnMetric | MustPass
    task: str
    metric: MetricInfo
    name: str
    parts: tuple[Target, ...] = ()
    row: str = ""

    @property
    def is_relative(self) -> bool:
        """Whether the rule's margin is a share of the baseline's value."""
        relative = getattr(self.rule, "relative", None)
        return not self.metric.is_share if relative is None else bool(relative)

    def result(self, verdict: Verdict, reason: str, **fields: object) -> RuleResult:
        """A result with the names of this target."""
        names = {"task": self.task, "metric": self.metric.key, "slice": slice_text(self.rule).strip(" []")}
        return RuleResult.model_validate(
            {"name": self.name, "label": self.rule.name or "", "rule": self.rule.rule}
            | {"verdict": verdict, "reason": reason}
            | {"advisory": self.rule.advisory, **names, **fields}
        )


class CannotJudgeError(Exception):
    """Why a target cannot be judged; the rule fails for this reason."""


@dataclass(frozen=True)
class Selected:
    """The items of a slice, in the same order for both models.

    Attributes:
        kind: The metric's kind; `mean` instead of `proportion` unless each unit is one item with one answer.
        samples: The candidate's items.
        others: The baseline's items; empty if the rule does not compare.
        baseline: The baseline's contributions.
        candidate: The candidate's, in the same units.
        items: Number of different items.
        are_same_model: Whether the two models have the same weights and every value is the same.
    """

    kind: MetricKind
    samples: list[ItemScore | Sample]
    others: list[ItemScore | Sample]
    baseline: Clusters
    candidate: Clusters
    items: int
    are_same_model: bool = False

    @property
    def before(self) -> Values:
        """What each unit adds to the baseline's value, shape [units, columns]."""
        return self.baseline.table

    @property
    def after(self) -> Values:
        """What each unit adds to the candidate's value, shape [units, columns]."""
        return self.candidate.table

    @property
    def baseline_value(self) -> float:
        """The baseline's value."""
        return value_of_clusters(self.kind, self.before)

    @property
    def candidate_value(self) -> float:
        """The candidate's value."""
        return value_of_clusters(self.kind, self.after)

    def single(self) -> Single:
        """The candidate's value with its bounds."""
        return single(self.kind, self.after)

    def worst(self, target: Target, sign: int) -> list[MovedSample]:
        """See `moved`."""
        return moved(target, self, sign)

    def difference(self, *, sign: int = 1, share: float = 0.0) -> Difference:
        """The candidate's value minus (1 + `share`) times the baseline's, times `sign`."""
        if self.kind == "macro_f1":
            return label_difference(self.baseline, self.candidate, sign=sign, share=share)
        return paired(self.kind, self.before, self.after, sign=sign, share=share)

    def as_items(self, units: int) -> int:
        """Convert a number of units to items, with as many items per unit as here."""
        return math.ceil(units * self.items / len(self.after))


def expand(rule: OnMetric | MustPass, candidate: GateInput) -> list[Target] | RuleResult:
    """The targets of a rule, or its failure if its pattern matches no metric.

    In tests, patterns skip secondary metrics and those without a better direction; a metric named in full is never
    skipped. Ratings by people are only judged by rules that name their task. A suite's row
    goes by the suite's name.
    """
    task_pattern, metric_pattern = rule.metric.split("/", 1)
    tasks = {task_pattern, *(task.name for task in candidate.scored_tasks if fnmatchcase(task.name, task_pattern))}
    matches = [
        (task.name, metric)
        for task in candidate.tasks
        for metric in task.metrics
        if (task.name in tasks and fnmatchcase(metric.key, metric_pattern))
        or (task.name, metric.key) == (task_pattern, metric_pattern)
    ]
    if is_pattern(rule.metric) and not isinstance(rule, Bound | Change):
        matches = [(task, metric) for task, metric in matches if metric.sign and not metric.secondary]
    rows = _rows(rule, candidate)
    if not matches and not rows:
        available = ", ".join(f"{task.name}/{metric.key}" for task in candidate.tasks for metric in task.metrics)
        return RuleResult(
            name=rule_name(rule),
            label=rule.name or "",
            rule=rule.rule,
            verdict="fail",
            advisory=rule.advisory,
            reason=f"the candidate's run has no metric {rule.metric}; it has {available[:600] or 'none'}",
        )
    part_of = {(task, metric.key): row.suite for row in rows for task, metric in row.parts.items()}
    return [
        *(
            Target(rule, task, metric, _target_name(rule, task, metric), row=part_of.get((task, metric.key), ""))
            for task, metric in matches
        ),
        *(
            Target(
                rule, row.suite, MEAN_ACCURACY, _target_name(rule, row.suite, MEAN_ACCURACY), parts=_parts(rule, row)
            )
            for row in rows
        ),
    ]


def _rows(rule: OnMetric | MustPass, candidate: GateInput) -> list[SuiteRow]:
    """The rows that a rule names, or that its pattern matches if it selects no items."""
    if isinstance(rule, MustPass):
        return []
    suite_pattern, metric_pattern = rule.metric.split("/", 1)
    is_sliced = is_pattern(rule.metric) and (rule.where or rule.ids or isinstance(rule, NoBadSlice))
    return [
        row
        for row in candidate.rows
        if fnmatchcase(row.suite, suite_pattern) and fnmatchcase(MEAN_ACCURACY.key, metric_pattern) and not is_sliced
    ]


def _parts(rule: OnMetric | MustPass, row: SuiteRow) -> tuple[Target, ...]:
    return tuple(Target(rule, task, metric, f"{task}/{metric.key}") for task, metric in row.parts.items())


def _target_name(rule: OnMetric | MustPass, task: str, metric: MetricInfo) -> str:
    """The name of a result: the rule's, with the metric if the rule's is a pattern."""
    if not is_pattern(rule.metric):
        return rule_name(rule)
    if rule.name is None:
        return rule_name(rule.model_copy(update={"metric": f"{task}/{metric.key}"}))
    return f"{rule.name}: {task}/{metric.key}"


def moved(target: Target, selected: Selected, sign: int) -> list[MovedSample]:
    """The items that moved the difference (or the value, if nothing is compared) against `sign`, worst first."""
    key = target.metric.key
    parts = sign * pseudo_values(selected.kind, selected.after)
    if selected.others:
        parts = parts - sign * pseudo_values(selected.kind, selected.before)
    else:
        parts = parts - sign * value_of_clusters(selected.kind, selected.after)
    positions = members(selected.samples)
    worst: list[MovedSample] = []
    for unit in np.argsort(parts, kind="stable"):
        if parts[unit] >= 0 or len(worst) >= _SHOWN:
            break
        for position in positions[unit]:
            sample, other = selected.samples[position], selected.others[position] if selected.others else None
            if other is None or sample.metrics[key] != other.metrics[key]:
                worst.append(sample_moved(sample, target, other, weight=float(parts[unit]) / len(parts)))
    return worst[:_SHOWN]


def sample_moved(
    sample: ItemScore | Sample, target: Target, other: ItemScore | Sample | None = None, weight: float | None = None
) -> MovedSample:
    """An item as the report shows it."""
    key = target.metric.key
    return MovedSample(
        id=sample.id,
        task=target.task,
        baseline=None if other is None else other.metrics.get(key),
        candidate=sample.metrics.get(key),
        baseline_score=None if other is None else score_of_item(target.metric, other),
        candidate_score=score_of_item(target.metric, sample),
        weight=weight,
        question=question_of(sample),
        baseline_answer=answer_of(other),
        answer=answer_of(sample),
        gold=sample.gold[:EXCERPT] if isinstance(sample, Sample) else "",
    )


def score_of_item(metric: MetricInfo, item: ItemScore | Sample) -> float | None:
    """What the metric comes to on a single item, in its unit; None if it has no value there or none of its own."""
    value = item.metrics.get(metric.key)
    if value is None or metric.kind in ("other", "ece", "batch_calibrated"):
        return None
    if metric.kind == "macro_f1":  # right or wrong
        return float(isinstance(value, tuple) and value[0] == value[1])
    score = value_of_clusters(metric.kind, units_of(metric, [item]).table)
    return score if math.isfinite(score) else None
