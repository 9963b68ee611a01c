"""Bootstrap resamples of independent units, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 1_000_000  # drawn units that are held at once


def resampled(units: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each resample draws each unit, in blocks whose shapes are [resamples, units] together.

    Args:
        units: Number of units, which every resample draws with replacement.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, size := max(1, _CHUNK // units)):
        rows = min(size, resamples - start)
        places = generator.integers(0, units, (rows, units)) + units * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * units).reshape(rows, units).astype(float)
