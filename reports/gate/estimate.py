"""The estimates that a gate tests: a model's value and paired differences, with tests, bounds and items needed.

Right or wrong answers are tested by Tango's score test on the counts of items that only one model got right. All else
is tested by a t-test on the jackknife's pseudo-values (Tukey 1958), which for a mean are the items' values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from reports.comparison.proportions import (
    items_needed,
    score_interval,
    score_p_value,
    upper_discordance,
    wilson_interval,
)
from reports.comparison.sums import aggregator, value_of_clusters
from reports.document.schema import MetricKind
from reports.gate.mean_difference import SPREAD_CONFIDENCE, MeanDifference, sample_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

# Continuity corrections, in items, that keep one-sided score tests at their level (benchmarks/gate_simulation.py): of
# a limit on the far side of 0, such as a tolerated loss, and of 0 or a limit beyond it, where the statistic is skewed.
TOLERANT, STRICT = 0.25, 0.75


class Difference(Protocol):
    """A paired difference, oriented so that more is better.

    Attributes:
        value: The difference itself.
        items: Number of independent units.
        differing: Number of units on which the two models differ.
        caution: Why a loss cannot be ruled out with any values of these items, in words; else empty.
    """

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def items(self) -> int: ...  # noqa: D102
    @property
    def differing(self) -> int: ...  # noqa: D102
    @property
    def caution(self) -> str: ...  # noqa: D102

    def p_above(self, limit: float) -> float:
        """One-sided p-value of "the difference is at most `limit`"; low if it is above."""

    def p_below(self, limit: float) -> float:
        """One-sided p-value of "the difference is at least `limit`"."""

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bound: the limits that the two tests do not reject."""

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """Items with which `p_above(limit)` is significant with `power` if the difference is `truth`.

        Planned with the upper limit of the observed discordance or spread, never with the observed difference. None
        if no number of items is enough.
        """


@dataclass(frozen=True)
class CountedDifference:
    """A difference of two shares of right answers to the same items (Tango 1998)."""

    gained: int
    lost: int
    items: int
    caution: str = ""

    @property
    def value(self) -> float:
        """Share of items gained minus share of items lost."""
        return (self.gained - self.lost) / self.items

    @property
    def differing(self) -> int:
        """Items that exactly one model got right."""
        return self.gained + self.lost

    def p_above(self, limit: float) -> float:
        """See `Difference`."""
        continuity = TOLERANT if limit < 0 else STRICT
        return score_p_value(self.gained, self.lost, self.items, limit, "greater", continuity=continuity)

    def p_below(self, limit: float) -> float:
        """See `Difference`."""
        return CountedDifference(self.lost, self.gained, self.items).p_above(-limit)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """See `Difference`."""
        (low, high), (strict_low, strict_high) = (
            score_interval(self.gained, self.lost, self.items, 2 * (1 - confidence), continuity=continuity)
            for continuity in (TOLERANT, STRICT)
        )
        return low if low < 0 else max(strict_low, 0.0), high if high > 0 else min(strict_high, 0.0)

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """See `Difference`."""
        return items_needed(
            truth,
            upper_discordance(self.differing, self.items, SPREAD_CONFIDENCE),
            1 - confidence,
            test="non_inferiority" if limit < 0 else "superiority",
            margin=abs(limit),
            target=power,
            continuity=TOLERANT if limit < 0 else STRICT,
        )


def paired(kind: MetricKind, before: Values, after: Values, *, sign: int = 1, share: float = 0.0) -> Difference:
    """The candidate's value minus (1 + `share`) times the baseline's, times `sign`.

    Args:
        kind: Kind of the metric.
        before: What each unit adds to the baseline's value, shape [units, columns].
        after: What each unit adds to the candidate's value, shape [units, columns].
        sign: -1 if lower is better, so that more is always better.
        share: A change relative to the baseline, at which the difference is 0.
    """
    if share == 0 and kind == "proportion":
        change = sign * (after[:, 0] - before[:, 0])
        return CountedDifference(int((change > 0).sum()), int((change < 0).sum()), len(before))
    if share == 0 and kind in ("mean", "proportion") and np.array_equal(before, after) and _are_shares(before):
        return CountedDifference(0, 0, len(before))  # a change that was not seen could be as large as a whole answer
    old, new = (1 + share) * pseudo_values(kind, before), pseudo_values(kind, after)
    value = sign * (value_of_clusters(kind, after) - (1 + share) * value_of_clusters(kind, before))
    differing = int((before != after).any(1).sum())
    alike = 1 - differing / len(before) if sample_variance(new - old) else 1.0
    return MeanDifference(value, sign * (new - old), differing, alike * (sample_variance(old) + sample_variance(new)))


def _are_shares(table: Values) -> bool:
    """Whether the value of each unit is between 0 and 1."""
    return bool(((table[:, 0] >= 0) & (table[:, 0] <= table[:, 1])).all())


@dataclass(frozen=True)
class Single:
    """A model's own value: a share of right answers with Wilson's interval, or the mean of one part for each unit."""

    value: float
    items: int
    right: float | None
    difference: MeanDifference

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bound."""
        if self.right is not None:
            return wilson_interval(self.right, self.items, 2 * (1 - confidence))
        return self.difference.bounds(confidence)

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """See `Difference`."""
        return self.difference.items_to_exceed(limit, truth, confidence, power)


def single(kind: MetricKind, table: Values) -> Single:
    """A model's own value, from what each unit adds to it, shape [units, columns]."""
    parts, value = pseudo_values(kind, table), value_of_clusters(kind, table)
    right = float(table[:, 0].sum()) if kind == "proportion" else None
    if right is not None:  # a share of 0 or 1 shows no spread; two right and two wrong answers are added
        parts = np.concatenate([parts, [0.0, 0.0, 1.0, 1.0]])
    elif kind == "mean" and np.ptp(parts) == 0 and _are_shares(table):
        right = value * len(table)
    return Single(value, len(table), right, MeanDifference(value, parts, len(parts), 0.0))


def pseudo_values(kind: MetricKind, table: Values) -> Values:
    """The jackknife's pseudo-values, shifted so that their mean is the value of the metric; shape [units]."""
    whole, items = value_of_clusters(kind, table), len(table)
    if items == 1:
        return np.array([whole])
    parts = items * whole - (items - 1) * aggregator(kind)(table.sum(0) - table)
    return np.asarray(parts - parts.mean() + whole)
