"""Finds out from a model's weights alone in what it differs from an adapter on its base."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from training.exporting.adapter_causes import adapter_causes
from training.exporting.causes import Cause, WeightFindings, name_some
from training.exporting.explained_weights import Explained, explain
from training.exporting.foreign_changes import describe
from training.exporting.weight_fits import fit_weight
from training.exporting.weight_sources import FULL, Comparison, compare_with

if TYPE_CHECKING:
    from training.models.device import DTypeName
    from training.models.model import Model
    from training.recipes.recipe import QuantizationSection

REFERENCE = "the adapter"
_NO_OTHERS: Mapping[str, Path] = MappingProxyType({})
_DESCRIBED = 3  # weights of which a message says how they differ
_MOST_LISTED = 20  # names in evidence
_UNRELATED = math.sqrt(0.5)  # distance by the base's norm: as far from equal as from unrelated, which is sqrt(2)


def find_weight_causes(
    base: Model,
    adapter: Path | None,
    target: Path,
    *,
    quantization: QuantizationSection | None,
    train_dtype: DTypeName,
    others: Mapping[str, Path] = _NO_OTHERS,
) -> WeightFindings:
    """Compare a folder of dense safetensors with an adapter merged into its base.

    Args:
        base: The base.
        adapter: Folder of the adapter that was evaluated; None if the base itself was.
        target: The folder to explain.
        quantization: How the base was quantised when it was evaluated; None for its own weights.
        train_dtype: What 4-bit values are turned back into, see `training.models.loading.load_for_scoring`.
        others: Folders of other adapters of the base by name, which the target may hold instead.

    Raises:
        UserError: A folder cannot be read, its weights are not dense, or the adapter is no plain LoRA.
    """
    import torch

    folders = ({REFERENCE: adapter} if adapter else {}) | dict(others)
    with torch.inference_mode():
        comparison = compare_with(target, base, folders, quantization, train_dtype)
        causes, names = _structure(comparison)
        weights, broken = [], []
        for name in names:
            values, bases, changes = comparison.tensors(name)
            if not bool(values.isfinite().all()):
                broken.append(name)
                continue
            if adapter is None:
                changes = [None, *changes]
            dequantised = comparison.base.is_dequantised
            weights.append(explain(fit_weight(name, values, bases, changes, is_dequantised=dequantised)))
        if broken:
            what = f"{len(broken)} weights hold NaN or infinity: {name_some(broken)}"
            causes.append(Cause("weights", what, {"weights": len(broken), "names": ", ".join(broken[:_MOST_LISTED])}))
        found = adapter_causes(weights, comparison, tuple(others), has_reference=adapter is not None)
        causes = found.causes + causes + _left_over(found.left, weights, comparison)
    is_missing = any(cause.key == "missing_adapter" for cause in found.causes)
    causes += _precision(weights, is_missing=is_missing)
    return WeightFindings(causes, found.notes, {**_evidence(weights), **found.evidence})


def _structure(comparison: Comparison) -> tuple[list[Cause], list[str]]:
    """(causes in names and shapes, names of the weights that can be compared)."""
    held = comparison.target.shapes
    names, missing, resized, misshaped = [], [], [], []
    for name in comparison.names():
        own, other = comparison.shape(name), held.get(comparison.saved_name(name))
        if other is None:
            missing.append(name)
        elif own == other:
            names.append(name)
        elif own[1:] == other[1:] and name in comparison.base.vocabulary:
            names.append(name)
            resized.append(f"{name} has {other[0]:,} rows instead of {own[0]:,}")
        else:
            misshaped.append(f"{name} has the shape {list(other)} instead of {list(own)}")
    extra = sorted(
        held.keys() - {comparison.saved_name(name) for name in comparison.names()} - comparison.base.shared.keys()
    )
    texts = (
        (missing, "missing", f"{len(missing):,} weights are missing: {name_some(missing)}"),
        (
            misshaped,
            "other_shape",
            f"{len(misshaped):,} weights have other shapes, as of another model: {name_some(misshaped)}",
        ),
        (resized, "resized", f"the vocabulary has another size: {name_some(resized)}"),
        (extra, "unexpected", f"{len(extra):,} weights are not the base's: {name_some(extra)}"),
    )
    causes = [
        Cause("weights", text, {key: len(some), "names": ", ".join(some[:_MOST_LISTED])})
        for some, key, text in texts
        if some
    ]
    return causes, names


def _left_over(left: list[Explained], weights: list[Explained], comparison: Comparison) -> list[Cause]:
    """Causes in weights that neither adapters nor rounding explain."""
    if not left:
        return []
    base, off, expected, change = (
        math.sqrt(sum(values))
        for values in zip(
            *((item.fit.base_energy, item.left, item.expected, item.fit.change_energy) for item in left), strict=True
        )
    )
    share = off / base if base else math.inf
    ordered = sorted(left, key=lambda item: -item.left / (item.fit.base_energy or 1.0))
    all_fits = [item.fit for item in weights]
    details = [
        f"{item.fit.name} ({describe(item.fit, all_fits, comparison, item.form)})" for item in ordered[:_DESCRIBED]
    ]
    more = f" and {len(left) - _DESCRIBED:,} more" if len(left) > _DESCRIBED else ""
    what = (
        f"{len(left):,} of {len(weights):,} weights differ by more than rounding explains: {', '.join(details)}{more}"
    )
    if share > _UNRELATED and 2 * len(left) > len(weights):
        what = (
            f"the weights are those of another model: {len(left):,} of {len(weights):,} are {share:.0%} of the base's"
            " norm away from it"
        )
    evidence: dict[str, float | str] = {
        "weights": len(left),
        "of": len(weights),
        "names": ", ".join(item.fit.name for item in ordered[:_MOST_LISTED]),
        "residual_norm": off,
        "rounding_norm": expected,
        "relative_to_base": share,
    }
    if change:
        evidence["relative_to_adapter"] = off / change
    return [Cause("weights", what, evidence)]


def _precision(weights: list[Explained], *, is_missing: bool) -> list[Cause]:
    """Causes in what weights are rounded to, and in which form of the base they were made of."""
    causes = []
    forms = [item for item in weights if len(item.fit.fits) > 1 and item.by]
    full = [item for item in forms if item.form == FULL]
    if full and not (is_missing and len(full) == len(forms)):  # which is the base as it was published
        which = (
            ""
            if len(full) == len(forms)
            else f" in {len(full):,} of {len(forms):,} weights: {name_some([item.fit.name for item in full])}"
        )
        what = (
            "the weights were made from the base's own full-precision weights, not from the dequantised ones that the"
            f" adapter was trained and evaluated on{which}"
        )
        causes.append(Cause("precision", what, {"weights": len(full), "of": len(forms), "base": FULL}))
    grids = [item for item in weights if item.by == "grid"]
    plain = {item.module for item in weights if item.by == "dtype"}
    grids += [item for item in weights if not item.by and item.fit.values.grid and item.module not in plain]
    if grids:
        counts = Counter(item.fit.values.grid for item in grids).most_common()
        kinds = ", ".join(f"{kind} ({count:,} weights)" for kind, count in counts)
        error = math.sqrt(sum(item.fit.fits[item.form].grid_energy for item in grids))
        change = math.sqrt(sum(item.fit.change_energy for item in grids))
        size = math.sqrt(sum(item.fit.base_energy for item in grids))
        evidence: dict[str, float | str] = {
            "type": counts[0][0],
            "weights": len(grids),
            "rounding_norm": error,
            "relative_to_base": error / size if size else math.inf,
        }
        of_change = ""
        if change:
            evidence["relative_to_adapter"] = error / change
            of_change = f", {error / change:.2g} times the norm of the adapter's change"
        causes.append(
            Cause(
                "precision",
                f"the weights are quantised to {kinds}; this rounding has a norm of {error:.3g}{of_change}",
                evidence,
            )
        )
    return causes


def _evidence(weights: list[Explained]) -> dict[str, float | str]:
    """Numbers about all weights."""
    dtypes = Counter(item.fit.values.name for item in weights if len(item.fit.shape) > 1).most_common()
    return {
        "types": ", ".join(f"{name}: {count}" for name, count in dtypes),
        "adapter_norm": math.sqrt(sum(item.fit.change_energy for item in weights)),
        "residual_norm": math.sqrt(sum(item.left for item in weights)),
        "rounding_norm": math.sqrt(sum(item.expected for item in weights)),
    }
