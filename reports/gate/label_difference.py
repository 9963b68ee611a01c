"""A difference of two macro-F1: the gate's t-test joined with the interval of reports, with enough items of all labels.

The jackknife overlooks what a few items of a rare label could show: a loss of the whole margin on a label with a share
of 2 to 5 % passed its test in up to three of four samples of 50 items (`benchmarks/gate_simulation.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.comparison.inference import Inference
from reports.comparison.label_f1 import macro_f1_difference
from reports.comparison.proportions import wilson_interval
from reports.comparison.sums import Clusters
from reports.gate.estimate import Difference, paired
from reports.gate.mean_difference import MIN_ITEMS, SPREAD_CONFIDENCE

_RANGE = 1.0  # of a macro-F1


@dataclass(frozen=True)
class LabelDifference:
    """See `reports.gate.estimate.Difference`.

    Attributes:
        jackknife: The difference by pseudo-values, shifted by a share of the baseline for relative limits.
        inference: Its interval and test by labels (`reports.comparison.label_f1`); None for shifted differences.
        rarest: Number of items of the rarest gold label. With fewer than `MIN_ITEMS` no loss is ruled out.
        labelled: Number of items.
    """

    jackknife: Difference
    inference: Inference | None
    rarest: int
    labelled: int

    @property
    def value(self) -> float:
        """The difference itself."""
        return self.jackknife.value

    @property
    def items(self) -> int:
        """Number of units."""
        return self.jackknife.items

    @property
    def differing(self) -> int:
        """Units on which the two models differ."""
        return self.jackknife.differing

    @property
    def caution(self) -> str:
        """Why a loss cannot be ruled out; empty if it can."""
        return f"only {self.rarest} items of the rarest label, it takes {MIN_ITEMS}" if self._is_rare else ""

    @property
    def _is_rare(self) -> bool:
        return self.rarest < MIN_ITEMS

    def p_above(self, limit: float) -> float:
        """See `Difference`; 1 for a limit that tolerates a loss, if a label is too rare to show one."""
        p_value, is_beyond = self.jackknife.p_above(limit), self.value > limit
        return self._joined(p_value, limit, is_beyond=is_beyond, is_tolerant=limit < 0)

    def p_below(self, limit: float) -> float:
        """See `Difference`; likewise for a limit that tolerates a gain."""
        p_value, is_beyond = self.jackknife.p_below(limit), self.value < limit
        return self._joined(p_value, limit, is_beyond=is_beyond, is_tolerant=limit > 0)

    def _joined(self, p_value: float, limit: float, *, is_beyond: bool, is_tolerant: bool) -> float:
        if is_tolerant and self._is_rare:
            return 1.0
        if self.inference is None:
            return p_value
        return max(p_value, self.inference.p_value(limit) / 2 if is_beyond else 1.0)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """See `Difference`."""
        low, high = self.jackknife.bounds(confidence)
        if self.inference is not None:
            ends = self.inference.ends(2 * (1 - confidence))
            low, high = min(low, ends[0]), max(high, ends[1])
        if self._is_rare:
            low, high = low if low >= 0 else -_RANGE, high if high <= 0 else _RANGE
        return low, high

    def items_to_exceed(self, limit: float, truth: float, confidence: float, power: float) -> int | None:
        """See `Difference`; at least as many as have `MIN_ITEMS` of the rarest label, by its share's lower limit."""
        needed = self.jackknife.items_to_exceed(limit, truth, confidence, power)
        if needed is None or limit >= 0:
            return needed
        share, _ = wilson_interval(self.rarest, self.labelled, 2 * (1 - SPREAD_CONFIDENCE))
        return max(needed, math.ceil(MIN_ITEMS / share * self.items / self.labelled))


def label_difference(before: Clusters, after: Clusters, *, sign: int = 1, share: float = 0.0) -> LabelDifference:
    """The candidate's macro-F1 minus (1 + `share`) times the baseline's, times `sign`; see `paired`.

    Args:
        before: The baseline's contributions.
        after: The candidate's, for the same items.
        sign: -1 if lower is better.
        share: A change relative to the baseline, at which the difference is 0.
    """
    golds = before.by_item[:, : before.by_item.shape[1] // 3].sum(0)
    inference = None
    if share == 0:
        inference = macro_f1_difference(before, after)
        inference = inference if sign > 0 else inference.mirrored()
    jackknife = paired("macro_f1", before.table, after.table, sign=sign, share=share)
    return LabelDifference(jackknife, inference, int(golds[golds > 0].min()), before.items)
