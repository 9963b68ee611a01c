"""The rules that test paired items: superiority, non-inferiority, and no significant regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reports.comparison.sums import figure_of_units
from reports.gate.estimate import MIN_ITEMS, Estimate, paired
from reports.gate.outcome import RuleResult
from reports.gate.policy import NonInferiority, NoRegression, Superiority
from reports.gate.targets import RefusalError, Selected, Target, moved
from reports.numbers import amount_text, p_text, signed_text


@dataclass(frozen=True)
class Regression:
    """What the items say of a loss, before the correction over all such rules.

    Attributes:
        p_value: One-sided, against "the candidate is no worse".
        is_safe: Whether a loss of the margin is ruled out, or would have been found.
        needed: How many items would find a loss of the margin.
    """

    p_value: float
    is_safe: bool
    needed: int


def look_for_regression(
    loss: Estimate, kept: Estimate, *, at: float, margin: float, confidence: float, power: float, rules: int
) -> Regression:
    """Whether the items show a loss, and whether they could have.

    Args:
        loss: The baseline's figure minus the candidate's, turned so that more is worse.
        kept: What is above `at` where less than the margin is lost.
        at: The limit of that.
        margin: The loss to be found, in the metric's unit.
        confidence: One-sided, before the correction.
        power: With which a loss of the margin should be found.
        rules: How many such rules are corrected together.
    """
    corrected = 1 - (1 - confidence) / rules
    needed = loss.items_to_ask(margin, corrected, power)
    if loss.items < MIN_ITEMS:
        return Regression(1.0, is_safe=False, needed=needed)
    would_find = loss.items >= loss.items_needed(margin, corrected, power)
    is_safe = would_find or kept.p_above(at) < 1 - confidence
    return Regression(loss.p_above(0.0), is_safe, needed)


def margin_of(target: Target, margin: float, baseline: float) -> float:
    """A margin in the metric's unit.

    Raises:
        RefusalError: It is relative to a figure of zero.
    """
    if not target.is_relative:
        return margin
    if baseline <= 0:
        raise RefusalError("the baseline's figure is not above 0, so no margin is a share of it; set relative: false")
    return margin * baseline


def facts(chosen: Selected, confidence: float) -> dict[str, Any]:
    """What every compared target tells: both figures, the difference and its one-sided bounds."""
    kind = chosen.kind
    estimate = paired(kind, chosen.before, chosen.after)
    low, high = estimate.bounds(confidence) if estimate.items >= MIN_ITEMS else (None, None)
    return {
        "value": figure_of_units(kind, chosen.after),
        "baseline": figure_of_units(kind, chosen.before),
        "difference": estimate.value,
        "low": low,
        "high": high,
        "n": chosen.items,
    }


def regression(
    rule: NoRegression, target: Target, chosen: Selected, *, power: float, rules: int
) -> tuple[Regression, dict[str, Any]]:
    """What a `no_regression` target found, and its facts; the verdict waits for the correction."""
    kind, sign = chosen.kind, target.metric.sign
    known = facts(chosen, rule.confidence)
    wanted = rule.margin or target.metric.relevant
    margin = margin_of(target, wanted, known["baseline"])
    share = -target.metric.sign * wanted if target.is_relative else 0.0
    found = look_for_regression(
        paired(kind, chosen.before, chosen.after, sign=-sign),
        paired(kind, chosen.before, chosen.after, sign=sign, share=share),
        at=0.0 if share else -margin,
        margin=margin,
        confidence=rule.confidence,
        power=power,
        rules=rules,
    )
    return found, known | {"limit": f"no loss; one of {amount_text(margin, target.metric)} would be found"}


def regression_result(
    rule: NoRegression,
    target: Target,
    chosen: Selected,
    found: Regression,
    known: dict[str, Any],
    p_adjusted: float,
) -> RuleResult:
    """The verdict of a `no_regression` target after the correction."""
    known |= {"p_value": found.p_value, "p_adjusted": p_adjusted}
    change = signed_text(known["difference"], target.metric)
    worst = moved(target, chosen, target.metric.sign)
    if p_adjusted < 1 - rule.confidence:
        return target.result(
            "fail", f"significantly worse: {change} (corrected p {p_text(p_adjusted)})", moved=worst, **known
        )
    if found.is_safe:
        return target.result("pass", f"no loss shown ({change}), by items that would have shown one", **known)
    needed = chosen.as_items(found.needed)
    reason = f"{chosen.items} items cannot tell a loss that matters from none ({change}); it takes about {needed:,}"
    return target.result("inconclusive", reason, items_needed=needed, moved=worst, **known)


def non_inferiority(rule: NonInferiority, target: Target, chosen: Selected, *, power: float) -> RuleResult:
    """Pass where a loss of the margin is ruled out, fail where one is shown, else inconclusive."""
    known = facts(chosen, rule.confidence)
    margin = margin_of(target, rule.margin, known["baseline"])
    share = -target.metric.sign * rule.margin if target.is_relative else 0.0
    gain = paired(chosen.kind, chosen.before, chosen.after, sign=target.metric.sign, share=share)
    lost = paired(chosen.kind, chosen.before, chosen.after, sign=-target.metric.sign, share=share)
    at = 0.0 if share else -margin
    known |= {"p_value": gain.p_above(at), "limit": f"loses less than {amount_text(margin, target.metric)}"}
    change, level = signed_text(known["difference"], target.metric), 1 - rule.confidence
    if gain.items >= MIN_ITEMS and known["p_value"] < level:
        return target.result("pass", f"a loss of the margin is ruled out ({change})", **known)
    worst = moved(target, chosen, target.metric.sign)
    if gain.items >= MIN_ITEMS and lost.p_above(-at) < level:
        return target.result("fail", f"shown to lose more than the margin ({change})", moved=worst, **known)
    needed = chosen.as_items(gain.items_to_ask(margin, rule.confidence, power))
    reason = f"{chosen.items} items do not rule out a loss of the margin ({change}); from an equal model it takes about"
    return target.result("inconclusive", f"{reason} {needed:,}", items_needed=needed, moved=worst, **known)


def superiority(rule: Superiority, target: Target, chosen: Selected, *, power: float) -> RuleResult:
    """Pass where a gain above the margin is shown, fail where enough items show none, else inconclusive."""
    known = facts(chosen, rule.confidence)
    wanted = (rule.margin, rule.detect or target.metric.relevant)
    margin, detect = (margin_of(target, each, known["baseline"]) for each in wanted)
    share = target.metric.sign * rule.margin if target.is_relative else 0.0
    gain = paired(chosen.kind, chosen.before, chosen.after, sign=target.metric.sign, share=share)
    loss = paired(chosen.kind, chosen.before, chosen.after, sign=-target.metric.sign)
    limit = f"gains more than {amount_text(margin, target.metric)}" if margin else "is better"
    known |= {"p_value": gain.p_above(0.0 if share else margin), "limit": limit}
    change, level = signed_text(known["difference"], target.metric), 1 - rule.confidence
    if gain.items >= MIN_ITEMS and known["p_value"] < level:
        return target.result("pass", f"shown: {change} (p {p_text(known['p_value'])})", **known)
    worst = moved(target, chosen, target.metric.sign)
    needed = gain.items_needed(detect, rule.confidence, power)
    if gain.items >= MIN_ITEMS and (loss.p_above(0.0) < level or gain.items >= needed):
        return target.result("fail", f"not shown ({change}), by items that would have shown it", moved=worst, **known)
    asked = chosen.as_items(gain.items_to_ask(detect, rule.confidence, power))
    gained = amount_text(detect, target.metric)
    reason = f"{chosen.items} items do not show it ({change}); to show a gain of {gained} beyond takes about"
    return target.result("inconclusive", f"{reason} {asked:,}", items_needed=asked, moved=worst, **known)
