"""How a base's weights are held: quantised by the recipe or by its own checkpoint, and which share of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.models.architecture import architecture
from training.models.base_model import model_config

if TYPE_CHECKING:
    from training.models.model import Model
    from training.recipes.recipe import QuantizationSection

_BITSANDBYTES = "bitsandbytes"
METHODS = ("nf4", "fp4", "int8")  # of bitsandbytes
_MOSTLY = 0.9  # share of the layers' weights below which a plan warns
_LEFT_DENSE = "bitsandbytes replaces plain linear layers only, not a model's own kinds or experts held in one tensor"


@dataclass(frozen=True)
class WeightFormat:
    """How weights are held.

    Attributes:
        method: `nf4`, `fp4`, `int8`, the name of another method, or `none`.
        double_quant: Whether the 4-bit scales are quantised too.
        by_recipe: Whether they are quantised while they are loaded; else the checkpoint is.
        share: Share of the layers' weights (all matrices but embeddings and head) that is quantised; None if unknown.
        requested: What the recipe asks for, also if nothing of the model can be quantised.
    """

    method: str
    double_quant: bool
    by_recipe: bool
    share: float | None
    requested: str

    @property
    def is_quantised(self) -> bool:
        """Whether any weights are quantised."""
        return self.method != "none"

    @property
    def summary(self) -> str:
        """Method and share, such as `nf4, double quantisation`, for plans and results."""
        if not self.is_quantised:
            missed = f" ({self.requested} quantises none of its layers)" if self.requested != "none" else ""
            return f"none{missed}"
        parts = [self.method, "double quantisation" if self.double_quant else "", self._part, self._origin]
        return ", ".join(filter(None, parts))

    @property
    def warning(self) -> str:
        """What a user should know who asked for quantised weights and gets mostly dense ones; else empty."""
        if not self.by_recipe or self.share is None or self.share >= _MOSTLY:
            return ""
        quantised = f"only {_percent(self.share)}" if self.share else "none"
        return f"quantization.method {self.requested} quantises {quantised} of the layers' weights: {_LEFT_DENSE}"

    def in_scoring(self, dtype: str, *, dense: bool) -> str:
        """How weights are held while scoring, in words.

        Args:
            dtype: Of weights that are not quantised.
            dense: Whether quantised weights are dequantised once.
        """
        if not self.is_quantised:
            missed = f" ({self.requested.upper()} quantises none of its layers)" if self.requested != "none" else ""
            return f"{dtype}, not quantised{missed}"
        double = " with double quantisation" if self.double_quant else ""
        words = " ".join(filter(None, (self.method.upper() + double, self._part, self._origin)))
        if self.method not in METHODS:  # of which there is no dense form
            dense = False
        return f"{words}, {f'dequantised once to {dtype}' if dense else f'held so, computed in {dtype}'}"

    @property
    def _part(self) -> str:
        return f"in {_percent(self.share)} of the layers' weights" if self.share is not None and self.share < 1 else ""

    @property
    def _origin(self) -> str:
        return "" if self.by_recipe else "by its checkpoint"


def weight_format(base: Model, quantization: QuantizationSection | None) -> WeightFormat:
    """How a base's weights are held if a recipe quantises them; a checkpoint that is quantised already stays so.

    Args:
        base: The base.
        quantization: The recipe's; None for the base's own weights.
    """
    own = _own_config(base)
    if own is not None:
        return _own_format(base, own)
    if quantization is None or quantization.method == "none":
        return WeightFormat("none", double_quant=False, by_recipe=False, share=0.0, requested="none")
    share = architecture(base).quantisable_share
    return WeightFormat(
        quantization.method if share else "none",
        double_quant=bool(share) and quantization.is_4bit and quantization.double_quant is not False,
        by_recipe=True,
        share=share,
        requested=quantization.method,
    )


def is_quantised(base: Model) -> bool:
    """Whether the base's own checkpoint is quantised already; then it is taken as it is."""
    return _own_config(base) is not None


def has_dense_form(base: Model) -> bool:
    """Whether the base's checkpoint is dense, or quantised by bitsandbytes, which can be turned back."""
    return own_method(base) in (None, _BITSANDBYTES)


def own_method(base: Model) -> str | None:
    """What the base's own checkpoint is quantised with; None if it is not."""
    own = _own_config(base)
    return None if own is None else str(own.get("quant_method", _BITSANDBYTES))


def quantised_weights(model: Any) -> int:
    """Number of weights of a loaded model that bitsandbytes holds in 4 or 8 bits."""
    sizes = {  # by weight: PEFT's layers show that of the layer within them
        id(module.weight): module.in_features * module.out_features
        for module in model.modules()
        if hasattr(module, "weight") and (hasattr(module.weight, "quant_state") or hasattr(module.weight, "SCB"))
    }
    return sum(sizes.values())


def quantised_share(model: Any, base: Model) -> float | None:
    """Share of the layers' weights of a loaded model that are quantised; None if not by bitsandbytes."""
    if not has_dense_form(base):
        return None
    total = architecture(base).layer_weights
    return quantised_weights(model) / total if total else 0.0


def _own_config(base: Model) -> dict[str, Any] | None:
    """`quantization_config` of a checkpoint; None if it has none."""
    own = model_config(base).get("quantization_config")
    if not own:
        return None
    return own if isinstance(own, dict) else {"quant_method": "unknown"}


def _own_format(base: Model, own: dict[str, Any]) -> WeightFormat:
    if own_method(base) != _BITSANDBYTES:
        method = str(own["quant_method"])
        return WeightFormat(method, double_quant=False, by_recipe=False, share=None, requested=method)
    four_bit = bool(own.get("load_in_4bit") or own.get("_load_in_4bit"))
    method = str(own.get("bnb_4bit_quant_type", "fp4")) if four_bit else "int8"
    share = architecture(base).quantisable_share
    double = four_bit and bool(own.get("bnb_4bit_use_double_quant"))
    return WeightFormat(method, double_quant=double, by_recipe=False, share=share, requested=method)


def _percent(share: float) -> str:
    """A share that is neither none nor all, in percent."""
    return f"{min(99.9, max(0.1, 100 * share)):.1f} %"
