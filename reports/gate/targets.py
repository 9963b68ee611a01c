"""What a rule over a metric looks at: which metrics its pattern names, which items its slice takes, their values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, cast

import numpy as np

from reports.comparison.sums import label_count, value_of_clusters
from reports.document.schema import MetricInfo, MetricKind, Sample
from reports.gate.comparable import incomparable, unusable
from reports.gate.estimate import pseudo_values
from reports.gate.outcome import MovedSample, RuleResult, Verdict
from reports.gate.policy import Bound, Change, MustPass, OnMetric, rule_name, slice_text
from reports.gate.sides import ItemScore, Side
from reports.gate.units import members, units_of

if TYPE_CHECKING:
    from reports.gate.estimate import Values

_WILD = frozenset("*?[")
_SHOWN = 10
_EXCERPT = 80
CLASS = "class"


@dataclass(frozen=True)
class Target:
    """A rule on one metric of one task."""

    rule: OnMetric | MustPass
    task: str
    metric: MetricInfo
    name: str

    @property
    def is_relative(self) -> bool:
        """Whether the rule's margin is a share of the baseline's figure."""
        told = getattr(self.rule, "relative", None)
        return not self.metric.is_share if told is None else bool(told)

    def result(self, verdict: Verdict, reason: str, **found: object) -> RuleResult:
        """The rule's result with this target's names."""
        names = {"task": self.task, "metric": self.metric.key, "slice": slice_text(self.rule).strip(" []")}
        return RuleResult.model_validate(
            {"name": self.name, "rule": self.rule.rule, "verdict": verdict, "reason": reason, **names, **found}
        )


class RefusalError(Exception):
    """Why a target cannot be judged; it fails with this reason."""


@dataclass(frozen=True)
class Selected:
    """The items of a slice, in one order for both sides.

    Attributes:
        kind: How the units are counted: right or wrong only where each unit is one item that was asked once.
        samples: The candidate's.
        others: The baseline's; empty where the rule does not compare.
        before: What each unit adds to the baseline's figure, shape [units, columns].
        after: The same of the candidate.
        items: How many different items there are.
    """

    kind: MetricKind
    samples: list[ItemScore | Sample]
    others: list[ItemScore | Sample]
    before: Values
    after: Values
    items: int

    def as_items(self, units: int) -> int:
        """A number of units as a number of items, as many to each unit as here."""
        return math.ceil(units * self.items / len(self.after))


def expand(rule: OnMetric | MustPass, candidate: Side) -> list[Target] | RuleResult:
    """The targets of a rule, or its failure where its pattern names no metric.

    For a test, a pattern leaves out metrics that only explain others or have no better direction; a metric named in
    full is never left out. People's marks are judged by rules only that name their task.
    """
    task_pattern, metric_pattern = rule.metric.split("/", 1)
    is_pattern = bool(_WILD & set(rule.metric))
    tasks = {task_pattern, *(task.name for task in candidate.asked if fnmatchcase(task.name, task_pattern))}
    found = [
        (task.name, metric)
        for task in candidate.results.tasks
        for metric in task.metrics
        if (task.name in tasks and fnmatchcase(metric.key, metric_pattern))
        or (task.name, metric.key) == (task_pattern, metric_pattern)
    ]
    if is_pattern and not isinstance(rule, Bound | Change):
        found = [(task, metric) for task, metric in found if metric.sign and not metric.secondary]
    base = rule_name(rule)
    if not found:
        known = ", ".join(f"{task.name}/{metric.key}" for task in candidate.results.tasks for metric in task.metrics)
        return RuleResult(
            name=base,
            rule=rule.rule,
            verdict="fail",
            reason=f"the candidate's run has no metric {rule.metric}; it has {known[:600] or 'none'}",
        )
    names = [base if len(found) == 1 and not is_pattern else f"{base}: {task}/{metric.key}" for task, metric in found]
    if rule.name is None and is_pattern:
        names = [rule_name(rule.model_copy(update={"metric": f"{task}/{metric.key}"})) for task, metric in found]
    return [Target(rule, task, metric, name) for (task, metric), name in zip(found, names, strict=True)]


def select(target: Target, candidate: Side, baseline: Side, *, compares: bool) -> Selected:
    """The items that a target looks at.

    Raises:
        RefusalError: There are none, or the figures may not be judged or compared.
    """
    task, metric = target.task, target.metric
    reason = unusable(candidate, task, metric)
    if compares and not reason:
        reason = unusable(baseline, task, metric) or incomparable(candidate, baseline, task, metric)
    if reason:
        raise RefusalError(reason)
    if metric.kind == "other":
        raise RefusalError(f"only lm-eval's own figure of {task}/{metric.key} is known, which a rule cannot look into")
    samples = _slice(target, candidate.items[task])
    others = [baseline.items[task][key] for key in samples] if compares else []
    mine = list(samples.values())
    labels = label_count(metric, cast("list[Sample]", mine + others))
    after = units_of(metric, mine, labels=labels)
    before = units_of(metric, others, mine, labels=labels) if compares else after
    kind: MetricKind = "mean" if metric.kind == "proportion" and not after.are_right_or_wrong else metric.kind
    return Selected(kind, mine, others, before.table, after.table, after.items)


def _slice(target: Target, items: Mapping[str, ItemScore | Sample]) -> dict[str, ItemScore | Sample]:
    rule, samples = target.rule, dict(items)
    if rule.ids:
        missing = sorted(set(rule.ids) - {sample.id for sample in samples.values()})
        if missing:
            shown = ", ".join(each[:40] for each in missing[:3])
            raise RefusalError(f"{len(missing)} of the {len(set(rule.ids))} listed items were not asked ({shown})")
        samples = {key: sample for key, sample in samples.items() if sample.id in set(rule.ids)}
    for name, wanted in ({} if isinstance(rule, MustPass) else rule.where).items():
        values = {key: _field(sample, name) for key, sample in samples.items()}
        chosen = {wanted} if isinstance(wanted, str) else set(wanted)
        samples = {key: sample for key, sample in samples.items() if values[key] in chosen}
        if not samples:
            known = sorted({value for value in values.values() if value is not None})
            has = f"; there are {', '.join(known[:8])[:200]}" if known else f", and none has a {name} at all"
            raise RefusalError(f"no item has the {name} {' or '.join(sorted(chosen))}{has}")
    return samples


def _field(sample: ItemScore | Sample, name: str) -> str | None:
    """A field of an item, the class being its gold label."""
    if not isinstance(sample, Sample):
        return None
    return sample.gold if name == CLASS else sample.fields.get(name)


def moved(target: Target, chosen: Selected, sign: int) -> list[MovedSample]:
    """The items that moved the difference (or, where nothing is compared, the figure) against `sign`, worst first."""
    key = target.metric.key
    parts = sign * pseudo_values(chosen.kind, chosen.after)
    if chosen.others:
        parts = parts - sign * pseudo_values(chosen.kind, chosen.before)
    else:
        parts = parts - sign * value_of_clusters(chosen.kind, chosen.after)
    places = members(chosen.samples)
    found: list[MovedSample] = []
    for unit in np.argsort(parts, kind="stable"):
        if parts[unit] >= 0 or len(found) >= _SHOWN:
            break
        for place in places[unit]:
            sample, other = chosen.samples[place], chosen.others[place] if chosen.others else None
            if other is None or sample.metrics[key] != other.metrics[key]:
                found.append(sample_moved(sample, target, other, weight=float(parts[unit]) / len(parts)))
    return found[:_SHOWN]


def sample_moved(
    sample: ItemScore | Sample, target: Target, other: ItemScore | Sample | None = None, weight: float | None = None
) -> MovedSample:
    """An item as results show it."""
    key = target.metric.key
    texts = (sample.output, sample.gold) if isinstance(sample, Sample) else ("", "")
    return MovedSample(
        id=sample.id,
        task=target.task,
        baseline=None if other is None else other.metrics.get(key),
        candidate=sample.metrics.get(key),
        weight=weight,
        answer=texts[0][:_EXCERPT],
        gold=texts[1][:_EXCERPT],
    )
