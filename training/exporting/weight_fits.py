"""Fits one weight of a target as its base's weight plus a multiple of the adapter's change, and what rounding explains.

The factor is a least-squares coefficient. Rounding is no independent noise where the base lies on the grid already: a
change of less than half a step disappears. So the factor compares what the target shows of the change with what the
merged weights would show after the same rounding, and rows give its standard error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.exporting.value_types import ROUNDOFF, ValueType, can_round, round_to, value_type
from training.exporting.weight_sources import AS_EVALUATED, FULL

if TYPE_CHECKING:
    import torch

SIGMAS = 5.0  # by chance 6e-7 of normal values are further away; a model has hundreds of weights and a few factors
FACTOR_ERROR = 2 * ROUNDOFF["bfloat16"]  # relative, of an adapter's factor that is computed in bfloat16
_ROWS = 128  # for the factor, of each weight
_FEWEST_ROWS = 8  # that a spread is estimated from, by their weight (Kish's effective sample size)
_TWICE = 2.0  # energy of two roundings, as of weights that were rounded to 16 bits before
_ARITHMETIC = (8 * ROUNDOFF["float32"]) ** 2  # relative energy of sums in another order
_SKETCH = 1024  # values of each weight that stay in memory


@dataclass(frozen=True)
class Factor:
    """A multiple of an adapter's change, from sums over rows.

    Attributes:
        shown: Sum over rows of x, what the target shows of the change.
        total: Sum of y, what the merged weights show of it after the same rounding.
        squares: Sums of x x, x y and y y.
    """

    shown: float = 0.0
    total: float = 0.0
    squares: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __add__(self, other: Factor) -> Factor:
        """Both together."""
        xx, xy, yy = (a + b for a, b in zip(self.squares, other.squares, strict=True))
        return Factor(self.shown + other.shown, self.total + other.total, (xx, xy, yy))

    @property
    def value(self) -> float:
        """The factor; NaN if rounding hides the change."""
        return self.shown / self.total if self.total > 0 else math.nan

    @property
    def error(self) -> float:
        """Its standard error (Cochran 1977, section 6.4, the ratio of two sums); infinite if too few rows show it."""
        xx, xy, yy = self.squares
        if self.total <= 0 or self.total**2 < _FEWEST_ROWS * yy:
            return math.inf
        spread = xx - 2 * self.value * xy + self.value**2 * yy
        return math.sqrt(max(spread, 0.0)) / self.total

    def agrees(self, value: float) -> bool:
        """Whether a factor is within its error and that of computing it in 16 bits."""
        return not abs(self.value - value) > SIGMAS * self.error + FACTOR_ERROR * max(1.0, abs(value))


@dataclass(frozen=True)
class Fit:
    """One weight of the target against one form of the base.

    Attributes:
        energy: Sum of squares of target minus base.
        products: Of target minus base with the change of each adapter.
        factor: Of the reference's change.
        dtype_energy: Sum of squares that rounding to the target's dtype explains.
        grid_energy: The same for its grid; 0 without one.
    """

    energy: float
    products: tuple[float, ...]
    factor: Factor
    dtype_energy: float
    grid_energy: float


@dataclass(frozen=True)
class WeightFit:
    """One weight of the target against all forms of the base.

    Attributes:
        name: Its name.
        shape: Its shape.
        values: What they are rounded to.
        fits: By form of the base.
        gram: Products of the adapters' changes with each other; the first is the reference's. Empty without changes.
        base_energy: Sum of squares of the base's weight.
        multiple: The target as a multiple of the base, by least squares.
        multiple_energy: Sum of squares of what that leaves.
        sketch: Some values of the target, and the base's at the same places.
    """

    name: str
    shape: tuple[int, ...]
    values: ValueType
    fits: Mapping[str, Fit]
    gram: tuple[tuple[float, ...], ...]
    base_energy: float
    multiple: float
    multiple_energy: float
    sketch: tuple[torch.Tensor, torch.Tensor]

    @property
    def change_energy(self) -> float:
        """Sum of squares of the reference's change."""
        return self.gram[0][0] if self.gram else 0.0

    def left(self, form: str, factors: Sequence[float] | None = None) -> float:
        """Sum of squares that the changes leave, times given factors or the reference's times its own best one."""
        fit = self.fits[form]
        if not self.gram:
            return fit.energy
        if factors is None:
            return max(fit.energy - self.best_factor(form) * fit.products[0], 0.0)
        pairs = list(enumerate(factors))
        crossed = sum(one * other * self.gram[row][column] for row, one in pairs for column, other in pairs)
        return max(fit.energy - 2 * sum(factor * fit.products[index] for index, factor in pairs) + crossed, 0.0)

    def best_factor(self, form: str) -> float:
        """Multiple of the reference's change that fits best, 0 without one."""
        return self.fits[form].products[0] / self.change_energy if self.change_energy else 0.0

    def by_dtype(self, form: str) -> float:
        """Largest sum of squares that rounding to the dtype explains."""
        return self.fits[form].dtype_energy

    def by_grid(self, form: str) -> float:
        """Largest sum of squares that rounding to the grid explains."""
        return self.fits[form].dtype_energy + _TWICE * self.fits[form].grid_energy


def fit_weight(
    name: str,
    target: torch.Tensor,
    bases: Mapping[str, torch.Tensor],
    changes: Sequence[torch.Tensor | None],
    *,
    is_dequantised: bool,
) -> WeightFit:
    """Fit one weight.

    Args:
        name: Its name.
        target: The target's values, in float32.
        bases: The base's, by form.
        changes: That each adapter makes, the reference first; None where it makes none.
        is_dequantised: Whether the base's weights were dequantised when it was evaluated, to any dtype.
    """
    import torch

    values = value_type(target)
    rows = torch.linspace(0, len(target) - 1, min(len(target), _ROWS)).long()
    adapters = changes if any(change is not None for change in changes) else ()
    gram = tuple(tuple(_product(first, second) for second in adapters) for first in adapters)
    change = adapters[0] if adapters else None
    some = target[rows]
    own = next(iter(bases.values()))
    fits = {}
    for form, base in bases.items():
        off = target - base
        merged = base if change is None else base + change
        slack = FACTOR_ERROR**2 * (gram[0][0] if gram else 0.0) + _ARITHMETIC * _energy(base)
        if is_dequantised and form == AS_EVALUATED:  # to any dtype
            slack += _TWICE * ROUNDOFF["bfloat16"] ** 2 / 3 * _energy(base)
        plain = ValueType(values.dtype)
        grid = values.step_energy * target.numel() if values.grid else 0.0
        if values.grid and can_round(values):
            grid = max(grid, _energy(round_to(merged[rows], values) - merged[rows]) * len(target) / len(rows))
        fits[form] = Fit(
            energy=_energy(off),
            products=tuple(_product(off, other) for other in adapters),
            factor=Factor() if change is None else _factor(some, base[rows], change[rows], values),
            dtype_energy=_TWICE * _energy(round_to(merged, plain) - merged) + slack,
            grid_energy=grid,
        )
    size = _energy(own)
    multiple = _product(target, own) / size if size else math.nan
    places = torch.linspace(0, target.numel() - 1, min(target.numel(), _SKETCH)).long()
    return WeightFit(
        name,
        tuple(target.shape),
        values,
        fits,
        gram,
        size,
        multiple,
        _energy(target - multiple * own) if size else _energy(target),
        (target.flatten()[places], bases.get(FULL, own).flatten()[places]),
    )


def _factor(target: torch.Tensor, base: torch.Tensor, change: torch.Tensor, values: ValueType) -> Factor:
    """How much of a change some rows show."""
    before, after = round_to(base, values), round_to(base + change, values)
    x = ((target - before).double() * change).sum(-1)
    y = ((after - before).double() * change).sum(-1)
    return Factor(float(x.sum()), float(y.sum()), (float(x @ x), float(x @ y), float(y @ y)))


def _energy(tensor: torch.Tensor) -> float:
    return float(tensor.double().square().sum()) if tensor.numel() < _SKETCH else float(tensor.norm()) ** 2


def _product(first: torch.Tensor | None, second: torch.Tensor | None) -> float:
    return 0.0 if first is None or second is None else float(first.flatten() @ second.flatten())


def pooled(factors: Iterable[Factor]) -> Factor:
    """The factor of several weights together."""
    return sum(factors, Factor())
