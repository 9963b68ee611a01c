"""Equivalence of one metric, and of how answers stop: two one-sided tests, and a test of a difference.

The one-sided tests at `ALPHA` (Schuirmann 1987) are the gate's tests of non-inferiority, in both directions; both
reject exactly if the interval at 1 - 2 `ALPHA` lies inside the margin.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.comparison.sums import label_count, value_of_clusters, with_value
from reports.document.schema import MetricInfo, Sample, TaskInfo
from reports.document.verification import MetricPart, VerifyOutcome
from reports.gate.estimate import Difference, paired
from reports.gate.label_difference import label_difference
from reports.gate.mean_difference import MIN_ITEMS
from reports.gate.units import units_of
from reports.verification.likelihoods import Answers, Explanation
from reports.verification.margins import STOPPING, Margins

ALPHA = 0.05
POWER = 0.8
_BOTH = 2
_ENDED = MetricInfo(key="ended", title="Ended by itself", kind="proportion", percent=True)


@dataclass(frozen=True)
class PairedTest:
    """A difference of the two models before the correction over all of them.

    Attributes:
        values: The reference's value and the target's; None without items.
        difference: The difference; None if there are too few units for any test.
        margin: Largest difference that counts as equivalent.
        explained: Difference that is explained; None if nothing explains any.
        items: Number of items.
        missing: Number of answers that only the reference has.
    """

    values: tuple[float, float] | None
    difference: Difference | None
    margin: float
    explained: float | None
    items: int
    missing: int

    @functools.cached_property
    def bounds(self) -> tuple[float, float]:
        """The interval at 1 - 2 `ALPHA`, infinite if nothing can be tested."""
        if self.difference is None:
            return -math.inf, math.inf
        return self.difference.bounds(1 - ALPHA)

    @property
    def p_equivalence(self) -> float:
        """The larger p-value of the two one-sided tests."""
        if self.difference is None or not self.margin:
            return 1.0
        return max(self.difference.p_above(-self.margin), self.difference.p_below(self.margin))

    @property
    def p_difference(self) -> float:
        """Two-sided p-value of "there is no difference beyond the explained one"."""
        if self.difference is None:
            return 1.0
        explained = self.explained or 0.0
        above, below = self.difference.p_above(max(0.0, explained)), self.difference.p_below(min(0.0, explained))
        return min(1.0, 2 * above, 2 * below)

    def outcome(self, p_adjusted: float) -> VerifyOutcome:
        """`equivalent` if the interval lies inside the margin, else `different` if a difference is shown."""
        low, high = self.bounds
        if not self.missing and -self.margin < low and high < self.margin:
            return "equivalent"
        return "different" if p_adjusted < ALPHA else "inconclusive"

    def items_needed(self) -> int | None:
        """Items with which an equal target is shown to be equivalent; None if there are as many, or none are enough."""
        if self.difference is None or not self.margin:
            return None
        needed = self.difference.items_to_exceed(-self.margin, 0.0, 1 - ALPHA, (1 + POWER) / 2)
        if needed is None or needed <= self.difference.items:
            return None
        return math.ceil(max(needed, MIN_ITEMS) * self.items / self.difference.items)


def metric_test(
    task: TaskInfo,
    info: MetricInfo,
    reference: Answers,
    target: Answers,
    margins: Margins,
    explained: Sequence[Explanation],
) -> PairedTest:
    """Test the two models' values of a metric on the items that both answered."""
    ours = reference.get(task.name, ())
    pairs = _with_values(info, ours, target.get(task.name, ()))
    by_cause = [
        _change(info, _with_values(info, cause.before.get(task.name, ()), cause.after.get(task.name, ())))
        for cause in explained
    ]
    total = math.fsum(by_cause) if by_cause else None
    missing = len(with_value(info, ours)) - len(pairs)
    if not pairs:
        return PairedTest(None, None, margins.of(task.name, info, 0.0), total, 0, missing)
    before, after = _tables(info, pairs)
    old, new = (value_of_clusters(info.kind, side.table) for side in (before, after))
    kind = "mean" if info.kind == "proportion" and not after.are_right_or_wrong else info.kind
    difference: Difference | None = None
    if len(after.table) >= MIN_ITEMS:
        is_labelled = kind == "macro_f1"
        difference = label_difference(before, after) if is_labelled else paired(kind, before.table, after.table)
    return PairedTest((old, new), difference, margins.of(task.name, info, old), total, after.items, missing)


def stopping_test(reference: Answers, target: Answers, explained: Sequence[Explanation]) -> PairedTest:
    """Test whether the same share of generated answers ended by itself, over all tasks."""
    task, margins = TaskInfo(name="stopping", title="Stopping"), Margins({"*": STOPPING})
    causes = [
        Explanation(cause.kind, cause.description, _endings(cause.before), _endings(cause.after)) for cause in explained
    ]
    return metric_test(task, _ENDED, _endings(reference), _endings(target), margins, causes)


def metric_part(task: TaskInfo, info: MetricInfo, test: PairedTest, p_adjusted: float) -> MetricPart:
    """The outcome of a metric after the correction, for the certificate."""
    low, high = (end if math.isfinite(end) else None for end in test.bounds)
    old, new = test.values or (None, None)
    outcome = test.outcome(p_adjusted)
    caution = f"the target has no value for {test.missing} answers" if test.missing else ""
    if not caution and test.difference is not None:
        caution = test.difference.caution
    if not caution and test.difference is None:
        caution = f"fewer than {MIN_ITEMS} independent items" if test.items else "there are no items to compare"
    return MetricPart(
        task=task.name,
        info=info,
        items=test.items,
        reference=old,
        target=new,
        difference=None if old is None or new is None else new - old,
        low=low,
        high=high,
        margin=test.margin,
        explained=test.explained,
        p_equivalence=test.p_equivalence,
        p_difference=p_adjusted,
        outcome=outcome,
        items_needed=test.items_needed() if outcome == "inconclusive" and not test.missing else None,
        caution=caution,
    )


def shared_items(ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """The samples of the items that both answered and that have the same text."""
    others = {(sample.id, sample.repeat): sample for sample in theirs}
    pairs = [(sample, others.get((sample.id, sample.repeat))) for sample in ours]
    return [(sample, other) for sample, other in pairs if other is not None and other.doc_hash == sample.doc_hash]


def _with_values(info: MetricInfo, ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    return [pair for pair in shared_items(ours, theirs) if len(with_value(info, pair)) == _BOTH]


def _tables(info: MetricInfo, pairs: Sequence[tuple[Sample, Sample]]) -> list[Any]:
    """The units of both models."""
    sides = [[pair[side] for pair in pairs] for side in (0, 1)]
    labels = label_count(info, *sides)
    return [units_of(info, side, sides[0], labels=labels) for side in sides]


def _change(info: MetricInfo, pairs: Sequence[tuple[Sample, Sample]]) -> float:
    """The difference of a metric; 0 without items."""
    if not pairs:
        return 0.0
    old, new = (value_of_clusters(info.kind, side.table) for side in _tables(info, pairs))
    return new - old


def _endings(answers: Answers) -> Answers:
    """The generated answers of all tasks as samples of one, whose only metric is whether they ended by themselves."""
    return {
        "stopping": [
            sample.model_copy(
                update={
                    "id": f"{task} {sample.id}",
                    "cluster": sample.cluster and f"{task} {sample.cluster}",
                    "metrics": {_ENDED.key: float(sample.finish_reason == "stop")},
                }
            )
            for task, samples in answers.items()
            for sample in samples
            if sample.finish_reason is not None
        ]
    }
