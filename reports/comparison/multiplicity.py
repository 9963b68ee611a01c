"""Corrections for many tests: Holm's, without hypotheses that no answers could reject, and false discovery rate."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from reports.comparison.inference import LEVEL


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values after Holm's correction (1979)."""
    return [adjusted for adjusted, _ in corrected(p_values, [0.0] * len(p_values))]


def false_discovery(p_values: Sequence[float], level: float = LEVEL) -> tuple[list[float], float]:
    """P-values after the correction of Benjamini and Hochberg (1995), and the level of intervals that agrees with it.

    If all hypotheses are true, one is rejected with probability `level` at most. An interval at the returned level
    excludes 0 exactly if its hypothesis is rejected; of the intervals of rejected hypotheses, a share of `level` at
    most misses its quantity on average (Benjamini and Yekutieli 2005).

    Args:
        p_values: Two-sided p-values of independent or positively dependent tests.
        level: False discovery rate.
    """
    from scipy import stats

    if not p_values:
        return [], level
    adjusted = [float(value) for value in stats.false_discovery_control(p_values)]
    rejected = sum(value <= level for value in adjusted)
    return adjusted, level * max(rejected, 1) / len(p_values)


def corrected(p_values: Sequence[float], least: Sequence[float], level: float = LEVEL) -> list[tuple[float, float]]:
    """Holm's correction, step by step without the hypotheses that cannot be rejected (Tarone 1990).

    At each step the family is the smallest number K such that at most K of the remaining hypotheses could have a
    p-value up to `level` / K. The hypothesis with the smallest p-value is rejected if that is at most `level` / K.
    Equal p-values are one step, so that the order of the hypotheses changes nothing.

    Args:
        p_values: Two-sided p-values.
        least: The smallest p-value that each test could have given with these items.
        level: Family-wise error rate.

    Returns:
        For each hypothesis its p-value times the size of the family, at most 1 and not below an earlier one; and the
        two-sided level at which it was tested, so that an interval at this level excludes 0 exactly if it is rejected.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    results = [(1.0, level)] * len(p_values)
    adjusted, tested, size, previous = 0.0, level, 1, None
    is_rejected = True  # so far
    for step, place in enumerate(order):
        p_value = p_values[place]
        if p_value != previous:
            size = _family(sorted(least[other] for other in order[step:]), level)
            tested = level / size if is_rejected else tested
        previous, is_rejected = p_value, is_rejected and p_value <= tested
        adjusted = max(adjusted, min(1.0, size * p_value))
        results[place] = (adjusted, tested)
    return results


def _family(least: Sequence[float], level: float) -> int:
    """The smallest K such that at most K of the sorted least p-values are `level` / K or less; at least 1."""
    size = 1
    while bisect_right(least, level / size) > size:
        size += 1
    return size
