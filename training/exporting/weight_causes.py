"""Finds out from a model's weights alone in what it differs from an adapter on its base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from training.exporting.causes import WeightFindings

if TYPE_CHECKING:
    from training.models.device import DTypeName
    from training.models.model import Model
    from training.recipes.recipe import QuantizationSection

_NO_OTHERS: Mapping[str, Path] = MappingProxyType({})


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
    raise NotImplementedError
