"""Judges a candidate by a policy: every rule, the correction over those that share one, and the verdict over all."""

from __future__ import annotations

from collections import Counter

from reports.comparison.multiplicity import holm
from reports.files import sha256_value
from reports.gate import bounds, operational, pair_tests
from reports.gate.outcome import EXIT_CODES, GateReport, Party, RuleResult, Verdict
from reports.gate.policy import (
    Bound,
    Change,
    MustPass,
    NonInferiority,
    NoRegression,
    OnMetric,
    Policy,
    Superiority,
    rule_name,
)
from reports.gate.sides import Side
from reports.gate.targets import RefusalError, Selected, Target, expand, select
from reports.version import __version__

_TOLD: dict[Verdict, str] = {"fail": "failed", "inconclusive": "could not be decided", "pass": "passed"}
_Pending = tuple[NoRegression, Target, Selected, pair_tests.Regression]


def judge(policy: Policy, candidate: Side, baseline: Side) -> GateReport:
    """The finding of a gate on two sides that could be read."""
    return _report(policy, _judge_rules(policy, candidate, baseline), party(candidate), party(baseline))


def refuse(policy: Policy, reason: str, candidate: Party, baseline: Party) -> GateReport:
    """The finding where a side has nothing to judge: every rule fails for that reason."""
    rules = [RuleResult(name=rule_name(rule), rule=rule.rule, verdict="fail", reason=reason) for rule in policy.rules]
    return _report(policy, rules, candidate, baseline)


def party(side: Side) -> Party:
    """A side as the finding names it."""
    return Party(run=side.run, model=side.model, sha256=side.info.sha256, created=side.results.created)


def _judge_rules(policy: Policy, candidate: Side, baseline: Side) -> list[RuleResult]:
    results: list[RuleResult | Target] = []
    for rule in policy.rules:
        if not isinstance(rule, OnMetric | MustPass):
            results.append(operational.judge(rule, candidate))
            continue
        targets = expand(rule, candidate)
        if isinstance(targets, RuleResult):
            results.append(targets)
            continue
        results += targets
    judged = [
        _judge_target(result, candidate, baseline, policy.power) if isinstance(result, Target) else result
        for result in results
    ]
    family = {
        place: result[3].facts["p_value"]
        for place, result in enumerate(judged)
        if isinstance(result, tuple) and result[3].can_fail
    }
    corrected = dict(zip(family, holm([*family.values()]), strict=True))
    return [
        pair_tests.regression_result(*result, corrected.get(place, 1.0), policy.power)
        if isinstance(result, tuple)
        else result
        for place, result in enumerate(judged)
    ]


def _judge_target(target: Target, candidate: Side, baseline: Side, power: float) -> RuleResult | _Pending:
    """The result of a target; a `no_regression` one waits for the correction."""
    rule = target.rule
    try:
        if isinstance(rule, Bound):
            return bounds.bound(rule, target, candidate, baseline, power)
        if isinstance(rule, Change):
            return bounds.change(rule, target, candidate, baseline, power)
        if isinstance(rule, MustPass):
            return bounds.must_pass(rule, target, candidate, baseline)
        return _test(rule, target, select(target, candidate, baseline, compares=True), power)
    except RefusalError as refusal:
        return target.result("fail", str(refusal))


def _test(
    rule: Superiority | NonInferiority | NoRegression, target: Target, chosen: Selected, power: float
) -> RuleResult | _Pending:
    if not target.metric.sign:
        raise RefusalError("neither direction of this metric is better; write a bound or a change for it")
    if isinstance(rule, NoRegression):
        return rule, target, chosen, pair_tests.regression(rule, target, chosen)
    if isinstance(rule, NonInferiority):
        return pair_tests.non_inferiority(rule, target, chosen, power=power)
    return pair_tests.superiority(rule, target, chosen, power=power)


def _report(policy: Policy, rules: list[RuleResult], candidate: Party, baseline: Party) -> GateReport:
    rules = _told_apart(rules)
    counts = Counter(rule.verdict for rule in rules)
    blocking = counts["inconclusive"] if policy.inconclusive == "block" else 0
    verdict: Verdict = "fail" if counts["fail"] else "inconclusive" if blocking else "pass"
    words = [f"{counts[each]} {told}" for each, told in _TOLD.items() if counts[each]]
    return GateReport(
        medbench_version=__version__,
        policy=policy,
        policy_sha256=sha256_value(policy.model_dump(mode="json")),
        candidate=candidate,
        baseline=baseline,
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        reason=f"Of {len(rules)} rules {', '.join(words)}.",
        rules=rules,
    )


def _told_apart(rules: list[RuleResult]) -> list[RuleResult]:
    """Number the names that occur again, so that each is unique."""
    seen: Counter[str] = Counter()
    told = []
    for rule in rules:
        seen[rule.name] += 1
        name = rule.name if seen[rule.name] == 1 else f"{rule.name} ({seen[rule.name]})"
        told.append(rule.model_copy(update={"name": name}))
    return told
