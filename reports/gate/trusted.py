"""What the baselines and the policy decide about a candidate: its tasks, the description of its metrics, its clusters.

The author of a candidate may write its results.json. So a task or metric that it omits counts as missing, and one that
it describes otherwise than the baseline is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.document.schema import MetricInfo, TaskInfo
from reports.gate.inputs import GateInput
from reports.gate.policy import MustPass, OnMetric, Policy, is_pattern

_DECIDES = ("kind", "higher_is_better", "percent", "secondary", "descriptive", "relevant")


def with_expected_tasks(policy: Policy, candidate: GateInput, baselines: Sequence[GateInput]) -> GateInput:
    """Add what the baselines and the policy expect of a candidate, metrics as the first baseline describes them.

    A task that the candidate describes otherwise, or whose items it groups otherwise, is among its faults.
    """
    described = [task for source in baselines for task in source.results.tasks]
    names = dict.fromkeys([task.name for task in [*candidate.results.tasks, *described]] + _named_tasks(policy))
    expected, faults = [], dict(candidate.faults)
    for name in names:
        own, theirs = candidate.task(name), [task for task in described if task.name == name]
        metrics: dict[str, MetricInfo] = {}
        for task in [*theirs, *([own] if own else [])]:
            for metric in task.metrics:
                metrics.setdefault(metric.key, metric)
        expected.append(TaskInfo(name=name, title=name, metrics=list(metrics.values())))
        fault = _redescribed(own, metrics) or _regrouped(name, candidate, baselines)
        if fault:
            faults.setdefault(name, f"{name}: {fault}")
    unknown_base = _unknown_base(candidate, baselines)
    return replace(candidate, expected=tuple(expected), faults=faults, unknown_base=unknown_base)


def _unknown_base(candidate: GateInput, baselines: Sequence[GateInput]) -> str:
    """Why the training data of the base of an adapter or export is unknown; empty if it is known.

    The base of a baseline needs no record: what it was trained on, the baseline was too. A baseline of the candidate's
    own run does not vouch for the base, since whoever wrote the recipe chose it for both.
    """
    given = [baseline.base for baseline in baselines if baseline.results is not candidate.results]
    merged, base = candidate.info.unrecorded_base, candidate.base
    if not given or (candidate.info.is_whole and merged is None):
        return ""
    if base is None:
        return f"the results of {candidate.run} do not record its base"
    trusted = {sha256 for info in given if info for sha256 in (info.sha256, info.unrecorded_base)}
    if merged is not None:
        name, sha256, own = "the base that it was merged into", merged, candidate.results.base
        is_recorded = own is not None and own.sha256 == merged and own.training_data in ("known", "declared")
    else:
        name, sha256 = f"its base {base.source}", base.sha256
        is_recorded = base.training_data in ("known", "declared")
    return (
        ""
        if is_recorded or sha256 in trusted
        else f"{name} (SHA-256 {sha256[:12]}...) is not that of the baseline, nor recorded"
    )


def _named_tasks(policy: Policy) -> list[str]:
    """The tasks that the policy requires or names in a rule that can block."""
    rules = [rule for rule in policy.rules if isinstance(rule, OnMetric | MustPass) and not rule.advisory]
    named = [rule.metric.partition("/")[0] for rule in rules]
    return [*policy.required, *(task for task in named if not is_pattern(task))]


def _redescribed(own: TaskInfo | None, metrics: dict[str, MetricInfo]) -> str:
    """How a candidate describes a metric otherwise than the baseline; empty if it does not."""
    for metric in own.metrics if own else ():
        for name in _DECIDES:
            here, there = getattr(metric, name), getattr(metrics[metric.key], name)
            if here != there:
                return f"{metric.key} is a different metric in the baseline ({name} {here}, baseline {there})"
    return ""


def _regrouped(task: str, candidate: GateInput, baselines: Sequence[GateInput]) -> str:
    """Whether items are grouped otherwise than in a baseline; empty if they are not."""
    ours = candidate.items.get(task, {})
    for baseline in baselines:
        theirs = baseline.items.get(task, {})
        moved = [key for key, item in ours.items() if key in theirs and item.cluster != theirs[key].cluster]
        if moved:
            return f"{len(moved)} items belong to other clusters in the baseline {baseline.run} ({moved[0][:40]})"
    return ""
