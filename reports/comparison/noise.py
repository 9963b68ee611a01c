"""Numerical noise: how far figures and differences move when some items are scored again in another arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison.resampling import t_interval
from reports.comparison.sums import Measured, figure, label_count, units, with_value
from reports.document.evidence import Noise
from reports.document.schema import MetricInfo

if TYPE_CHECKING:
    from reports.comparison.sums import Table

_MIN_UNITS = 10  # fewer give a bound so wide that nothing would be told
Pair = tuple[Sequence[Measured], Sequence[Measured]]  # some items as the run scored them, and as they were scored again


def model_noise(metric: MetricInfo, first: Sequence[Measured], again: Sequence[Measured], *, seed: int) -> Noise | None:
    """How far one model's figure moves; None where it cannot be computed from samples.

    Args:
        metric: What moves.
        first: The model's samples of the run; those of items that were not scored again are left out.
        again: The same model's samples in the other arithmetic.
        seed: Of the bootstrap.
    """
    return _noise(metric, [(first, again)], seed)


def difference_noise(metric: MetricInfo, baseline: Pair, candidate: Pair, *, seed: int) -> Noise | None:
    """How far the difference of two models moves; less than their figures where both move alike."""
    return _noise(metric, [candidate, baseline], seed)


def _noise(metric: MetricInfo, pairs: Sequence[Pair], seed: int) -> Noise | None:
    """The noise of the first pair's figure, minus the second's where there is one."""
    if metric.kind == "other":
        return None
    usable = [[with_value(metric, side) for side in pair] for pair in pairs]
    sides = [side for pair in usable for side in pair]
    ids = set.intersection(*({sample.id for sample in side} for side in sides))
    if not ids:
        return None
    sides = [sorted((sample for sample in side if sample.id in ids), key=lambda sample: sample.id) for side in sides]
    labels = label_count(metric, *sides)
    tables = [units(metric, side, labels=labels).table for side in sides]
    of, width = figure(metric.kind), tables[0].shape[1]

    def change(sums: Table) -> Any:
        parts = [of(sums[..., place * width : (place + 1) * width]) for place in range(len(tables))]
        moved = parts[1] - parts[0]
        return moved if len(parts) == 2 else moved - (parts[3] - parts[2])  # noqa: PLR2004

    table = np.concatenate(tables, axis=1)
    moved = float(change(table.sum(0)))
    bound = abs(moved)
    if len(table) >= _MIN_UNITS:
        every = len(with_value(metric, pairs[0][0])) or len(ids)
        around = t_interval(change, table, seed)
        # Of the items that were scored again nothing is left to be unsure of: the finite population's correction.
        bound = abs(moved) + (around.high - moved) * math.sqrt(max(0.0, 1 - len(ids) / every))
    changed = sum(a.metrics[metric.key] != b.metrics[metric.key] for a, b in zip(sides[0], sides[1], strict=True))
    return Noise(change=moved, bound=bound, items=len(ids), changed=changed)
