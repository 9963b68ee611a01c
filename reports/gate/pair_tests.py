"""The rules that test paired items: superiority, non-inferiority and no regression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from reports.gate.estimate import Difference
from reports.gate.mean_difference import MIN_ITEMS
from reports.gate.outcome import Outcome, RuleResult, Verdict
from reports.gate.policy import NonInferiority, NoRegression, Superiority
from reports.gate.suite_target import SelectedSuite
from reports.gate.targets import CannotJudgeError, Selected, Target
from reports.numbers import amount_text, p_text, signed_text

AnySelected = Selected | SelectedSuite


@dataclass(frozen=True)
class Gain:
    """The candidate's gain over the baseline, oriented so that more is better, and the limit that it has to exceed.

    Attributes:
        plain: The difference.
        shifted: What is compared with `limit`: for relative limits the difference minus a share of the baseline.
        limit: In terms of `shifted`, so 0 for relative limits.
        margin: In terms of `plain`; negative for a tolerated loss.
    """

    plain: Difference
    shifted: Difference
    limit: float
    margin: float

    @property
    def p_value(self) -> float:
        """One-sided; low if the limit is exceeded. 1 with too few items for any test."""
        return self.shifted.p_above(self.limit) if self.plain.items >= MIN_ITEMS else 1.0

    @property
    def p_opposite(self) -> float:
        """One-sided; low if the limit is missed."""
        return self.shifted.p_below(self.limit) if self.plain.items >= MIN_ITEMS else 1.0

    @property
    def p_worse(self) -> float:
        """One-sided; low if the candidate is worse."""
        return self.plain.p_below(0.0) if self.plain.items >= MIN_ITEMS else 1.0

    def needed(self, truth: float, confidence: float, power: float) -> int | None:
        """Units that show the limit exceeded with `power` if the true gain is `truth`; None if no number does."""
        needed = self.shifted.items_to_exceed(self.limit, truth - self.margin + self.limit, confidence, power)
        return None if needed is None else max(needed, MIN_ITEMS)


@dataclass(frozen=True)
class Regression:
    """A `no_regression` target before the correction over all such targets.

    Attributes:
        gain: The candidate's gain, with its limit at minus the margin.
        fields: Fields of the result.
    """

    gain: Gain
    fields: dict[str, Any]

    @property
    def can_fail(self) -> bool:
        """Whether any item differs; otherwise the target leaves the corrected family (Tarone 1990)."""
        return self.gain.plain.differing > 0


def margin_of(target: Target, margin: float, baseline: float) -> float:
    """Convert a margin to the metric's unit.

    Raises:
        CannotJudgeError: It is relative to a value of 0.
    """
    if target.is_relative and baseline <= 0:
        raise CannotJudgeError(
            "the baseline's value is not above 0, so there is no relative margin; set relative: false"
        )
    return margin * baseline if target.is_relative else margin


def gain_of(target: Target, selected: AnySelected, margin: float) -> Gain:
    """The gain with its limit at the rule's margin, negative for a tolerated loss."""
    sign = target.metric.sign
    limit = math.copysign(margin_of(target, abs(margin), selected.baseline_value), margin)
    plain = selected.difference(sign=sign)
    if not target.is_relative or margin == 0:
        return Gain(plain, plain, limit, limit)
    shifted = selected.difference(sign=sign, share=sign * margin)
    return Gain(plain, shifted, 0.0, limit)


def comparison_fields(selected: AnySelected, confidence: float, sign: int, relevant: float) -> dict[str, Any]:
    """Result fields of every comparison: both values, the difference, its one-sided bounds and the outcome.

    Args:
        selected: The items.
        confidence: One-sided, of the bounds.
        sign: 1 if higher is better, -1 if lower is, 0 if neither.
        relevant: The smallest difference that matters, in the metric's unit.
    """
    difference = selected.difference()
    low, high = difference.bounds(confidence) if difference.items >= MIN_ITEMS else (-math.inf, math.inf)
    outcome: Outcome = "inconclusive"
    if difference.differing == 0:
        outcome = "identical"
    elif low > 0 or high < 0:
        outcome = "different" if not sign else "better" if sign * (low + high) > 0 else "worse"
    elif -relevant < low and high < relevant:
        outcome = "equivalent"
    return {
        "value": selected.candidate_value,
        "baseline": selected.baseline_value,
        "difference": difference.value,
        "low": low if math.isfinite(low) else None,
        "high": high if math.isfinite(high) else None,
        "n": selected.items,
        "outcome": outcome,
    }


def change_text(target: Target, selected: AnySelected, fields: dict[str, Any], confidence: float) -> str:
    """The difference and the outcome; if all answers are identical, how large a loss they could still hide."""
    if fields["outcome"] != "identical":
        return f"{signed_text(fields['difference'], target.metric)}, {fields['outcome']}"
    same = f"identical on all {fields['n']} items"
    if selected.are_same_model:
        return f"the same weights and settings as the baseline, {same}"
    low, high, sign = fields["low"], fields["high"], target.metric.sign
    if low is None or high is None:
        return f"{same}, which are too few to limit what they could hide"
    hidden = max(-low if sign >= 0 else 0.0, high if sign <= 0 else 0.0)
    size = f"{'loss' if sign else 'change'} of {amount_text(hidden, target.metric)}"
    return f"{same}, which could still hide a {size} ({100 * confidence:g} % bound)"


def _undecided(
    target: Target, selected: AnySelected, gain: Gain, truth: float, confidence: float, power: float
) -> tuple[str, int | None]:
    """Why a limit is not shown to be exceeded, and how many items would show it if the true gain is `truth`.

    No number is given if there are as many already: then the true gain is near the limit.
    """
    aim = f"an equal model to rule out a loss of {amount_text(gain.margin, target.metric)}"
    if truth:
        aim = f"a model that gains {amount_text(truth, target.metric)} to show it"
    needed = gain.needed(truth, confidence, power)
    if needed is None:
        return f"no number of items is enough for {aim}", None
    if gain.plain.items >= needed:
        return f"{selected.items} items are enough for {aim} with {power:.0%} power", None
    items = selected.as_items(needed)
    if gain.plain.caution:
        return f"{gain.plain.caution}: about {items:,} items", items
    return f"{selected.items} items are too few: it takes about {items:,} for {aim} with {power:.0%} power", items


def regression(rule: NoRegression, target: Target, selected: AnySelected) -> Regression:
    """A `no_regression` target; the verdict waits for the correction."""
    gain = gain_of(target, selected, -(rule.margin or target.metric.relevant))
    size = abs(gain.margin)
    fields = comparison_fields(selected, rule.confidence, target.metric.sign, size)
    limit = f"no loss shown, and one of {amount_text(size, target.metric)} ruled out"
    return Regression(gain, fields | {"limit": limit, "p_value": gain.p_worse})


def regression_result(
    rule: NoRegression, target: Target, selected: AnySelected, tested: Regression, p_adjusted: float, power: float
) -> RuleResult:
    """The verdict of a `no_regression` target after the correction."""
    fields, level = tested.fields | {"p_adjusted": p_adjusted}, 1 - rule.confidence
    change = change_text(target, selected, fields, rule.confidence)
    if p_adjusted < level:
        reason = f"shown to be worse: {change} (corrected p {p_text(p_adjusted)})"
        return target.result("fail", reason, moved=selected.worst(target, target.metric.sign), **fields)
    if selected.are_same_model:
        return target.result("pass", change, **fields)
    if tested.gain.p_value < level:
        return target.result("pass", f"a loss of the margin is ruled out: {change}", **fields)
    if target.row:
        reason = f"no loss is shown (corrected p {p_text(p_adjusted)}): {change}; the mean of {target.row} decides"
        return target.result("pass", f"{reason} whether a loss of the margin is ruled out", **fields)
    reason, needed = _undecided(target, selected, tested.gain, 0.0, rule.confidence, power)
    reason = f"a loss of the margin is not ruled out: {change}; {reason}"
    worst = selected.worst(target, target.metric.sign)
    return target.result("inconclusive", reason, items_needed=needed, moved=worst, **fields)


def non_inferiority(rule: NonInferiority, target: Target, selected: AnySelected, *, power: float) -> RuleResult:
    """Pass if a loss of the margin is ruled out, fail if one is shown, else inconclusive."""
    gain = gain_of(target, selected, -rule.margin)
    size = abs(gain.margin)
    fields = comparison_fields(selected, rule.confidence, target.metric.sign, size)
    fields |= {"p_value": gain.p_value, "limit": f"loses less than {amount_text(size, target.metric)}"}
    change, level = change_text(target, selected, fields, rule.confidence), 1 - rule.confidence
    if selected.are_same_model:
        return target.result("pass", change, **fields)
    if gain.p_value < level:
        return target.result("pass", f"a loss of the margin is ruled out: {change}", **fields)
    worst = selected.worst(target, target.metric.sign)
    if gain.p_opposite < level:
        return target.result("fail", f"shown to lose more than the margin: {change}", moved=worst, **fields)
    reason, needed = _undecided(target, selected, gain, 0.0, rule.confidence, power)
    reason = f"a loss of the margin is not ruled out: {change}; {reason}"
    return target.result("inconclusive", reason, items_needed=needed, moved=worst, **fields)


def superiority(rule: Superiority, target: Target, selected: AnySelected, *, power: float) -> RuleResult:
    """Pass if a gain above the margin is shown, fail if enough items do not show one, else inconclusive."""
    gain = gain_of(target, selected, rule.margin)
    size = abs(gain.margin)
    baseline = selected.baseline_value
    truth = size + margin_of(target, rule.detect or target.metric.relevant, baseline)
    fields = comparison_fields(selected, rule.confidence, target.metric.sign, truth)
    limit = f"gains more than {amount_text(size, target.metric)}" if size else "is better"
    fields |= {"p_value": gain.p_value, "limit": limit}
    change, level = change_text(target, selected, fields, rule.confidence), 1 - rule.confidence
    if selected.are_same_model:
        return target.result("fail", f"no gain: {change}", **fields)
    if gain.p_value < level:
        return target.result("pass", f"shown: {change} (p {p_text(gain.p_value)})", **fields)
    worst = selected.worst(target, target.metric.sign)
    if gain.p_worse < level:
        return target.result("fail", f"shown to be worse: {change}", moved=worst, **fields)
    reason, needed = _undecided(target, selected, gain, truth, rule.confidence, power)
    verdict: Verdict = "inconclusive" if needed is not None or gain.plain.items < MIN_ITEMS else "fail"
    return target.result(verdict, f"not shown: {change}; {reason}", items_needed=needed, moved=worst, **fields)
