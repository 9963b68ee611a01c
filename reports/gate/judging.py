"""Judges a candidate by a policy: applies every rule, corrects the p-values of `no_regression`, and decides."""

from __future__ import annotations

from collections import Counter

from reports.comparison.multiplicity import holm
from reports.files import sha256_value
from reports.gate import bounds, operational, pair_tests
from reports.gate.inputs import GateInput
from reports.gate.outcome import EXIT_CODES, GateInputInfo, GateReport, RuleResult, Verdict
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
from reports.gate.targets import CannotJudgeError, Selected, Target, expand, select
from reports.version import __version__

_VERDICT_TEXT: dict[Verdict, str] = {"fail": "failed", "inconclusive": "could not be decided", "pass": "passed"}
_Pending = tuple[NoRegression, Target, Selected, pair_tests.Regression]


def judge(policy: Policy, candidate: GateInput, baseline: GateInput) -> GateReport:
    """Judge a candidate against a baseline."""
    return _report(policy, _judge_rules(policy, candidate, baseline), input_info(candidate), input_info(baseline))


def refuse(policy: Policy, reason: str, candidate: GateInputInfo, baseline: GateInputInfo) -> GateReport:
    """The report if candidate or baseline cannot be judged: every rule fails for that reason."""
    rules = [RuleResult(name=rule_name(rule), rule=rule.rule, verdict="fail", reason=reason) for rule in policy.rules]
    return _report(policy, rules, candidate, baseline)


def input_info(source: GateInput) -> GateInputInfo:
    """A candidate or baseline as the report names it."""
    return GateInputInfo(run=source.run, model=source.model, sha256=source.info.sha256, created=source.results.created)


def _judge_rules(policy: Policy, candidate: GateInput, baseline: GateInput) -> list[RuleResult]:
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
        position: result[3].fields["p_value"]
        for position, result in enumerate(judged)
        if isinstance(result, tuple) and result[3].can_fail
    }
    corrected = dict(zip(family, holm([*family.values()]), strict=True))
    return [
        pair_tests.regression_result(*result, corrected.get(position, 1.0), policy.power)
        if isinstance(result, tuple)
        else result
        for position, result in enumerate(judged)
    ]


def _judge_target(target: Target, candidate: GateInput, baseline: GateInput, power: float) -> RuleResult | _Pending:
    """The result of a target; one of `no_regression` waits for the correction."""
    rule = target.rule
    try:
        if isinstance(rule, Bound):
            return bounds.bound(rule, target, candidate, baseline, power)
        if isinstance(rule, Change):
            return bounds.change(rule, target, candidate, baseline, power)
        if isinstance(rule, MustPass):
            return bounds.must_pass(rule, target, candidate, baseline)
        return _test(rule, target, select(target, candidate, baseline, compares=True), power)
    except CannotJudgeError as reason:
        return target.result("fail", str(reason))


def _test(
    rule: Superiority | NonInferiority | NoRegression, target: Target, selected: Selected, power: float
) -> RuleResult | _Pending:
    if not target.metric.sign:
        raise CannotJudgeError("neither direction of this metric is better; write a bound or a change for it")
    if isinstance(rule, NoRegression):
        return rule, target, selected, pair_tests.regression(rule, target, selected)
    if isinstance(rule, NonInferiority):
        return pair_tests.non_inferiority(rule, target, selected, power=power)
    return pair_tests.superiority(rule, target, selected, power=power)


def _report(policy: Policy, rules: list[RuleResult], candidate: GateInputInfo, baseline: GateInputInfo) -> GateReport:
    rules = _unique_names(rules)
    counts = Counter(rule.verdict for rule in rules)
    blocking = counts["inconclusive"] if policy.inconclusive == "block" else 0
    verdict: Verdict = "fail" if counts["fail"] else "inconclusive" if blocking else "pass"
    parts = [f"{counts[verdict]} {text}" for verdict, text in _VERDICT_TEXT.items() if counts[verdict]]
    return GateReport(
        medbench_version=__version__,
        policy=policy,
        policy_sha256=sha256_value(policy.model_dump(mode="json")),
        candidate=candidate,
        baseline=baseline,
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        reason=f"Of {len(rules)} rules {', '.join(parts)}.",
        rules=rules,
    )


def _unique_names(rules: list[RuleResult]) -> list[RuleResult]:
    """Number the names that occur more than once, so that each is unique."""
    seen: Counter[str] = Counter()
    renamed = []
    for rule in rules:
        seen[rule.name] += 1
        name = rule.name if seen[rule.name] == 1 else f"{rule.name} ({seen[rule.name]})"
        renamed.append(rule.model_copy(update={"name": name}))
    return renamed
