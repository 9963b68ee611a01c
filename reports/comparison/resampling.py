"""Tests, intervals and effect sizes of paired values: McNemar's test, and permutation and bootstrap of units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reports.comparison import power

if TYPE_CHECKING:
    from reports.comparison.pools import Pool
    from reports.comparison.sums import Table

LEVEL = 0.05
_RESAMPLES = 1000  # for a standard error, whose own error is then 2 %
_PERMUTATIONS = 10_000
_CELLS = 1_000_000  # resampled values held at once, so that memory stays bounded for any number of samples


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or not a number."""
    return float(value) if math.isfinite(value) else None


class Around(NamedTuple):
    """A standard error with its degrees of freedom, and the ends of the t interval around the figure."""

    error: float
    degrees: float
    low: float
    high: float


def t_interval(of: Callable[[Table], Any], table: Table, seed: int, members: Sequence[float] = ()) -> Around:
    """Bootstrap standard error over units, and Student's t interval (Efron 1979).

    Where the figure is the mean of several `members`' figures, their variance joins in, with the degrees of freedom of
    Welch and Satterthwaite: few seeds give wide intervals.
    """
    from scipy import stats

    count = len(table)
    error = stats.bootstrap(
        (np.arange(count),),
        lambda drawn, axis=-1: of(table[drawn].sum(axis - 1 if axis < 0 else axis)),
        vectorized=True,
        n_resamples=_RESAMPLES,
        method="basic",
        rng=seed,
        batch=max(1, _CELLS // table.size),
    ).standard_error
    variance, degrees = float(error) * float(error) * count / (count - 1), float(count - 1)  # inf, where ** raises
    if len(members) > 1:
        between = float(np.var(members, ddof=1)) / len(members)
        if (both := variance + between) > 0:
            share = variance / both
            degrees = 1 / (share**2 / degrees + (1 - share) ** 2 / (len(members) - 1))
            variance = both
    estimate, error = float(of(table.sum(0))), math.sqrt(variance)
    half = float(stats.t.ppf(1 - LEVEL / 2, degrees)) * error
    return Around(error, degrees, estimate - half, estimate + half)


def right_or_wrong(before: Table, after: Table) -> dict[str, Any]:
    """Test, interval and effect of a right/wrong metric from the items that only one of the two got right."""
    from statsmodels.stats.contingency_tables import mcnemar
    from statsmodels.stats.weightstats import DescrStatsW

    change = after[:, 0] - before[:, 0]
    up, down, items = int((change > 0).sum()), int((change < 0).sum()), len(change)
    exact = up + down < power.EXACT_BELOW
    result = mcnemar([[0, up], [down, 0]], exact=exact, correction=False)
    # Half an item more of each kind keeps the interval honest where few items differ.
    padded = DescrStatsW([1.0, 0.0, -1.0], weights=[up + 0.5, items - up - down + 1.0, down + 0.5])
    low, high = padded.zconfint_mean(LEVEL)
    return {
        "low": max(float(low), -1.0),
        "high": min(float(high), 1.0),
        "standard_error": float(padded.std_mean),
        "p_value": min(1.0, float(result.pvalue)),
        "test": "McNemar, exact" if exact else "McNemar",
        "discordant": (up, down),
        "effect_size": up / (up + down) - 0.5 if up + down else 0.0,
    }


def permuted(before: Table, after: Table, of: Callable[[Table], Any], seed: int) -> dict[str, Any]:
    """Test, interval and effect of any other metric, by permuting and by drawing units."""
    width = before.shape[1]
    table = np.concatenate([before, after], axis=1)
    around = t_interval(lambda sums: of(sums[..., width:]) - of(sums[..., :width]), table, seed)
    difference = float(of(after.sum(0))) - float(of(before.sum(0)))
    told = {"p_value": _swap_test(before, after, of, seed), "test": "paired permutation"}
    return _interval_and_effect(around, difference, len(before)) | told


def averaged(before: Table, after: Pool, of: Callable[[Table], Any], seed: int) -> dict[str, Any]:
    """Test, interval and effect of a pool's figure, which is the mean of several adapters' figures."""
    from scipy import stats

    width = before.shape[1]
    old = float(of(before.sum(0)))
    table = np.concatenate([before, after.table], axis=1)
    around = t_interval(lambda sums: after.of(sums[..., width:]) - of(sums[..., :width]), table, seed, after.figures)
    difference = after.figure - old
    p_value: float | None = 1.0
    if difference:  # the same with all items and seeds where there is no error
        p_value = finite(2 * stats.t.sf(abs(difference) / around.error, around.degrees)) if around.error else 0.0
    told = {"p_value": 1.0 if p_value is None else p_value, "test": "t-test over items and seeds"}
    return _interval_and_effect(around, difference, len(before)) | told


def _interval_and_effect(around: Around, difference: float, units: int) -> dict[str, Any]:
    return {
        "low": finite(around.low),
        "high": finite(around.high),
        "standard_error": finite(around.error),
        "degrees_of_freedom": around.degrees,
        "effect_size": difference / (around.error * math.sqrt(units)) if around.error > 0 else 0.0,
    }


def _swap_test(before: Table, after: Table, of: Callable[[Table], Any], seed: int) -> float:
    """Two-sided p-value for 'the models are exchangeable on every unit': swap their answers unit by unit at random.

    scipy's `permutation_test` gives the same, twenty times slower; tests hold one against the other.
    """
    generator = np.random.default_rng(seed)
    middle, half = (before.sum(0) + after.sum(0)) / 2, (after - before) / 2
    seen = abs(float(of(middle + half.sum(0))) - float(of(middle - half.sum(0)))) * (1 - 1e-9)
    extreme = 0
    for start in range(0, _PERMUTATIONS, draws := max(1, _CELLS // len(half))):
        size = (min(draws, _PERMUTATIONS - start), len(half))
        moved = (2.0 * generator.integers(0, 2, size, dtype=np.int8) - 1.0) @ half
        extreme += int(np.sum(np.abs(of(middle + moved) - of(middle - moved)) >= seen))
    # The observed arrangement counts as one of the draws, which keeps the test honest at any number of draws.
    return (extreme + 1) / (_PERMUTATIONS + 1)
