"""The rules over no metric: memory, speed, size, truncation, leakage, and whether everything was finished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reports.document.evidence import OverlapCheck, match_text
from reports.gate.comparable import unusable
from reports.gate.outcome import MovedSample, RuleResult, Verdict
from reports.gate.policy import (
    AdapterSize,
    Complete,
    Contamination,
    Leakage,
    Operational,
    PeakMemory,
    Throughput,
    Truncated,
    rule_name,
)
from reports.gate.sides import Side
from reports.numbers import GIB

_MIB = 2**20
_SHOWN = 10
_NAMED = 3


def judge(rule: Operational, candidate: Side) -> RuleResult:
    """The verdict of one operational rule on the candidate."""
    verdict, reason, found = _JUDGES[type(rule)](rule, candidate)
    return RuleResult.model_validate(
        {"name": rule_name(rule), "rule": rule.rule, "verdict": verdict, "reason": reason, **found}
    )


Found = tuple[Verdict, str, dict[str, Any]]


def _peak_memory(rule: PeakMemory, candidate: Side) -> Found:
    training = candidate.results.training
    peak = training.peak_memory_bytes if training is not None and candidate.trained_here else None
    if peak is None:
        return "fail", f"the results do not say what memory training {candidate.model} took", {}
    return _at_most(peak / GIB, rule.max_gib, "GiB at the peak of training")


def _throughput(rule: Throughput, candidate: Side) -> Found:
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
        costs = [each for each in candidate.results.costs if each.model == candidate.model and each.task in generated]
        seconds = sum(each.seconds for each in costs)
        speed = sum(each.output_tokens for each in costs) / seconds if seconds > 0 else None
    if speed is None:
        return "fail", f"the results do not say how fast {rule.of} {candidate.model} was", {}
    found = {"value": speed, "limit": f"at least {limit:g}"}
    return "pass" if speed >= limit else "fail", f"{speed:,.1f} tokens a second of {rule.of}", found


def _adapter_size(rule: AdapterSize, candidate: Side) -> Found:
    size = candidate.info.weight_bytes
    if size is None:
        return "fail", f"the results do not say how large the weights of {candidate.model} are", {}
    return _at_most(size / _MIB, rule.max_mib, "MiB of adapter weights")


def _truncated(rule: Truncated, candidate: Side) -> Found:
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
    kept = share <= rule.max_share
    found = {
        "value": share,
        "n": len(answers),
        "limit": f"at most {rule.max_share:.1%}",
        "moved": [] if kept else [MovedSample(id=item.id, task=task) for task, item in cut[:_SHOWN]],
    }
    return "pass" if kept else "fail", f"{len(cut)} of {len(answers)} answers were cut off", found


def _overlap(rule: Leakage | Contamination, candidate: Side) -> Found:
    kinds, what = (
        (("exact", "near"), "are (nearly) equal to") if rule.rule == "leakage" else (("n-gram",), "share text with")
    )
    check = candidate.results.overlap
    if candidate.info.kind == "base":
        return "pass", f"{candidate.model} was not fine-tuned", {}
    if check is None or candidate.model not in check.models:
        reason = (
            f"nothing is known of the rows that {candidate.model} was trained on; score it in the run that trains it"
        )
        return "fail", reason, {}
    unseen = [task.name for task in candidate.asked if task.name not in check.items]
    if unseen:
        return "fail", f"the items of {', '.join(unseen)} were not compared with the training rows", {}
    if reason := _unsearched(check):
        return "fail", reason, {}
    matches = [match for match in check.learned_by(candidate.model) if match.kind in kinds]
    kept = len(matches) <= rule.max_items
    found = {
        "value": float(len(matches)),
        "n": sum(check.items.values()),
        "limit": f"at most {rule.max_items} items",
        "moved": [] if kept else [MovedSample(id=match.item, task=match.task) for match in matches[:_SHOWN]],
    }
    reason = f"{len(matches)} test items {what} rows that were trained on"
    if not kept:
        reason += f", such as {match_text(matches[0])}"
    return "pass" if kept else "fail", reason, found


def _unsearched(check: OverlapCheck) -> str:
    """Why it is not known whether items were trained on: text without words; empty if all could be searched."""
    items = [f"{item} of {task}" for task, ids in check.unsearched.items() for item in ids]
    if items:
        return (
            f"the text of {len(items)} items cannot be split into words, so nothing is known of them:"
            f" {', '.join(items[:_NAMED])}; fix or leave them out"
        )
    if check.unsearched_rows:
        rows = "; ".join(check.unsearched_rows[:_NAMED])
        return f"the questions of training rows cannot be split into words, so nothing is known of them: {rows}"
    return ""


def _complete(_: Complete, candidate: Side) -> Found:
    tasks = candidate.asked
    if not tasks:
        return "fail", "no task was asked", {}
    primary = [(task.name, metric) for task in tasks for metric in task.metrics if not metric.secondary]
    faults = dict.fromkeys(filter(None, (unusable(candidate, task, metric) for task, metric in primary)))
    faults |= dict.fromkeys(f"{task.name} has no metrics" for task in tasks if not task.metrics)
    if faults:
        return "fail", "; ".join(list(faults)[:3]), {}
    count = sum(len(candidate.items.get(task.name, ())) for task in tasks)
    return "pass", f"all {len(tasks)} tasks are finished", {"n": count}


def _at_most(value: float, limit: float, unit: str) -> Found:
    verdict: Verdict = "pass" if value <= limit else "fail"
    return verdict, f"{value:,.2f} {unit}", {"value": value, "limit": f"at most {limit:g}"}


_JUDGES: dict[type, Callable[[Any, Side], Found]] = {
    PeakMemory: _peak_memory,
    Throughput: _throughput,
    AdapterSize: _adapter_size,
    Truncated: _truncated,
    Leakage: _overlap,
    Contamination: _overlap,
    Complete: _complete,
}
