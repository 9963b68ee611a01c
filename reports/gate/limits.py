"""Finds limits and margins of a policy that no value of their metric can reach, such as 5 where 0.05 is meant."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from reports.document.schema import MetricInfo
from reports.gate.deployed import main_metrics
from reports.gate.inputs import MAX_VALUE, GateInput
from reports.gate.policy import (
    Bound,
    Change,
    DeployedEquals,
    MustPass,
    NoBadSlice,
    NonInferiority,
    NoRegression,
    OnMetric,
    Policy,
    Superiority,
    rule_name,
)
from reports.gate.targets import Target, expand

_NOT_NEGATIVE = ("perplexity", "bits_per_byte")


def impossible_limits(policy: Policy, candidate: GateInput) -> list[str]:
    """The limits that are outside the range of a metric that the rule matches, one message for each rule."""
    faults = [
        f"{rule_name(rule)}: {fault}"
        for rule in policy.rules
        if isinstance(rule, DeployedEquals) and (fault := _unused_margin(rule, candidate))
    ]
    for rule in policy.rules:
        targets = expand(rule, candidate) if isinstance(rule, OnMetric | MustPass) else []
        for target in targets if isinstance(targets, list) else ():
            if fault := next(_faults(target), ""):
                faults.append(f"{rule_name(rule)}: {fault}")
                break
    return faults


def _unused_margin(rule: DeployedEquals, candidate: GateInput) -> str:
    """What is wrong with a margin of a certificate: that no metric has it, or that no share can be as large."""
    pairs = main_metrics(candidate.scored_tasks)
    for name, margin in rule.margins.items():
        metrics = [info for task, info in pairs if fnmatchcase(f"{task.name}/{info.key}", name)]
        if not metrics:
            return f"the margin of {name} belongs to no main metric of the candidate"
        if fault := next(_too_large(f"the difference of {name}", 1.0, margin=margin), ""):
            return fault
    return ""


def _faults(target: Target) -> Iterator[str]:
    rule, metric = target.rule, target.metric
    low, high = value_range(metric)
    name = f"{target.task}/{metric.key}"
    if isinstance(rule, Bound):
        yield from _outside(f"the value of {name}", low, high, min=rule.min, max=rule.max)
    elif isinstance(rule, MustPass):
        yield from _outside(f"the value of {name}", low, high, at_least=rule.at_least, at_most=rule.at_most)
    elif isinstance(rule, Change):
        low, high = (-1.0, MAX_VALUE) if rule.relative and low == 0 else (low - high, high - low)
        yield from _outside(f"the change of {name}", low, high, min=rule.min, max=rule.max)
    elif isinstance(rule, Superiority):
        largest = 1.0 if target.is_relative and metric.sign < 0 else MAX_VALUE if target.is_relative else high - low
        yield from _too_large(f"the gain of {name}", largest, margin=rule.margin + (rule.detect or 0.0))
    elif isinstance(rule, NonInferiority | NoRegression | NoBadSlice):
        yield from _too_large(f"the loss of {name}", 1.0 if target.is_relative else high - low, margin=rule.margin)


def value_range(metric: MetricInfo) -> tuple[float, float]:
    """The smallest and the largest possible value of a metric."""
    if metric.is_share:
        return 0.0, 1.0
    return 0.0 if metric.kind in _NOT_NEGATIVE else -MAX_VALUE, MAX_VALUE


def _outside(what: str, low: float, high: float, **limits: float | None) -> Iterator[str]:
    for key, limit in limits.items():
        if limit is not None and not low <= limit <= high:
            yield f"{key} is {limit:g}, but {what} is between {low:g} and {high:g}"


def _too_large(what: str, largest: float, **limits: float | None) -> Iterator[str]:
    for key, limit in limits.items():
        if limit is not None and not limit < largest:
            yield f"{key} is {limit:g}, but {what} is less than {largest:g}"
