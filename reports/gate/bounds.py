"""The rules that hold a figure, a change or single items against fixed limits."""

from __future__ import annotations

from typing import Any

from reports.comparison.sums import value_of_clusters
from reports.gate.comparable import unusable
from reports.gate.estimate import MIN_ITEMS, Difference, Single, paired, single
from reports.gate.outcome import RuleResult
from reports.gate.pair_tests import facts
from reports.gate.policy import Bound, Change, MustPass
from reports.gate.sides import Side
from reports.gate.targets import RefusalError, Selected, Target, moved, sample_moved, select
from reports.gate.units import units_of
from reports.numbers import signed_text, value_text

_NEARER = 0.5  # a bound that is missed by chance is asked for items that halve its interval at least
_ROUNDING = 1e-9  # 0.7 - 0.8 is a little less than -0.1


def bound(rule: Bound, target: Target, candidate: Side, baseline: Side, power: float) -> RuleResult:
    """Hold the candidate's figure against the rule's limits."""
    limit = _limit(rule.min, rule.max)
    if target.metric.kind == "other":
        return _bound_of_other(rule, target, candidate, limit)
    chosen = select(target, candidate, baseline, compares=False)
    value = value_of_clusters(chosen.kind, chosen.after)
    known: dict[str, Any] = {"value": value, "n": chosen.items, "limit": limit}
    shown = f"{target.metric.title} is {value_text(value, target.metric)}"
    return _hold(rule, target, chosen, single(chosen.kind, chosen.after), shown, known, power)


def change(rule: Change, target: Target, candidate: Side, baseline: Side, power: float) -> RuleResult:
    """Hold the difference from the baseline against the rule's limits."""
    chosen = select(target, candidate, baseline, compares=True)
    limit = _limit(rule.min, rule.max) + (" of the baseline's" if rule.relative else "")
    known = facts(chosen, rule.confidence or 0.95, target.metric.sign, _relevant(target, chosen)) | {"limit": limit}
    estimate = paired(chosen.kind, chosen.before, chosen.after)
    shown = f"{target.metric.title} changed by {signed_text(known['difference'], target.metric)}"
    if rule.relative:
        if known["baseline"] <= 0:
            raise RefusalError("the baseline's figure is not above 0, so no change is a share of it")
        shown += f", {known['difference'] / abs(known['baseline']):+.1%}"
    return _hold(rule, target, chosen, estimate, shown, known, power)


def must_pass(rule: MustPass, target: Target, candidate: Side, baseline: Side) -> RuleResult:
    """Hold every listed item's own value against the rule's limits."""
    chosen = select(target, candidate, baseline, compares=False)
    values = [
        value_of_clusters(target.metric.kind, units_of(target.metric, [sample]).table) for sample in chosen.samples
    ]
    low, high = rule.at_least, rule.at_most
    missed = [
        (value, sample)
        for value, sample in zip(values, chosen.samples, strict=True)
        if not _keeps(value, value, low, high)
    ]
    missed.sort(key=lambda each: each[0], reverse=low is None)
    limit = _limit(low, high)
    reason = f"{len(values) - len(missed)} of {len(values)} listed items have {target.metric.title} {limit}"
    worst = [sample_moved(sample, target) for _, sample in missed]
    return target.result("fail" if missed else "pass", reason, n=len(values), limit=limit, moved=worst)


def _hold(
    rule: Bound | Change,
    target: Target,
    chosen: Selected,
    estimate: Difference | Single,
    shown: str,
    known: dict[str, Any],
    power: float,
) -> RuleResult:
    """Compare a quantity with its limits; with a confidence, its bounds have to keep them too."""
    scale = abs(known["baseline"]) if isinstance(rule, Change) and rule.relative else 1.0
    low = None if rule.min is None else rule.min * scale
    high = None if rule.max is None else rule.max * scale
    if not _keeps(estimate.value, estimate.value, low, high):
        is_low = low is not None and estimate.value < low
        worst = moved(target, chosen, 1 if is_low else -1)
        return target.result("fail", f"{shown}, {'below' if is_low else 'above'} the limit", moved=worst, **known)
    if rule.confidence is None:
        return target.result("pass", shown, **known)
    ends = estimate.bounds(rule.confidence)
    if isinstance(rule, Bound):
        known |= {"low": ends[0], "high": ends[1]}
    if _keeps(*ends, low, high) and estimate.items >= MIN_ITEMS:
        return target.result("pass", f"{shown}, as surely as asked", **known)
    nearest = min(abs(estimate.value - limit) for limit in (low, high) if limit is not None)
    distance = max(nearest, _NEARER * (ends[1] - ends[0]) / 2)
    needed = estimate.items_to_exceed(-distance, 0.0, rule.confidence, power)
    needed = None if needed is None else chosen.as_items(max(needed, estimate.items + 1))
    reason = f"{shown}, but {chosen.items} items cannot tell it from the limit"
    worst = moved(target, chosen, 1 if low is not None and ends[0] < low else -1)
    return target.result("inconclusive", reason, items_needed=needed, moved=worst, **known)


def _relevant(target: Target, chosen: Selected) -> float:
    """The smallest difference that matters, in the metric's unit."""
    baseline = 1.0 if target.metric.is_share else abs(value_of_clusters(chosen.kind, chosen.before))
    return target.metric.relevant * baseline


def _bound_of_other(rule: Bound, target: Target, candidate: Side, limit: str) -> RuleResult:
    """Hold a figure of which only lm-eval's own value is known."""
    reason = unusable(candidate, target.task, target.metric)
    score = candidate.score(target.task, target.metric.key)
    if reason or score is None or score.value is None:
        raise RefusalError(reason or "there is no figure")
    if rule.confidence is not None or rule.where or rule.ids:
        raise RefusalError("only lm-eval's own figure is known, which has no slices and no confidence")
    kept = _keeps(score.value, score.value, rule.min, rule.max)
    shown = f"{target.metric.title} is {value_text(score.value, target.metric)}"
    return target.result("pass" if kept else "fail", shown, value=score.value, n=score.n, limit=limit)


def _keeps(lower: float, upper: float, low: float | None, high: float | None) -> bool:
    """Whether a figure, or an interval, is within limits."""
    return (low is None or lower >= low - _ROUNDING) and (high is None or upper <= high + _ROUNDING)


def _limit(low: float | None, high: float | None) -> str:
    ends = [("at least", low), ("at most", high)]
    return " and ".join(f"{which} {end:g}" for which, end in ends if end is not None)
