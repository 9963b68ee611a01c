"""The rule `deployed_equals`: a certificate in the run folder says that the deployed model equals the candidate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from reports.certificate import metric_text, summary
from reports.document.evidence import HUMAN_RATING
from reports.document.schema import MetricInfo, TaskInfo
from reports.document.verification import Verification
from reports.gate.inputs import GateInput
from reports.gate.outcome import Verdict
from reports.gate.policy import DeployedEquals

_NAMED = 3
_TOLERANCE = 1e-6
Judgement = tuple[Verdict, str, dict[str, Any]]


def main_metrics(tasks: Iterable[TaskInfo]) -> list[tuple[TaskInfo, MetricInfo]]:
    """The metrics that decide: neither secondary nor descriptive, with values of single items that can be tested."""
    return [
        (task, metric)
        for task in tasks
        if task.name != HUMAN_RATING
        for metric in task.metrics
        if metric.is_main and metric.kind not in ("ece", "other")
    ]


def margin_of(margins: Mapping[str, float], task: str, metric: MetricInfo, reference: float) -> float:
    """The margin of a metric in its unit: its own, that of the first pattern that matches it, or the default."""
    name = f"{task}/{metric.key}"
    patterns = [margin for pattern, margin in margins.items() if fnmatchcase(name, pattern)]
    margin = margins.get(name, patterns[0] if patterns else metric.relevant)
    return margin if metric.is_share else margin * abs(reference)


def deployed_equals(rule: DeployedEquals, candidate: GateInput) -> Judgement:
    """Judge the candidate by its certificate: a missing one, or one of another model, fails."""
    document = candidate.certificates.get(rule.file, f"there is no {rule.file}; write it with `medbench verify`")
    if isinstance(document, str):
        return "fail", document, {}
    if fault := _foreign(document, candidate):
        return "fail", f"{rule.file} is not about this candidate: {fault}; verify it again", {}
    nats = document.likelihoods.mean_size if document.likelihoods else None
    fields = {
        "n": document.items,
        "value": nats,
        "unit": "nats per token",
        "limit": "equivalent to the candidate",
        "outcome": document.outcome,
    }
    if document.outcome != "equivalent":
        verdict: Verdict = "fail" if document.outcome == "different" else "inconclusive"
        return verdict, summary(document), fields | {"items_needed": document.items_needed}
    tasks = [task for task in candidate.scored_tasks if not rule.tasks or task.name in rule.tasks]
    faults = [
        f"{name} is not a task of the candidate" for name in rule.tasks if name not in {task.name for task in tasks}
    ]
    undecided = []
    for task, info in main_metrics(tasks):
        fault, reason = _judge_metric(rule, document, candidate, task, info)
        faults += [fault] if fault else []
        undecided += [reason] if reason else []
    if rule.max_nats_per_token is not None and (nats is None or nats > rule.max_nats_per_token):
        value = "is unknown" if nats is None else f"is {nats:.2g}"
        faults.append(f"the difference in nats per token {value}, above the limit of {rule.max_nats_per_token:g}")
    if faults or undecided:
        return "fail" if faults else "inconclusive", "; ".join([*faults, *undecided][:_NAMED]), fields
    return "pass", summary(document), fields


def _judge_metric(
    rule: DeployedEquals, document: Verification, candidate: GateInput, task: TaskInfo, info: MetricInfo
) -> tuple[str, str]:
    """(why a metric fails, why it cannot be decided) by the rule's own margin; empty texts if it passes."""
    name = f"{task.name}/{info.key}"
    part = next((part for part in document.metrics if (part.task, part.info.key) == (task.name, info.key)), None)
    if part is None or part.reference is None or part.info.kind != info.kind:
        return f"{rule.file} does not compare {name}", ""
    score = candidate.score(task.name, info.key)
    value = score.value if score is not None and part.items == score.n else None
    if value is not None and not math.isclose(part.reference, value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
        return f"{rule.file} compares other answers: {name} was {part.reference:.6g}, not {value:.6g}", ""
    margin = margin_of(rule.margins, task.name, info, part.reference)
    low, high = (math.inf * sign if end is None else end for sign, end in ((-1, part.low), (1, part.high)))
    if -margin < low and high < margin:
        return "", ""
    reason = f"{metric_text(part.model_copy(update={'margin': margin}))}: {task.name}"
    return (
        (f"beyond the margin: {reason}", "") if low >= margin or high <= -margin else ("", f"too few items: {reason}")
    )


def _foreign(document: Verification, candidate: GateInput) -> str:
    """How the certificate's reference is not the candidate; empty if it is."""
    base = candidate.base.sha256 if candidate.base else None
    pairs = (
        ("weights", document.reference.sha256, candidate.info.sha256),
        ("settings", document.reference.config_sha256, candidate.info.config_sha256),
        ("base", document.reference.base_sha256, base),
    )
    if not candidate.info.sha256:
        return "the run does not record its weights"
    differing = [
        f"{what} {(certified or 'unknown')[:12]}, not {(ours or 'unknown')[:12]}"
        for what, certified, ours in pairs
        if certified != ours
    ]
    return ", ".join(differing)
