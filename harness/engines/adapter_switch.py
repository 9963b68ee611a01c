"""Switches one loaded base between itself and its adapters: merged into its weights, or layers beside them.

A merged model is as fast as the base. The base's own values of the changed weights are saved and copied back, so that
it stays bit-identical however often adapters change; adding a difference and subtracting it would not be exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import nn

from harness.engines.base_weights import check_unchanged, weight_checksums
from reports.errors import UserError
from training.models.adapter_layers import ADAPTER, LayerSwap
from training.models.adapters import load_adapter
from training.models.device import device_of
from training.models.model import BASE

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AdapterMode = Literal["auto", "merged", "unmerged"]
_PRISTINE_SHARE = 0.25  # of a GPU's free memory that the saved base weights may take; larger ones are kept on the host


class AdapterSwitch(Protocol):
    """Makes the model compute as the base or as an adapter.

    Attributes:
        mode: `merged`, `unmerged`, or `none` without adapters.
    """

    mode: str

    def use(self, name: str) -> bool:
        """Compute as the base or as an adapter; whether the model did not already."""
        ...


def adapter_switch(model: PreTrainedModel, folders: Mapping[str, Path], wanted: AdapterMode) -> AdapterSwitch:
    """The fastest switch that keeps the numbers, or the requested one; it computes as the base at first.

    Raises:
        UserError: `merged` is requested, and an adapter or the base's weights do not allow it; or loading the adapters
            changed the base's weights.
    """
    if not folders:
        return NoAdapters()
    before = weight_checksums(model)
    switch = _load(model, folders, wanted)
    switch.use(BASE)
    check_unchanged(model, before, folders)
    return switch


def _load(model: PreTrainedModel, folders: Mapping[str, Path], wanted: AdapterMode) -> AdapterSwitch:
    merged: dict[str, Mapping[str, _Change]] = {}
    for name, folder in folders.items():
        changes = None if wanted == "unmerged" else _changes(model, _layers(model, folder))
        if changes is None and wanted == "merged":
            raise UserError(
                f"{name} cannot be merged: it is no plain LoRA, or the base's weights are held in 4 or 8 bits",
                where="scoring.adapters",
                fix="set scoring.adapters=auto",
            )
        if changes is None:
            return UnmergedAdapters({name: _layers(model, folder) for name, folder in folders.items()})
        merged[name] = changes
    return MergedAdapters(model, merged)


def _layers(model: PreTrainedModel, folder: Path) -> LayerSwap:
    with LayerSwap(model) as layers:
        load_adapter(model, folder)
    return layers


class NoAdapters:
    """The base alone."""

    mode = "none"

    def use(self, name: str) -> bool:  # noqa: ARG002 - there is only one
        """Do nothing."""
        return False


@dataclass(frozen=True)
class _Change:
    """A LoRA's change of one weight: scale * up @ down (Hu et al. 2021)."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    def on(self, weight: torch.Tensor) -> torch.Tensor:
        """The changed weight; computed in float32 and rounded once."""
        down, up = self.down.to(weight.device).float(), self.up.to(weight.device).float()
        return torch.addmm(weight.float(), up, down, alpha=self.scale).to(weight.dtype)


class MergedAdapters:
    """Adapters in host memory, merged into the weights one at a time; the base's values are saved once for all.

    Attributes:
        held_bytes: Memory of adapters and saved values.
    """

    mode = "merged"

    def __init__(self, model: PreTrainedModel, adapters: Mapping[str, Mapping[str, _Change]]) -> None:
        self._adapters = adapters
        targets = {target for changes in adapters.values() for target in changes}
        self._weights = {target: model.get_submodule(target).weight.data for target in sorted(targets)}
        size = sum(weight.nbytes for weight in self._weights.values())
        room = size <= _PRISTINE_SHARE * device_of(model.device).available_memory()
        place = model.device if room else torch.device("cpu")
        self._pristine = {target: weight.to(place, copy=True) for target, weight in self._weights.items()}
        parts = (
            part for changes in adapters.values() for change in changes.values() for part in (change.down, change.up)
        )
        self.held_bytes = size + sum(part.nbytes for part in parts)
        self._name = ""  # of the adapter in place; the base is none of them

    @torch.inference_mode()
    def use(self, name: str) -> bool:
        """Put the adapter's weights in place, and the base's own back everywhere else."""
        if name == self._name:
            return False
        changes = self._adapters.get(name, {})
        before = self._adapters.get(self._name, {})
        for target, weight in self._weights.items():
            if target in changes:
                weight.copy_(changes[target].on(self._pristine[target].to(weight.device)))
            elif target in before:
                weight.copy_(self._pristine[target])
        self._name = name
        return True


class UnmergedAdapters:
    """PEFT's layers around the base's own: for any kind of adapter, and for weights held in 4 bits."""

    mode = "unmerged"

    def __init__(self, adapters: Mapping[str, LayerSwap]) -> None:
        self._adapters = adapters
        self._name = ""  # of the adapter in place; the base is none of them

    def use(self, name: str) -> bool:
        """Take the last adapter's layers out, and put this one's in; none for the base."""
        if name == self._name:
            return False
        if self._name in self._adapters:
            self._adapters[self._name].take_out()
        if name in self._adapters:
            self._adapters[name].put_in()
        self._name = name
        return True


def _changes(model: PreTrainedModel, layers: LayerSwap) -> dict[str, _Change] | None:
    """Changes of a plain LoRA by layer; None for another kind of adapter, or one that cannot be merged."""
    from peft.tuners.lora import Linear
    from transformers.pytorch_utils import Conv1D

    shared = model.get_input_embeddings().weight
    changes = {}
    for name, layer in layers.own.items():
        if type(layer) is not Linear or layer.lora_variant or layer.lora_bias[ADAPTER]:
            return None
        inner = layer.get_base_layer()
        if (
            not isinstance(inner, nn.Linear | Conv1D)
            or inner.weight is shared
            or inner is not model.get_submodule(name)
        ):
            return None
        down, up = layer.lora_A[ADAPTER].weight.detach().cpu(), layer.lora_B[ADAPTER].weight.detach().cpu()
        if layer.fan_in_fan_out:  # the weight is transposed
            down, up = up.T, down.T
        changes[name] = _Change(down, up, layer.scaling[ADAPTER])
    return changes
