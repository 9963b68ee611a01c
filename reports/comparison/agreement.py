"""Agreement of raters who rated the same answers: Krippendorff's alpha and weighted kappa, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from reports.comparison.inference import LEVEL
from reports.comparison.proportions import wilson_interval
from reports.rating_sheet import Rating

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

Scale = Literal["ordinal", "interval", "nominal"]
_RESAMPLES = 2_000
_MOST_VALUES = 101  # distinct ones, whose table is held for every item


@dataclass(frozen=True)
class Agreement:
    """How far raters agree: 1 fully, 0 as by chance, below 0 less than by chance.

    Attributes:
        value: The coefficient.
        low: Lower end of its interval from resampled items.
        high: Upper end.
        items: Number of items with two ratings or more.
    """

    value: float
    low: float
    high: float
    items: int


def agreement(ratings: Sequence[Rating], aspect: str) -> float | None:
    """Krippendorff's alpha of one aspect of a sheet for ordinal marks; None with fewer than two raters."""
    alpha = krippendorff_alpha(rating_table(ratings, aspect))
    return None if alpha is None else alpha.value


def rating_table(ratings: Sequence[Rating], aspect: str) -> Values:
    """Marks of one aspect as an array [answers, raters] with nan where a rater gave none."""
    raters = {name: place for place, name in enumerate(dict.fromkeys(rating.rater for rating in ratings))}
    codes = {code: place for place, code in enumerate(dict.fromkeys(rating.code for rating in ratings))}
    table = np.full((len(codes), len(raters)), np.nan)
    for rating in ratings:
        if aspect in rating.marks:
            table[codes[rating.code], raters[rating.rater]] = rating.marks[aspect]
    return table


def krippendorff_alpha(
    table: ArrayLike, scale: Scale = "ordinal", *, level: float = LEVEL, seed: int = 0
) -> Agreement | None:
    """Krippendorff's alpha (2011) of any number of raters, with missing ratings.

    Args:
        table: Ratings, shape [items, raters]; nan where a rater did not rate an item.
        scale: Distance of two ratings: of their ranks, of their values, or whether they differ.
        level: 0.05 for a 95 % interval.
        seed: Seed of the bootstrap over items.

    Returns:
        None if no item has two ratings. 1 if all ratings are equal, where the coefficient is not defined.

    Raises:
        ValueError: There are more than 101 distinct values.
    """
    marks = np.asarray(table, dtype=float)
    marks = marks[(~np.isnan(marks)).sum(1) > 1] if marks.size else marks
    if not len(marks):
        return None
    values = np.unique(marks[~np.isnan(marks)])
    if len(values) > _MOST_VALUES:
        raise ValueError(f"{len(values)} distinct values; round them, or use a correlation")
    counts = (marks[:, :, None] == values).sum(1).astype(float)  # [items, values]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(values))
    pairs /= (counts.sum(1) - 1)[:, None, None]

    def alphas(times: Values) -> Values:
        """Alpha of resamples that hold each item so many times, shape [resamples, items]."""
        table = np.tensordot(times, pairs, 1)  # coincidences, [resamples, values, values]
        totals = table.sum(2)
        distance = _distances(values, totals, scale)
        rated = totals.sum(1)
        chance = (totals[:, :, None] * totals[:, None, :] * distance).sum((1, 2)) / (rated - 1)
        observed = (table * distance).sum((1, 2))
        return np.where(chance > 0, 1 - observed / np.where(chance > 0, chance, 1), 1.0)

    return _bootstrapped(alphas, len(marks), level, seed)


def _distances(values: Values, totals: Values, scale: Scale) -> Values:
    """Squared distance of every two values, given how often each occurs in a resample; [resamples, values, values]."""
    if scale == "ordinal":
        ranks = np.cumsum(totals, 1) - totals / 2
        return np.asarray((ranks[:, :, None] - ranks[:, None, :]) ** 2)
    if scale == "interval":
        return np.asarray((values[:, None] - values) ** 2)[None]
    return np.asarray(values[:, None] != values, dtype=float)[None]


def weighted_kappa(one: ArrayLike, other: ArrayLike, *, level: float = LEVEL, seed: int = 0) -> Agreement | None:
    """Cohen's kappa of two raters with quadratic weights (Cohen 1968), such as of people and a judge.

    Args:
        one: Ratings of the first rater, shape [items]; items with nan are left out.
        other: Ratings of the second.
        level: 0.05 for a 95 % interval.
        seed: Seed of the bootstrap over items.

    Returns:
        None without items. 1 if all ratings are equal, where the coefficient is not defined.

    Raises:
        ValueError: The lengths differ.
    """
    first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"the raters have {len(first)} and {len(second)} ratings")
    both = ~(np.isnan(first) | np.isnan(second))
    first, second = first[both], second[both]
    if not len(first):
        return None
    columns = np.stack([first, second, first**2, second**2, (first - second) ** 2], axis=1)

    def kappas(times: Values) -> Values:
        """Kappa of resamples that hold each item so many times, shape [resamples, items]."""
        left, right, left_square, right_square, squared = (times @ columns / times.sum(1)[:, None]).T
        chance = left_square + right_square - 2 * left * right
        return np.where(chance > 0, 1 - squared / np.where(chance > 0, chance, 1), 1.0)

    return _bootstrapped(kappas, len(first), level, seed)


def _bootstrapped(coefficient: Callable[[Values], Values], items: int, level: float, seed: int) -> Agreement:
    """A coefficient with its percentile interval.

    If no item shows any disagreement, no resample does. Then the lower end is 1 minus Wilson's upper limit of a share
    of 0 of these items: so many others may be rated as by chance.
    """
    value = float(coefficient(np.ones((1, items)))[0])
    if value == 1.0:
        return Agreement(value, 1 - wilson_interval(0, items, level)[1], value, items)
    times = np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), _RESAMPLES).astype(float)
    low, high = np.quantile(coefficient(times), (level / 2, 1 - level / 2))
    return Agreement(value, min(float(low), value), max(float(high), value), items)
