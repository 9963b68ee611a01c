"""Which form of the base and which rounding explain one weight of a target."""

from __future__ import annotations

from dataclasses import dataclass

from training.exporting.weight_fits import By, Factor, WeightFit


@dataclass(frozen=True)
class Explained:
    """The simplest explanation of a weight.

    Attributes:
        fit: The weight.
        form: The form of the base that fits best.
        by: What explains the difference that the adapter's best multiple leaves: rounding to the values' `dtype`, to
            their `grid`, or nothing.
    """

    fit: WeightFit
    form: str
    by: By

    @property
    def factor(self) -> Factor:
        """The factor of the reference's change."""
        return self.fit.fits[self.form].factors[self.by]

    @property
    def left(self) -> float:
        """Sum of squares that the reference's best multiple leaves."""
        return self.fit.left(self.form)

    @property
    def expected(self) -> float:
        """Largest sum of squares that rounding explains."""
        return self.fit.by_grid(self.form) if self.by == "grid" else self.fit.by_dtype(self.form)

    @property
    def module(self) -> str:
        """Name of the kind of weight in all layers, such as `q_proj.weight`."""
        return ".".join(self.fit.name.split(".")[-2:])


def explain(fit: WeightFit) -> Explained:
    """Explain a weight by rounding to its dtype if possible, then by quantisation."""
    forms = sorted(fit.fits, key=fit.left)
    for form in forms:
        if fit.left(form) <= fit.by_dtype(form):
            return Explained(fit, form, "dtype")
    by: By = "grid" if fit.values.grid and fit.left(forms[0]) <= fit.by_grid(forms[0]) else ""
    return Explained(fit, forms[0], by)
