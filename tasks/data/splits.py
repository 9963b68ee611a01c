"""Draws and divides rows by seed; nothing here ever takes the head of a list."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

Row = TypeVar("Row")


def sample_indices(total: int, wanted: int | None, seed: int) -> list[int]:
    """Sorted indices of `wanted` of `total` rows drawn without replacement; all of them where `wanted` is None or more.

    A smaller draw with the same seed is a subset of a larger one, so that a `--limit` grows without changing items.
    """
    order = list(range(total))
    random.Random(seed).shuffle(order)  # noqa: S311 - not for secrets
    return sorted(order if wanted is None else order[:wanted])


def split_off(rows: Sequence[Row], wanted: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Divide rows into (the rest, `wanted` rows drawn by seed), both in their first order."""
    drawn = set(sample_indices(len(rows), wanted, seed))
    rest = [row for index, row in enumerate(rows) if index not in drawn]
    return rest, [row for index, row in enumerate(rows) if index in drawn]
