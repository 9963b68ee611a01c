"""The inference about one quantity: its confidence interval at any level, and the test that this inverts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

LEVEL = 0.05
_LEAST_P = 1e-16  # smaller p-values are reported as this one
_STEPS = 40  # bisections of the logarithm of a level
Interval = tuple[float, float]


def critical_value(level: float, degrees: Any = math.inf) -> Any:
    """The two-sided critical value of Student's t at a level, of the normal distribution for infinite degrees.

    Args:
        level: Two-sided level, such as 0.05.
        degrees: Degrees of freedom, one number or an array.
    """
    from scipy import special  # stats.t does the same twenty times slower

    return -special.stdtrit(degrees, level / 2)


@dataclass(frozen=True)
class Inference:
    """An estimate with its confidence intervals.

    The p-value against a limit is the largest level whose interval still holds the limit, so that interval and test
    never disagree.

    Attributes:
        estimate: The quantity itself.
        ends: From a two-sided level (0.05 for a 95 % interval) to the interval; a smaller level never gives a narrower
            one.
        test: Name of the test.
        standard_error: Of the estimate.
        degrees_of_freedom: Of the standard error; infinite for score tests.
        least_p: The smallest p-value that any answers to these items could have given (Tarone 1990).
        caution: Why interval and test are unreliable, in words; empty where they are not.
        effective: How many independent items have the same variance; for shares only.
        direct_p: The p-value against a limit, where there is a formula for it that agrees with the interval.
        size: What one more right item adds to the quantity times the number of items; for shares only.
        is_over_items: Whether only the items are drawn at random; else, as with seeds, no number of items may decide.
    """

    estimate: float
    ends: Callable[[float], Interval] = field(repr=False)
    test: str
    standard_error: float
    degrees_of_freedom: float = math.inf
    least_p: float = 0.0
    caution: str = ""
    effective: float = math.nan
    direct_p: Callable[[float], float] | None = field(default=None, repr=False)
    size: float = 1.0
    is_over_items: bool = True

    def p_value(self, limit: float = 0.0) -> float:
        """Two-sided p-value against "the quantity is `limit`"; never below 1e-16."""
        if self.direct_p is not None:
            return max(self.direct_p(limit), _LEAST_P)
        if self._holds(limit, 1.0):
            return 1.0
        if not self._holds(limit, _LEAST_P):
            return _LEAST_P
        low, high = math.log(_LEAST_P), 0.0
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._holds(limit, math.exp(middle)) else (low, middle)
        return math.exp(low)

    def mirrored(self) -> Inference:
        """The same of the quantity with the opposite sign."""

        def ends(level: float) -> Interval:
            low, high = self.ends(level)
            return -high, -low

        direct = self.direct_p
        direct_p = None if direct is None else lambda limit: direct(-limit)
        return replace(self, estimate=-self.estimate, ends=ends, direct_p=direct_p)

    def with_least_p(self, least_p: float) -> Inference:
        """The same with another smallest possible p-value against 0, which every interval below this level holds."""

        def ends(level: float) -> Interval:
            low, high = self.ends(level)
            return (min(low, 0.0), max(high, 0.0)) if level < least_p else (low, high)

        return replace(self, ends=ends, least_p=least_p)

    def _holds(self, limit: float, level: float) -> bool:
        low, high = self.ends(level)
        return low <= limit <= high
