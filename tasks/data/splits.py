"""Samples and splits rows at random by seed; never the head of a list."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

Row = TypeVar("Row")


def sample_indices(total: int, wanted: int | None, seed: int) -> list[int]:
    """Sorted indices of `wanted` of `total` rows, sampled without replacement; all rows if `wanted` is None or more.

    A smaller sample with the same seed is a subset of a larger one, so a larger `--limit` only adds items.
    """
    order = seeded_order(total, seed)
    return sorted(order if wanted is None else order[:wanted])


def seeded_order(total: int, seed: int) -> list[int]:
    """The indices of `total` rows in random order; samples are its beginning."""
    order = list(range(total))
    random.Random(seed).shuffle(order)  # noqa: S311 - not for secrets
    return order


def split_off(rows: Sequence[Row], wanted: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Split rows into (the rest, `wanted` rows sampled by seed), both in the original order."""
    drawn = set(sample_indices(len(rows), wanted, seed))
    rest = [row for index, row in enumerate(rows) if index not in drawn]
    return rest, [row for index, row in enumerate(rows) if index in drawn]
