"""Judges a candidate by a policy: applies every rule, corrects p-values over rules and slices, and decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from types import MappingProxyType

from reports.comparison.multiplicity import holm
from reports.document.suites import MEAN_ACCURACY
from reports.errors import UserError
from reports.files import sha256_value
from reports.gate import bounds, operational, pair_tests, slice_rule
from reports.gate.advice import advice
from reports.gate.changes import task_changes
from reports.gate.comparable import prompt_differences
from reports.gate.inputs import GateInput
from reports.gate.limits import impossible_limits
from reports.gate.outcome import EXIT_CODES, GateInputInfo, GateReport, RuleResult, Verdict
from reports.gate.policy import (
    Bound,
    Change,
    MustPass,
    NoBadSlice,
    NonInferiority,
    NoRegression,
    OnMetric,
    Policy,
    Superiority,
    rule_name,
)
from reports.gate.suite_target import select_target
from reports.gate.targets import CannotJudgeError, Target, expand
from reports.gate.trusted import Suites, with_expected_tasks
from reports.version import __version__

_VERDICT_TEXT: dict[Verdict, str] = {"fail": "failed", "inconclusive": "could not be decided", "pass": "passed"}
_COMPARING = ("change", "superiority", "non_inferiority", "no_regression", "no_bad_slice")
_Pending = tuple[NoRegression, Target, pair_tests.AnySelected, pair_tests.Regression]


def judge(
    policy: Policy,
    candidate: GateInput,
    baselines: Sequence[GateInput],
    *,
    suites: Suites = MappingProxyType({}),
    source: str = "the policy",
) -> GateReport:
    """Judge a candidate against every baseline; rules that compare nothing are judged once.

    Args:
        policy: The rules.
        candidate: The model to judge.
        baselines: At least one.
        suites: The rows of suites: the metric of each task whose mean a row is.
        source: The policy's file, for messages.

    Raises:
        UserError: A limit of the policy is one that no value of its metric can reach.
    """
    candidate = with_expected_tasks(policy, candidate, baselines, suites)
    if faults := impossible_limits(policy, candidate):
        fix = "write shares and relative margins as numbers below 1: 5 % is written 0.05"
        raise UserError("; ".join(faults), where=source, fix=fix)
    rules = [operational.required(task, candidate) for task in policy.required]
    for position, baseline in enumerate(baselines):
        results = _judge_rules(policy, candidate, baseline, is_first=position == 0)
        against = input_info(baseline).label if len(baselines) > 1 else ""
        rules += [
            result.model_copy(update={"name": f"{result.name} against {against}", "against": against})
            if against and result.rule in _COMPARING
            else result
            for result in results
        ]
    rules = [_described(rule, candidate) for rule in rules]
    report = _report(policy, rules, input_info(candidate), [input_info(baseline) for baseline in baselines])
    prompts = prompt_differences(candidate, baselines)
    return report.model_copy(
        update={
            "reason": f"{report.reason} {prompts}".strip(),
            "prompts": prompts,
            "data": [f"{task.short_title}: {task.setting}" for task in candidate.results.tasks if task.setting],
            "advice": advice(report.rules, policy, candidate),
            "changes": task_changes(candidate, baselines[0]),
        }
    )


def refuse(policy: Policy, reason: str, candidate: GateInputInfo, baselines: list[GateInputInfo]) -> GateReport:
    """The report if candidate or baseline cannot be judged: every rule fails for that reason, and blocks."""
    rules = [
        RuleResult(name=rule_name(rule), label=rule.name or "", rule=rule.rule, verdict="fail", reason=reason)
        for rule in policy.rules
    ]
    return _report(policy, rules, candidate, baselines)


def input_info(source: GateInput) -> GateInputInfo:
    """A candidate or baseline as the report names it."""
    return GateInputInfo(
        run=source.run,
        model=source.model,
        source=source.info.source,
        base=source.base.source if source.base and not source.info.is_whole else "",
        trained_on=", ".join(
            f"{data.rows:,} rows of {data.source}"
            for data in source.results.data
            if data.role == "train" and source.trained_here
        ),
        sha256=source.info.sha256,
        created=source.results.created,
        has_weights=source.has_weights,
    )


def _described(rule: RuleResult, candidate: GateInput) -> RuleResult:
    """A result with its metric and the name of what is judged, for people who know neither task nor metric."""
    task = next((task for task in candidate.tasks if task.name == rule.task), None)
    own = candidate.task(rule.task or "") or task
    if task is None or own is None:
        suite = next((suite for suite in candidate.results.suites if suite.name == rule.task), None)
        info = MEAN_ACCURACY if rule.task and rule.metric == MEAN_ACCURACY.key else None
        subject = (suite.title if suite else "") or f"{MEAN_ACCURACY.title} ({rule.task})" if info else ""
        return rule.model_copy(update={"info": info, "subject": subject})
    info = next((metric for metric in task.metrics if metric.key == rule.metric), None)
    if info is None:
        return rule
    same_title = sum(metric.title == info.title for other in candidate.tasks for metric in other.metrics)
    label = own.label or (task.name if same_title > 1 else "")
    return rule.model_copy(update={"info": info, "subject": f"{info.title} ({label})" if label else info.title})


def _judge_rules(policy: Policy, candidate: GateInput, baseline: GateInput, *, is_first: bool) -> list[RuleResult]:
    """The results of one baseline; of the rules that compare nothing only with the first."""
    results: list[RuleResult | Target] = []
    for rule in policy.rules:
        if not is_first and rule.rule not in _COMPARING:
            continue
        if not isinstance(rule, OnMetric | MustPass):
            results.append(operational.judge(rule, candidate))
            continue
        targets = expand(rule, candidate)
        if isinstance(rule, NoBadSlice) and not isinstance(targets, RuleResult):
            targets = slice_rule.without_columns(rule, targets, candidate) or targets
        results += [targets] if isinstance(targets, RuleResult) else targets
    judged = [
        _judge_target(result, candidate, baseline, policy.power) if isinstance(result, Target) else result
        for result in results
    ]
    corrected = _corrected([result for result in judged if isinstance(result, tuple)])
    sliced = iter(slice_rule.results([result for result in judged if isinstance(result, slice_rule.SliceTests)]))
    return [
        pair_tests.regression_result(*result, next(corrected), policy.power)
        if isinstance(result, tuple)
        else next(sliced)
        if isinstance(result, slice_rule.SliceTests)
        else result
        for result in judged
    ]


def _corrected(pending: list[_Pending]) -> Iterator[float]:
    """The corrected p-value of every target of `no_regression`; advisory rules are corrected on their own."""
    families = [
        [n for n, (rule, *_, tested) in enumerate(pending) if tested.can_fail and rule.advisory == advisory]
        for advisory in (False, True)
    ]
    values = [1.0] * len(pending)
    for family in families:
        for position, value in zip(family, holm([pending[n][3].fields["p_value"] for n in family]), strict=True):
            values[position] = value
    return iter(values)


def _judge_target(
    target: Target, candidate: GateInput, baseline: GateInput, power: float
) -> RuleResult | _Pending | slice_rule.SliceTests:
    """The result of a target; those of `no_regression` and `no_bad_slice` wait for the correction."""
    rule = target.rule
    try:
        if isinstance(rule, Bound):
            return bounds.bound(rule, target, candidate, baseline, power)
        if isinstance(rule, Change):
            return bounds.change(rule, target, candidate, baseline, power)
        if isinstance(rule, MustPass):
            return bounds.must_pass(rule, target, candidate, baseline)
        if isinstance(rule, NoBadSlice):
            return slice_rule.slice_tests(rule, target, candidate, baseline)
        return _test(rule, target, select_target(target, candidate, baseline, compares=True), power)
    except CannotJudgeError as reason:
        return target.result("fail", str(reason))


def _test(
    rule: Superiority | NonInferiority | NoRegression, target: Target, selected: pair_tests.AnySelected, power: float
) -> RuleResult | _Pending:
    if not target.metric.sign:
        raise CannotJudgeError("neither direction of this metric is better; write a bound or a change for it")
    if isinstance(rule, NoRegression):
        return rule, target, selected, pair_tests.regression(rule, target, selected)
    if isinstance(rule, NonInferiority):
        return pair_tests.non_inferiority(rule, target, selected, power=power)
    return pair_tests.superiority(rule, target, selected, power=power)


def _report(
    policy: Policy, rules: list[RuleResult], candidate: GateInputInfo, baselines: list[GateInputInfo]
) -> GateReport:
    rules = _unique_names(rules)
    counts = Counter(rule.verdict for rule in rules if not rule.advisory)
    blocking = counts["inconclusive"] if policy.inconclusive == "block" else 0
    verdict: Verdict = "fail" if counts["fail"] else "inconclusive" if blocking else "pass"
    reason = _counted("rules", counts) if counts else "No rule can block: all are advisory."
    advisory = Counter(rule.verdict for rule in rules if rule.advisory)
    return GateReport(
        medbench_version=__version__,
        policy=policy,
        policy_sha256=sha256_value(policy.model_dump(mode="json")),
        candidate=candidate,
        baseline=baselines[0],
        baselines=baselines,
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        reason=f"{reason} {_counted('advisory rules', advisory)}" if advisory else reason,
        rules=rules,
    )


def _counted(what: str, counts: Counter[Verdict]) -> str:
    """How many rules failed, could not be decided, and passed, as a sentence."""
    parts = [f"{counts[verdict]} {text}" for verdict, text in _VERDICT_TEXT.items() if counts[verdict]]
    return f"Of {counts.total()} {what} {', '.join(parts)}."


def _unique_names(rules: list[RuleResult]) -> list[RuleResult]:
    """Number the names that occur more than once, so that each is unique."""
    seen: Counter[str] = Counter()
    renamed = []
    for rule in rules:
        seen[rule.name] += 1
        name = rule.name if seen[rule.name] == 1 else f"{rule.name} ({seen[rule.name]})"
        renamed.append(rule.model_copy(update={"name": name}))
    return renamed
