"""What changed a weight that neither base, adapter nor rounding explains: a low-rank product, a swap, a factor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.exporting.value_types import can_round, round_to
from training.exporting.weight_fits import FACTOR_ERROR, WeightFit

if TYPE_CHECKING:
    import torch

    from training.exporting.weight_sources import Comparison

_MOST_RANK = 128
_ABOVE_NOISE = 1.1  # times the largest singular value of rounding alone
_ABOVE_ASSUMED = 1.5  # the same where the rounding cannot be repeated here, and even noise stands for it
_FEW_ROWS = 0.1  # share of rows that may hold nearly all of a difference by themselves
_MOSTLY = 0.5  # of the reference's change, which is then taken to be there
_ALIKE = 0.25  # share of the energy that another explanation may leave


@dataclass(frozen=True)
class LowRank:
    """A change of low rank beside what is expected of a weight.

    Attributes:
        rank: Singular values above those of rounding.
        energy: Sum of their squares.
    """

    rank: int
    energy: float


def low_rank_change(fit: WeightFit, comparison: Comparison, form: str, factor: float) -> LowRank | None:
    """The change of low rank that explains a weight; None if there is none.

    Rounding gives a spectrum without large values (Marchenko and Pastur 1967); an adapter stands out from it even where
    its norm is smaller. What it leaves has to be rounding.

    Args:
        fit: The weight.
        comparison: Where to read it.
        form: Of the base.
        factor: Multiple of the reference's change that is there too.
    """
    target, bases, changes = comparison.tensors(fit.name)
    expected = bases[form] + (factor * changes[0] if changes and changes[0] is not None else 0.0)
    off = target - expected
    most = min(_MOST_RANK, min(off.shape) // 4)
    values = _singular_values(off)
    largest, explained = _rounding(expected, off, fit, form)
    rank = int((values[: most + 1] > max(largest, FACTOR_ERROR * float(values[0]))).sum())
    energy = float(values[:rank].square().sum())
    rest = float(off.norm()) ** 2 - energy
    return LowRank(rank, energy) if 0 < rank <= most and rest <= explained + FACTOR_ERROR**2 * energy else None


def _rounding(expected: torch.Tensor, off: torch.Tensor, fit: WeightFit, form: str) -> tuple[float, float]:
    """(largest singular value, sum of squares) that rounding to the target's type explains.

    Of the expected values, and of values as far off in any way: rounding leaves values alone that are on the grid.
    """
    import torch

    if can_round(fit.values):
        noise = torch.randn(off.shape, generator=torch.Generator().manual_seed(0))
        both = (expected, expected + off.square().mean().sqrt() * noise)
        errors = [round_to(some, fit.values) - some for some in both]
        largest = max(float(_singular_values(error)[0]) for error in errors)
        energy = max(float(error.norm()) ** 2 for error in errors)
        return _ABOVE_NOISE * largest, fit.by_grid(form) + 2 * energy
    if fit.left(form) <= fit.by_grid(form):
        return math.inf, 0.0  # the rounding may have an order of its own, as that of q4_0, whose mean is not zero
    even = math.sqrt(fit.values.step_energy) * (math.sqrt(expected.shape[0]) + math.sqrt(expected.shape[1]))
    return _ABOVE_ASSUMED * even, fit.by_grid(form)


def _singular_values(matrix: torch.Tensor) -> torch.Tensor:
    """The largest singular values, descending, by a random projection (Halko et al. 2011) with a fixed seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values: torch.Tensor = torch.svd_lowrank(matrix, q=min(2 * _MOST_RANK, *matrix.shape), niter=2)[1]
    return values


def describe(fit: WeightFit, all_fits: Sequence[WeightFit], comparison: Comparison, form: str) -> str:
    """In what way a weight differs, in words that follow its name."""
    if not fit.gram and fit.multiple_energy <= fit.by_grid(form) + FACTOR_ERROR**2 * fit.base_energy:
        return f"{fit.multiple:.3g} times the base's"
    target, own = fit.sketch
    off = float((target - own).square().sum())
    for other in all_fits:
        is_same_shape = other is not fit and other.shape == fit.shape
        if is_same_shape and float((target - other.sketch[1]).square().sum()) < _ALIKE * off:
            return f"that of {other.name}"
    weight, bases, changes = comparison.tensors(fit.name)
    if weight.ndim == 2:  # noqa: PLR2004
        base = bases[form]
        if changes and changes[0] is not None and fit.best_factor(form) > _MOSTLY:
            base = base + changes[0]
        norms = [tensor.norm(dim=1).sort().values for tensor in (weight, base)]
        apart = float((weight - base).norm()) ** 2
        if float((norms[0] - norms[1]).norm()) ** 2 < _ALIKE**2 * apart and apart > fit.base_energy * _ALIKE:
            return "its rows in another order"
        largest = (weight - base).square().sum(1).sort(descending=True).values
        few = int((largest.cumsum(0) < (1 - _ALIKE**2) * apart).sum()) + 1
        if few < _FEW_ROWS * len(weight):
            return f"{few} of its {len(weight):,} rows differ"
    share = math.sqrt(fit.left(form) / fit.base_energy) if fit.base_energy else math.inf
    return f"by {share:.1%} of its norm"
