"""The rule `no_bad_slice`: blocks if a slice of the items is shown to be worse by more than a margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reports.comparison.multiplicity import false_discovery
from reports.comparison.slice_sentences import slice_name
from reports.comparison.slices import lacking_labels
from reports.comparison.slicing import CLASS, LENGTH, Grouping, group_items, question_length
from reports.document.schema import Sample
from reports.gate.inputs import GateInput, ItemScore, slice_hash, slice_value
from reports.gate.mean_difference import MIN_ITEMS
from reports.gate.outcome import RuleResult, Verdict
from reports.gate.pair_tests import Gain, change_text, comparison_fields, gain_of
from reports.gate.policy import NoBadSlice, is_pattern, rule_name, slice_text
from reports.gate.selecting import check_same, select_items, select_values
from reports.gate.targets import CannotJudgeError, Selected, Target
from reports.numbers import amount_text, join_words, p_text

_SHOWN = 5  # further slices and columns in a reason
Items = Mapping[str, ItemScore | Sample]


@dataclass(frozen=True)
class SliceTest:
    """The items of one slice with the candidate's gain, whose limit is at the rule's margin."""

    name: str
    selected: Selected
    gain: Gain

    @property
    def p_value(self) -> float:
        """One-sided; low if the slice is shown to lose more than the margin."""
        return self.gain.p_opposite


@dataclass(frozen=True)
class SliceTests:
    """The slices of one target before the correction over all slices of a policy.

    Attributes:
        tests: The slices with enough items.
        untested: Number of slices without a test.
        lacking: Columns that the items do not have.
        items: Number of items.
    """

    rule: NoBadSlice
    target: Target
    tests: Sequence[SliceTest]
    untested: int
    lacking: Sequence[str]
    items: int

    @property
    def limit(self) -> str:
        """What is tested, in words."""
        if not self.rule.margin:
            return "no slice is shown to be worse"
        unit = "of the baseline's value" if self.target.is_relative else ""
        amount = f"{self.rule.margin:.1%}" if unit else amount_text(self.rule.margin, self.target.metric)
        return f"no slice is shown to lose more than {amount} {unit}".strip()


def without_columns(rule: NoBadSlice, targets: Sequence[Target], candidate: GateInput) -> RuleResult | None:
    """The failure of a rule that names a column of which no matched task has a value; None if there is none."""
    items = [item for target in targets for item in candidate.items.get(target.task, {}).values()]
    columns = {name for item in items if isinstance(item, Sample) for name in item.fields} | {CLASS, LENGTH}
    missing = [name for name in rule.by if name not in columns]
    if not missing or not items:
        return None
    reason = f"no item has a {join_words(missing)}; the columns are {', '.join(sorted(columns))[:600]}"
    return RuleResult(
        name=rule_name(rule),
        label=rule.name or "",
        rule=rule.rule,
        verdict="fail",
        advisory=rule.advisory,
        reason=reason,
    )


def slice_tests(rule: NoBadSlice, target: Target, candidate: GateInput, baseline: GateInput) -> SliceTests:
    """The tests of one target.

    Raises:
        CannotJudgeError: The values cannot be compared, or items lie in another slice than in the baseline.
    """
    if target.parts:
        raise CannotJudgeError(f"the row of {target.task} is over all its items; name its tasks to judge slices")
    items = select_items(target, candidate, baseline, compares=True)
    tests, untested, lacking = [], 0, []
    for column in rule.by:
        grouping = _grouping(column, items, baseline.items[target.task])
        if grouping is None:
            lacking.append(column)
            continue
        for value, keys in grouping.items.items():
            chosen = {key: items[key] for key in keys}
            selected = select_values(target, chosen, candidate, baseline, compares=True)
            lacks = lacking_labels(target.metric, list(items.values()), list(chosen.values()))
            has_margin = not (rule.margin and target.is_relative and selected.baseline_value <= 0)
            if len(selected.after) < MIN_ITEMS or lacks or not has_margin:
                untested += 1
                continue
            relative = target if rule.margin else replace(target, rule=rule.model_copy(update={"relative": False}))
            gain = gain_of(relative, selected, -rule.margin)
            tests.append(SliceTest(f"{column} {slice_name(value)}", selected, gain))
    count = len({item.id for item in items.values()})
    return SliceTests(rule, target, tests, untested, lacking, count)


def _grouping(column: str, items: Items, trusted: Items) -> Grouping | None:
    """The slices of a column, whose values have to be those of the baseline; None if no item has one."""
    check_same(column, *({key: slice_hash(item, column) for key, item in side.items()} for side in (items, trusted)))
    values = {key: slice_value(item, column) for key, item in items.items()}
    lengths = {key: question_length(item) for key, item in items.items() if isinstance(item, Sample)}
    return group_items(column, values, lengths)


def results(pending: Sequence[SliceTests]) -> list[RuleResult]:
    """The result of every target, corrected over all slices of all targets; advisory rules on their own."""
    judged = []
    for one in pending:
        family = [test.p_value for other in pending if other.rule.advisory == one.rule.advisory for test in other.tests]
        adjusted, level = false_discovery(family, 1 - one.rule.confidence)
        by_p = dict(zip(family, adjusted, strict=True))  # equal p-values are corrected equally
        judged.append(_result(one, [by_p[test.p_value] for test in one.tests], level))
    return judged


def _result(one: SliceTests, p_adjusted: Sequence[float], level: float) -> RuleResult:
    rule, target = one.rule, one.target
    common = {"limit": one.limit, "n": one.items}
    count = f"{one.untested} slice{'s' if one.untested > 1 else ''}"
    notes = [f"no test of {count} with too few items or labels"] if one.untested else []
    notes += [f"the items have no {join_words(one.lacking)}"] if one.lacking else []
    note = f" ({'; '.join(notes)})" if notes else ""
    if not one.tests:
        if one.untested:
            return target.result("inconclusive", f"no slice is large enough for a test{note}", **common)
        verdict: Verdict = "pass" if is_pattern(rule.metric) else "fail"
        return target.result(verdict, f"there are no slices{note}", **common)
    ordered = sorted(zip(p_adjusted, one.tests, strict=True), key=lambda pair: (pair[0], pair[1].p_value))
    bad = [test for value, test in ordered if value <= 1 - rule.confidence]
    smallest, worst = ordered[0]
    if not bad:
        reason = f"none of {len(ordered)} slices is shown to be worse (smallest corrected p {p_text(smallest)})"
        return target.result("pass", reason + note, **common, p_adjusted=smallest)
    sign = target.metric.sign
    fields = comparison_fields(worst.selected, 1 - level, sign, abs(worst.gain.margin))
    where = ", ".join(filter(None, (slice_text(rule).strip(" []"), worst.name)))
    fields |= {"slice": where, "limit": one.limit, "p_value": worst.p_value, "p_adjusted": smallest}
    change = change_text(target, worst.selected, fields, 1 - level)
    others = f", as are {join_words([test.name for test in bad[1 : _SHOWN + 1]])}" if len(bad) > 1 else ""
    more = f" and {len(bad) - 1 - _SHOWN} more" if len(bad) > _SHOWN + 1 else ""
    reason = (
        f"{worst.name} is shown to be worse{' by more than the margin' if rule.margin else ''}: {change}"
        f" on {worst.selected.items} items (corrected p {p_text(smallest)}){others}{more}"
    )
    return target.result("fail", reason + note, moved=worst.selected.worst(target, sign), **fields)
