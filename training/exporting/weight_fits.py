"""Fits one weight of a target as its base's weight plus a multiple of the adapter's change, and what rounding explains.

Rounding is no independent noise where the base lies on the grid already: a change of less than half a step disappears,
and more of a doubled change shows than twice. So a factor compares what the target shows of the change with what the
base plus several multiples of it would show after the same rounding; rows give its standard error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from training.exporting.value_types import ROUNDOFF, ValueType, can_round, round_to, spread_indices, value_type
from training.exporting.weight_sources import AS_EVALUATED, FULL

if TYPE_CHECKING:
    import torch

By = Literal["dtype", "grid", ""]
SIGMAS = 5.0  # by chance 6e-7 of normal values are further away; a model has hundreds of weights and a few factors
FACTOR_ERROR = 2 * ROUNDOFF["bfloat16"]  # relative, of an adapter's factor that is computed in bfloat16
MULTIPLES = (-1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
_ONCE = MULTIPLES.index(1.0)
_INTERPOLATION = 0.1  # relative error of a factor between them, where rounding hides small changes
_ROWS = 128  # for the factor, of each weight
_FEWEST_ROWS = 8  # that a spread is estimated from, by their weight (Kish's effective sample size)
_TWICE = 2.0  # energy of two roundings, as of weights that were rounded to 16 bits before
_ARITHMETIC = (8 * ROUNDOFF["float32"]) ** 2  # relative energy of sums in another order
_SKETCH = 1024  # values of each weight that stay in memory


@dataclass(frozen=True)
class Response:
    """What the base plus a multiple of the change would show of the change after rounding.

    Attributes:
        shown: Sum over rows of y, the product of the change with what rounding leaves of it.
        crossed: Sum of x y, where x is what the target shows.
        squared: Sum of y y.
    """

    shown: float = 0.0
    crossed: float = 0.0
    squared: float = 0.0

    def __add__(self, other: Response) -> Response:
        """Both together."""
        return Response(self.shown + other.shown, self.crossed + other.crossed, self.squared + other.squared)


@dataclass(frozen=True)
class Factor:
    """The multiple of an adapter's change that a target shows.

    Attributes:
        shown: Sum over rows of x, the product of the change with the target minus the rounded base.
        squared: Sum of x x.
        responses: What each of `MULTIPLES` would show.
    """

    shown: float = 0.0
    squared: float = 0.0
    responses: tuple[Response, ...] = (Response(),) * len(MULTIPLES)

    def __add__(self, other: Factor) -> Factor:
        """Both together."""
        responses = tuple(one + more for one, more in zip(self.responses, other.responses, strict=True))
        return Factor(self.shown + other.shown, self.squared + other.squared, responses)

    @property
    def total(self) -> float:
        """What the whole change would show."""
        return self.responses[_ONCE].shown

    @property
    def value(self) -> float:
        """The factor, between the multiples by interpolation; NaN if rounding hides the change."""
        low = self._segment()
        first, second = self.responses[low].shown, self.responses[low + 1].shown
        if second <= first:
            return math.nan
        return MULTIPLES[low] + (MULTIPLES[low + 1] - MULTIPLES[low]) * (self.shown - first) / (second - first)

    @property
    def error(self) -> float:
        """Its standard error; infinite if too few rows show the change."""
        once = self.responses[_ONCE]
        if once.shown <= 0 or once.shown**2 < _FEWEST_ROWS * once.squared or math.isnan(self.value):
            return math.inf
        nearest = min(range(len(MULTIPLES)), key=lambda index: abs(MULTIPLES[index] - self.value))
        return self._spread(nearest) / self._slope()

    def agrees(self, value: float) -> bool:
        """Whether a factor is within its error and that of computing it in 16 bits."""
        slack = FACTOR_ERROR * max(1.0, abs(value))
        if value not in MULTIPLES:
            return not abs(self.value - value) > SIGMAS * self.error + slack + _INTERPOLATION * abs(value)
        index = MULTIPLES.index(value)
        off = abs(self.shown - self.responses[index].shown)
        return not off > SIGMAS * self._spread(index) + slack * max(self._slope(), self.total)

    def _segment(self) -> int:
        """Index of the multiple below the factor."""
        inner = range(1, len(MULTIPLES) - 1)
        return sum(self.shown > self.responses[index].shown for index in inner)

    def _slope(self) -> float:
        low = self._segment()
        return (self.responses[low + 1].shown - self.responses[low].shown) / (MULTIPLES[low + 1] - MULTIPLES[low])

    def _spread(self, index: int) -> float:
        """Standard error of the sum of x, from what a multiple of y leaves of it in the rows."""
        response = self.responses[index]
        explained = response.crossed**2 / response.squared if response.squared else 0.0
        return math.sqrt(max(self.squared - explained, 0.0))


@dataclass(frozen=True)
class Fit:
    """One weight of the target against one form of the base.

    Attributes:
        energy: Sum of squares of target minus base.
        products: Of target minus base with the change of each adapter.
        factors: Of the reference's change if values are rounded to their `dtype`, to their `grid`, or if something else
            changed them, so that what rounding hides is a matter of chance.
        dtype_energy: Sum of squares that rounding to the target's dtype explains.
        grid_energy: The same for its grid; 0 without one.
    """

    energy: float
    products: tuple[float, ...]
    factors: Mapping[By, Factor]
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
    values = value_type(target)
    rows = spread_indices(len(target), _ROWS)
    adapters = changes if any(change is not None for change in changes) else ()
    gram = tuple(tuple(_product(first, second) for second in adapters) for first in adapters)
    change = adapters[0] if adapters else None
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
        kinds: dict[By, ValueType] = {"dtype": plain, "grid": values, "": ValueType("float32")}
        factors = {
            by: Factor() if change is None else _factor(target[rows], base[rows], change[rows], kind)
            for by, kind in kinds.items()
            if kind.grid or by != "grid"
        }
        fits[form] = Fit(
            energy=_energy(off),
            products=tuple(_product(off, other) for other in adapters),
            factors=factors,
            dtype_energy=_TWICE * _energy(round_to(merged, plain) - merged) + slack,
            grid_energy=grid,
        )
    size = _energy(own)
    multiple = _product(target, own) / size if size else math.nan
    places = spread_indices(target.numel(), _SKETCH)
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
    """How much of a change some rows show, and what multiples of it would."""
    before, exact = round_to(base, values), change.double()
    x = ((target - before) * exact).sum(-1)
    responses = []
    for multiple in MULTIPLES:
        y = ((round_to(base + multiple * change, values) - before) * exact).sum(-1)
        responses.append(Response(float(y.sum()), float(x @ y), float(y @ y)))
    return Factor(float(x.sum()), float(x @ x), tuple(responses))


def _energy(tensor: torch.Tensor) -> float:
    return float(tensor.double().square().sum()) if tensor.numel() < _SKETCH else float(tensor.norm()) ** 2


def _product(first: torch.Tensor | None, second: torch.Tensor | None) -> float:
    return 0.0 if first is None or second is None else float(first.flatten() @ second.flatten())


def pooled(factors: Iterable[Factor]) -> Factor:
    """The factor of several weights together."""
    return sum(factors, Factor())
