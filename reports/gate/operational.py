"""The rules that are not about a metric: memory, speed, size, truncation, leakage, completeness, deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from reports.document.evidence import OverlapCheck, match_text
from reports.document.schema import Sample, TaskInfo
from reports.gate.changes import EXCERPT, answer_of, question_of
from reports.gate.comparable import unusable
from reports.gate.deployed import Judgement, deployed_equals
from reports.gate.inputs import GateInput, ItemScore
from reports.gate.outcome import SHARE, MovedSample, RuleResult, Verdict
from reports.gate.policy import (
    AdapterSize,
    Complete,
    Contamination,
    DeployedEquals,
    Leakage,
    Operational,
    PeakMemory,
    Throughput,
    Truncated,
    rule_name,
)
from reports.numbers import GIB, percent_text

_MIB = 2**20
_SPEED = "tokens per second"
_SHOWN = 10
_NAMED = 3


def judge(rule: Operational, candidate: GateInput) -> RuleResult:
    """Judge the candidate by one of these rules."""
    verdict, reason, fields = _JUDGES[type(rule)](rule, candidate)
    return RuleResult.model_validate(
        {"name": rule_name(rule), "label": rule.name or "", "rule": rule.rule, "advisory": rule.advisory}
        | {"verdict": verdict, "reason": reason, **fields}
    )


def _peak_memory(rule: PeakMemory, candidate: GateInput) -> Judgement:
    training = candidate.results.training
    peak = training.peak_memory_bytes if training is not None and candidate.trained_here else None
    if peak is None:
        return "fail", f"the results do not say how much memory training {candidate.model} took", {}
    return _at_most(peak / GIB, rule.max_gib, "GiB", "at the peak of training")


def _throughput(rule: Throughput, candidate: GateInput) -> Judgement:
    limit, training = rule.min_tokens_per_second, candidate.results.training
    speed = None
    if rule.of == "training":
        speed = training.tokens_per_second if training is not None and candidate.trained_here else None
    else:
        generated = {
            task
            for task, items in candidate.items.items()
            if any(item.finish_reason is not None for item in items.values())
        }
        costs = [cost for cost in candidate.results.costs if cost.model == candidate.model and cost.task in generated]
        seconds = sum(cost.seconds for cost in costs)
        speed = sum(cost.output_tokens for cost in costs) / seconds if seconds > 0 else None
    if speed is None:
        return "fail", f"the results do not say how fast {rule.of} {candidate.model} was", {}
    fields = {"value": speed, "unit": _SPEED, "limit": f"at least {limit:g} {_SPEED}"}
    return "pass" if speed >= limit else "fail", f"{speed:,.1f} {_SPEED} of {rule.of}", fields


def _adapter_size(rule: AdapterSize, candidate: GateInput) -> Judgement:
    size = candidate.info.weight_bytes
    if size is None:
        return "fail", f"the results do not say how large the weights of {candidate.model} are", {}
    return _at_most(size / _MIB, rule.max_mib, "MiB", "of adapter weights")


def _truncated(rule: Truncated, candidate: GateInput) -> Judgement:
    answers = [
        (task, item)
        for task, items in candidate.items.items()
        for item in items.values()
        if item.finish_reason is not None
    ]
    if not answers:
        return "fail", f"{candidate.model} generated no answers", {}
    cut = [(task, item) for task, item in answers if item.finish_reason == "length"]
    share = len(cut) / len(answers)
    is_within = share <= rule.max_share
    fields = {
        "value": share,
        "unit": SHARE,
        "n": len(answers),
        "limit": f"at most {percent_text(rule.max_share)}",
        "moved": [] if is_within else [_moved(task, item) for task, item in cut[:_SHOWN]],
    }
    return "pass" if is_within else "fail", f"{len(cut)} of {len(answers)} answers were cut off", fields


def _moved(task: str, item: ItemScore | Sample) -> MovedSample:
    return MovedSample(id=item.id, task=task, question=question_of(item), answer=answer_of(item))


def _overlap(rule: Leakage | Contamination, candidate: GateInput) -> Judgement:
    kinds, what = (
        (("exact", "near"), "are (nearly) equal to") if rule.rule == "leakage" else (("n-gram",), "share text with")
    )
    check = candidate.results.overlap
    unknown, name = _unknown(candidate)
    if unknown and rule.unknown == "fail":
        declare = f"declare its data when you score it (--set trained_on.{name}=FILE)"
        accept = f"or accept this with the policy line `unknown: pass` under `rule: {rule.rule}`"
        return "fail", f"{unknown}; {declare}, {accept}", {}
    accepted = f"{unknown}, which the policy accepts" if unknown else ""
    if check is None or candidate.model not in check.models:
        return "pass", accepted, {}
    unseen = [task.name for task in candidate.scored_tasks if task.name not in check.items]
    if unseen:
        return "fail", f"the items of {', '.join(unseen)} were not compared with the training rows", {}
    if reason := _unsearched(check):
        return "fail", reason, {}
    matches = [match for match in check.learned_by(candidate.model) if match.kind in kinds]
    is_within = len(matches) <= rule.max_items
    fields = {
        "value": float(len(matches)),
        "unit": "items",
        "n": sum(check.items.values()),
        "limit": f"at most {rule.max_items} items",
        "moved": []
        if is_within
        else [
            MovedSample(id=match.item, task=match.task, question=match.item_text[:EXCERPT])
            for match in matches[:_SHOWN]
        ],
    }
    reason = f"{len(matches)} test items {what} rows that were trained on"
    if candidate.info.training_data == "declared":
        reason += ", as the recipe declares them (trained_on)"
    if not is_within:
        reason += f", such as {match_text(matches[0])}"
    elif accepted:
        reason += f"; {accepted}"
    return "pass" if is_within else "fail", reason, fields


def _unknown(candidate: GateInput) -> tuple[str, str]:
    """(what of the candidate's training data is unknown, the model whose it is); empty texts if all is known."""
    check, reason = candidate.results.overlap, f"what {candidate.model} was trained on is unknown"
    if check is None or candidate.model not in check.models or candidate.info.training_data == "unknown":
        return reason, candidate.model
    owner = candidate.model if candidate.info.is_whole else "base"
    return (f"{reason}: {candidate.unknown_base}", owner) if candidate.unknown_base else ("", "")


def _unsearched(check: OverlapCheck) -> str:
    """Why some overlaps cannot be found: text that does not split into words; empty if all text does."""
    items = [f"{item} of {task}" for task, ids in check.unsearched.items() for item in ids]
    if items:
        return (
            f"the text of {len(items)} items cannot be split into words, so they were not searched:"
            f" {', '.join(items[:_NAMED])}; fix or leave them out"
        )
    if check.unsearched_rows:
        rows = "; ".join(check.unsearched_rows[:_NAMED])
        return f"the questions of training rows cannot be split into words, so they were not searched: {rows}"
    return ""


def _complete(_: Complete, candidate: GateInput) -> Judgement:
    tasks = candidate.scored_tasks
    if not tasks:
        return "fail", "no task was scored", {}
    faults = list(dict.fromkeys(fault for task in tasks for fault in _incomplete(task, candidate)))
    if faults:
        return "fail", "; ".join(faults[:_NAMED]), {}
    count = sum(len(candidate.items.get(task.name, ())) for task in tasks)
    return "pass", f"all {len(tasks)} tasks are finished", {"n": count}


def required(name: str, candidate: GateInput) -> RuleResult:
    """Judge whether the candidate was scored on a task that the policy requires."""
    faults = [fault for task in candidate.tasks if task.name == name for fault in _incomplete(task, candidate)]
    verdict: Verdict = "fail" if faults else "pass"
    reason = "; ".join(faults[:_NAMED]) or "the task is finished"
    return RuleResult(name=f"required: {name}", rule="required", task=name, verdict=verdict, reason=reason)


def _incomplete(task: TaskInfo, candidate: GateInput) -> Iterator[str]:
    """Why a task is not finished: it or a metric is missing, or a primary metric cannot be judged."""
    own = candidate.task(task.name)
    if own is None or not task.metrics:
        missing = f"{candidate.model} of {candidate.run} was not scored on {task.name}"
        yield missing if own is None else f"{task.name} has no metrics"
        return
    keys = {metric.key for metric in own.metrics}
    for metric in task.metrics:
        if not metric.secondary and (fault := unusable(candidate, task.name, metric)):
            yield fault
        elif metric.key not in keys:
            yield f"{candidate.model} of {candidate.run} lacks {task.name}/{metric.key}"


def _at_most(value: float, limit: float, unit: str, what: str) -> Judgement:
    verdict: Verdict = "pass" if value <= limit else "fail"
    fields = {"value": value, "unit": unit, "limit": f"at most {limit:g} {unit}"}
    return verdict, f"{value:,.2f} {unit} {what}", fields


_JUDGES: dict[type, Callable[[Any, GateInput], Judgement]] = {
    PeakMemory: _peak_memory,
    Throughput: _throughput,
    AdapterSize: _adapter_size,
    Truncated: _truncated,
    Leakage: _overlap,
    Contamination: _overlap,
    Complete: _complete,
    DeployedEquals: deployed_equals,
}
