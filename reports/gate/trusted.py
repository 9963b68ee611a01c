"""What the baselines and the policy decide about a candidate: its tasks, the description of its metrics, its clusters.

The author of a candidate may write its results.json. So a task or metric that it omits counts as missing, and one that
it describes otherwise than the baseline is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reports.document.schema import MetricInfo, TaskInfo
from reports.gate.inputs import GateInput, SuiteRow
from reports.gate.policy import MustPass, OnMetric, Policy, is_pattern

_DECIDES = ("kind", "higher_is_better", "percent", "secondary", "descriptive", "relevant")


Suites = Mapping[str, Mapping[str, str]]  # the metric of each task in a suite's row, by suite and task


def with_expected_tasks(
    policy: Policy, candidate: GateInput, baselines: Sequence[GateInput], suites: Suites
) -> GateInput:
    """Add what the baselines and the policy expect of a candidate, metrics as the first baseline describes them.

    A task that the candidate describes otherwise, or whose items it groups otherwise, is among its faults.

    Args:
        policy: The rules.
        candidate: The model to judge.
        baselines: What it is compared with.
        suites: Medbench's own rows of suites; what the results say about suites does not count.
    """
    described = [task for source in baselines for task in source.results.tasks]
    names = dict.fromkeys([task.name for task in [*candidate.results.tasks, *described]] + _named_tasks(policy, suites))
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
    rows = tuple(_rows(policy, suites, expected, [*candidate.results.tasks, *described]))
    return replace(candidate, expected=tuple(expected), faults=faults, unknown_base=unknown_base, rows=rows)


def _rows(
    policy: Policy, suites: Suites, expected: Sequence[TaskInfo], described: Sequence[TaskInfo]
) -> Iterator[SuiteRow]:
    """The rows of the suites all of whose tasks are expected; if any is synthetic, only if a rule names the row."""
    named = {rule.metric.partition("/")[0] for rule in policy.rules if isinstance(rule, OnMetric)}
    synthetic = {task.name for task in described if task.synthetic}
    metrics = {(task.name, metric.key): metric for task in expected for metric in task.metrics}
    for suite, keys in suites.items():
        if keys.keys() <= {task.name for task in expected} and (suite in named or not keys.keys() & synthetic):
            parts = {
                task: metrics.get((task, key), MetricInfo(key=key, title=key, kind="proportion"))
                for task, key in keys.items()
            }
            yield SuiteRow(suite, parts)


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


def _named_tasks(policy: Policy, suites: Suites) -> list[str]:
    """The tasks that the policy requires or names in a rule that can block, those of a suite for its row."""
    rules = [rule for rule in policy.rules if isinstance(rule, OnMetric | MustPass) and not rule.advisory]
    named = [rule.metric.partition("/")[0] for rule in rules]
    tasks = [*policy.required, *(task for task in named if not is_pattern(task))]
    return [part for task in tasks for part in suites.get(task, [task])]


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
