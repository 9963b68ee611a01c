"""The row of a suite as a gate judges it: the mean of the paired differences of its tasks, tested like one share.

The test is that of `reports.comparison.strata`, one-sided and with the gate's continuity corrections;
`tests/reports/gate/test_suite_target.py` simulates its level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from reports.comparison.counts import normal_level, share_of_clusters
from reports.comparison.metric_inference import SHARES, difference
from reports.comparison.proportions import items_needed, score_interval, score_statistic, upper_discordance
from reports.comparison.strata import Stratum, difference_stratum, effective_counts, mean_of_shares, share_stratum
from reports.gate.estimate import STRICT, TOLERANT
from reports.gate.inputs import GateInput
from reports.gate.mean_difference import SPREAD_CONFIDENCE, t_items_needed
from reports.gate.outcome import MovedSample
from reports.gate.policy import MustPass
from reports.gate.selecting import select
from reports.gate.targets import CannotJudgeError, Selected, Target

_SHOWN = 10
_UNSEEN = 2  # items added as right and as wrong to plan with, since a share of 0 or 1 shows no spread


@dataclass(frozen=True)
class SuiteDifference:
    """The mean of independent paired differences of shares; see `Difference`.

    Attributes:
        strata: The parts.
        differing: Items on which the two models differ, of all parts.
        caution: Empty: the parts' cautions are in their degrees of freedom.
    """

    strata: Sequence[Stratum]
    differing: int
    caution: str = ""

    @cached_property
    def _counts(self) -> tuple[float, float, float, float]:
        return effective_counts(self.strata)

    @property
    def value(self) -> float:
        """The mean of the parts' differences."""
        return math.fsum(part.estimate for part in self.strata) / len(self.strata)

    @property
    def items(self) -> int:
        """Effective number of items, rounded down; see `reports.comparison.strata`."""
        return int(self._counts[2])

    def p_above(self, limit: float) -> float:
        """See `Difference`; not below the probability that a part on which nothing differs hides the distance."""
        gained, lost, items, degrees = self._counts
        return max(_p_above(gained, lost, items, degrees, limit), self._p_unseen(self.value - limit))

    def p_below(self, limit: float) -> float:
        """See `Difference`."""
        gained, lost, items, degrees = self._counts
        return max(_p_above(lost, gained, items, degrees, -limit), self._p_unseen(limit - self.value))

    def bounds(self, confidence: float) -> tuple[float, float]:
        """See `Difference`."""
        gained, lost, items, degrees = self._counts
        level = normal_level(2 * (1 - confidence), degrees)
        (low, high), (strict_low, strict_high) = (
            score_interval(gained, lost, items, level, continuity=continuity) for continuity in (TOLERANT, STRICT)
        )
        low, high = low if low < 0 else max(strict_low, 0.0), high if high > 0 else min(strict_high, 0.0)
        unseen = max((1 - (1 - confidence) ** (1 / part.items) for part in self._untouched), default=0.0)
        unseen /= len(self.strata)
        return min(low, self.value - unseen), max(high, self.value + unseen)

    @property
    def _untouched(self) -> list[Stratum]:
        """The parts on which nothing differs."""
        return [part for part in self.strata if part.estimate == part.variance == 0]

    def _p_unseen(self, distance: float) -> float:
        """The largest probability that no item of an untouched part differs where it alone moves the mean that far.

        The score test overlooks that where the part is small and the others are large.
        """
        alone = min(1.0, max(0.0, len(self.strata) * distance))
        return max(((1 - alone) ** part.items for part in self._untouched), default=0.0)

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """See `Difference`; effective items."""
        gained, lost, items, _ = self._counts
        count = max(1, round(items))
        return items_needed(
            truth,
            upper_discordance(min(count, math.ceil(gained + lost)), count, SPREAD_CONFIDENCE),
            1 - confidence,
            test="non_inferiority" if limit < 0 else "superiority",
            margin=abs(limit),
            target=power,
            continuity=TOLERANT if limit < 0 else STRICT,
        )


def _p_above(gained: float, lost: float, items: float, degrees: float, limit: float) -> float:
    from scipy import stats

    continuity = TOLERANT if limit < 0 else STRICT
    return float(stats.t.sf(float(score_statistic(gained, lost, items, limit, continuity=continuity)), degrees))


@dataclass(frozen=True)
class SuiteMean:
    """A model's mean over the parts, with Wilson's bounds."""

    strata: Sequence[Stratum]

    @property
    def value(self) -> float:
        """The mean."""
        return math.fsum(part.estimate for part in self.strata) / len(self.strata)

    @property
    def items(self) -> int:
        """Effective number of items, rounded down."""
        return int(len(self.strata) ** 2 / math.fsum(1 / part.items for part in self.strata))

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bound."""
        return mean_of_shares(self.strata).ends(2 * (1 - confidence))

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """See `Difference`; effective items."""
        share = (self.value * self.items + _UNSEEN) / (self.items + 2 * _UNSEEN)
        return t_items_needed(truth - limit, share * (1 - share), 0.0, confidence, power) if truth > limit else None


@dataclass(frozen=True)
class SelectedSuite:
    """The items of all parts of a suite's row; has the members of `Selected` that rules use.

    Attributes:
        parts: Each part's target and items.
    """

    parts: Sequence[tuple[Target, Selected]]

    @property
    def items(self) -> int:
        """Number of items of all parts."""
        return sum(part.items for _, part in self.parts)

    @property
    def are_same_model(self) -> bool:
        """Whether the two models have the same weights and every value is the same."""
        return all(part.are_same_model for _, part in self.parts)

    @property
    def baseline_value(self) -> float:
        """The baseline's mean."""
        return math.fsum(part.baseline_value for _, part in self.parts) / len(self.parts)

    @property
    def candidate_value(self) -> float:
        """The candidate's mean."""
        return math.fsum(part.candidate_value for _, part in self.parts) / len(self.parts)

    def single(self) -> SuiteMean:
        """The candidate's mean with its bounds."""
        return SuiteMean([share_stratum(share_of_clusters(part.candidate), len(part.after)) for _, part in self.parts])

    def difference(self, *, sign: int = 1, share: float = 0.0) -> SuiteDifference:
        """The candidate's mean minus the baseline's; `sign` is 1, since more right answers are better.

        Raises:
            CannotJudgeError: It is to be relative to the baseline's.
        """
        if share or sign < 0:
            raise CannotJudgeError("the margin of a suite's row is absolute; set relative: false")
        tested = [difference(target.metric, part.baseline, part.candidate, seed=0) for target, part in self.parts]
        strata = [difference_stratum(inference) for inference in tested if inference is not None]
        differing = sum(int((part.before != part.after).any(1).sum()) for _, part in self.parts)
        return SuiteDifference(strata, differing)

    def as_items(self, units: int) -> int:
        """Convert an effective number of items to items of all parts, in the proportions that they have here."""
        return math.ceil(units * self.items / max(self.difference().items, 1))

    def worst(self, _: Target, sign: int) -> list[MovedSample]:
        """The items of all parts that moved the mean against `sign`, worst first; see `targets.moved`."""
        samples = [
            sample.model_copy(update={"weight": (sample.weight or 0.0) / len(self.parts)})
            for target, part in self.parts
            for sample in part.worst(target, sign)
        ]
        return sorted(samples, key=lambda sample: sample.weight or 0.0)[:_SHOWN]


def select_target(
    target: Target, candidate: GateInput, baseline: GateInput, *, compares: bool
) -> Selected | SelectedSuite:
    """Select the items of a target, of a task or of a suite's row.

    Raises:
        CannotJudgeError: There are none, or the values cannot be judged or compared.
    """
    if not target.parts:
        return select(target, candidate, baseline, compares=compares)
    rule = target.rule
    if rule.ids or (not isinstance(rule, MustPass) and rule.where):
        raise CannotJudgeError(f"the row of {target.task} is over all its items; name its tasks to judge some of them")
    parts = [(part, select(part, candidate, baseline, compares=compares)) for part in target.parts]
    for part, _ in parts:
        if part.metric.kind not in SHARES:
            raise CannotJudgeError(f"{part.task}/{part.metric.key} is no share of right answers, so there is no mean")
    return SelectedSuite(parts)
