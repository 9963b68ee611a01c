"""The rules with fixed limits: of a value, of a change, and of listed items."""

from __future__ import annotations

from typing import Any

from reports.comparison.sums import value_of_clusters
from reports.gate.comparable import unusable
from reports.gate.estimate import Difference, Single
from reports.gate.inputs import GateInput
from reports.gate.mean_difference import MIN_ITEMS
from reports.gate.outcome import RuleResult
from reports.gate.pair_tests import AnySelected, change_text, comparison_fields
from reports.gate.policy import Bound, Change, MustPass
from reports.gate.selecting import select
from reports.gate.suite_target import SuiteMean, select_target
from reports.gate.targets import CannotJudgeError, Target, sample_moved
from reports.gate.units import units_of
from reports.numbers import signed_text, value_text

_NEARER = 0.5  # undecided bounds ask for enough items to halve the interval, however near the limit is
_ROUNDING = 1e-9  # 0.7 - 0.8 is a little less than -0.1


def bound(rule: Bound, target: Target, candidate: GateInput, baseline: GateInput, power: float) -> RuleResult:
    """Compare the candidate's value with the rule's limits."""
    limit = _limit(rule.min, rule.max, "%" if target.metric.percent else "")
    if target.metric.kind == "other":
        return _bound_of_other(rule, target, candidate, limit)
    selected = select_target(target, candidate, baseline, compares=False)
    value = selected.candidate_value
    fields: dict[str, Any] = {"value": value, "n": selected.items, "limit": limit}
    description = f"{target.metric.title} is {value_text(value, target.metric)}"
    return _compare(rule, target, selected, selected.single(), description, fields, power)


def change(rule: Change, target: Target, candidate: GateInput, baseline: GateInput, power: float) -> RuleResult:
    """Compare the difference from the baseline with the rule's limits."""
    selected = select_target(target, candidate, baseline, compares=True)
    if rule.relative:
        limit = f"{_limit(rule.min, rule.max, '%')} of the baseline's"
    else:
        limit = _limit(rule.min, rule.max, "pp" if target.metric.percent else "")
    confidence = rule.confidence or 0.95
    fields = comparison_fields(selected, confidence, target.metric.sign, _relevant(target, selected)) | {"limit": limit}
    estimate = selected.difference()
    description = f"{target.metric.title} changed by {signed_text(fields['difference'], target.metric)}"
    if rule.relative:
        if fields["baseline"] <= 0:
            raise CannotJudgeError("the baseline's value is not above 0, so there is no relative change")
        description += f", {fields['difference'] / abs(fields['baseline']):+.1%}"
    if fields["outcome"] == "identical":
        description = f"{target.metric.title} is {change_text(target, selected, fields, confidence)}"
    return _compare(rule, target, selected, estimate, description, fields, power)


def must_pass(rule: MustPass, target: Target, candidate: GateInput, baseline: GateInput) -> RuleResult:
    """Compare the value of every listed item with the rule's limits."""
    selected = select(target, candidate, baseline, compares=False)
    values = [
        value_of_clusters(target.metric.kind, units_of(target.metric, [sample]).table) for sample in selected.samples
    ]
    low, high = rule.at_least, rule.at_most
    missed = [
        (value, sample)
        for value, sample in zip(values, selected.samples, strict=True)
        if not _is_within(value, value, low, high)
    ]
    missed.sort(key=lambda miss: miss[0], reverse=low is None)
    limit = _limit(low, high, "%" if target.metric.percent else "")
    reason = f"{len(values) - len(missed)} of {len(values)} listed items have {target.metric.title} {limit}"
    worst = [sample_moved(sample, target) for _, sample in missed]
    return target.result("fail" if missed else "pass", reason, n=len(values), limit=limit, moved=worst)


def _compare(
    rule: Bound | Change,
    target: Target,
    selected: AnySelected,
    estimate: Difference | Single | SuiteMean,
    description: str,
    fields: dict[str, Any],
    power: float,
) -> RuleResult:
    """Compare an estimate with its limits; with a confidence, its bounds have to be within them too."""
    scale = abs(fields["baseline"]) if isinstance(rule, Change) and rule.relative else 1.0
    low = None if rule.min is None else rule.min * scale
    high = None if rule.max is None else rule.max * scale
    if not _is_within(estimate.value, estimate.value, low, high):
        is_low = low is not None and estimate.value < low
        worst = selected.worst(target, 1 if is_low else -1)
        return target.result(
            "fail", f"{description}, {'below' if is_low else 'above'} the limit", moved=worst, **fields
        )
    if rule.confidence is None or selected.are_same_model:
        return target.result("pass", description, **fields)
    ends = estimate.bounds(rule.confidence)
    if isinstance(rule, Bound):
        fields |= {"low": ends[0], "high": ends[1]}
    if _is_within(*ends, low, high) and estimate.items >= MIN_ITEMS:
        return target.result("pass", f"{description}, at the confidence asked for", **fields)
    nearest = min(abs(estimate.value - limit) for limit in (low, high) if limit is not None)
    distance = max(nearest, _NEARER * (ends[1] - ends[0]) / 2)
    needed = estimate.items_to_exceed(-distance, 0.0, rule.confidence, power)
    needed = None if needed is None else selected.as_items(max(needed, estimate.items + 1))
    reason = f"{description}, but {selected.items} items are too few to tell it from the limit"
    worst = selected.worst(target, 1 if low is not None and ends[0] < low else -1)
    return target.result("inconclusive", reason, items_needed=needed, moved=worst, **fields)


def _relevant(target: Target, selected: AnySelected) -> float:
    """The smallest difference that matters, in the metric's unit."""
    baseline = 1.0 if target.metric.is_share else abs(selected.baseline_value)
    return target.metric.relevant * baseline


def _bound_of_other(rule: Bound, target: Target, candidate: GateInput, limit: str) -> RuleResult:
    """Compare a metric of which only lm-eval's own value is known."""
    reason = unusable(candidate, target.task, target.metric)
    score = candidate.score(target.task, target.metric.key)
    if reason or score is None or score.value is None:
        raise CannotJudgeError(reason)
    if rule.confidence is not None or rule.where or rule.ids:
        raise CannotJudgeError("only lm-eval's own value is known, without slices or intervals")
    is_within = _is_within(score.value, score.value, rule.min, rule.max)
    description = f"{target.metric.title} is {value_text(score.value, target.metric)}"
    return target.result("pass" if is_within else "fail", description, value=score.value, n=score.n, limit=limit)


def _is_within(lower: float, upper: float, low: float | None, high: float | None) -> bool:
    """Whether an interval is within the limits."""
    return (low is None or lower >= low - _ROUNDING) and (high is None or upper <= high + _ROUNDING)


def _limit(low: float | None, high: float | None, unit: str) -> str:
    """The limits in words, of which those of shares are in the unit `%` or `pp`, the others have none."""
    ends = [("at least", low), ("at most", high)]
    return " and ".join(
        f"{side} {100 * end:g} {unit}" if unit else f"{side} {end:g}" for side, end in ends if end is not None
    )
