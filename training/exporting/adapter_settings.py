"""What `adapter_config.json` changes in an adapter that has the evaluated weights."""

from __future__ import annotations

import math
from pathlib import Path

from training.exporting.causes import Cause
from training.models.adapter_config import LoraSettings
from training.models.adapters import CONFIG, read_settings

_USED = ("lora_alpha", "r", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_bias")


def find_setting_causes(reference: Path, target: Path) -> list[Cause]:
    """Causes in the settings of an adapter whose weights are those of the reference.

    Args:
        reference: Folder of the evaluated adapter.
        target: Folder of the deployed adapter.

    Raises:
        UserError: A configuration cannot be read or used.
    """
    before, after = read_settings(reference), read_settings(target)
    values = [(name, getattr(before, name), getattr(after, name)) for name in _USED]
    changed = [(name, old, new) for name, old, new in values if (old or None) != (new or None)]
    if not changed:
        return []
    factor = _scale(after) / _scale(before)
    pairs = ", ".join(f"{name} {new!r} instead of {old!r}" for name, old, new in changed)
    is_factor = not before.alpha_pattern and not after.alpha_pattern and math.isfinite(factor)
    often = f", so the adapter's change is there {factor:.4g} times" if is_factor else ""
    what = f"its {CONFIG} has {pairs}{often}"
    return [Cause("adapter_scale", what, {"factor": factor} if is_factor else {})]


def _scale(settings: LoraSettings) -> float:
    """What the product of an adapter's matrices is multiplied by (rank-stabilised: Kalajdzievski 2023)."""
    return settings.lora_alpha / (math.sqrt(settings.r) if settings.use_rslora else settings.r)
