"""Switches one loaded base between itself and its adapters: merged into its weights, or layers beside them.

A merged model is as fast as the base. The base's own values of the changed weights are saved and copied back, so that
it stays bit-identical however often adapters change; adding a difference and subtracting it would not be exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import nn

from harness.engines.base_weights import OwnEmbeddings, check_unchanged, weight_checksums
from reports.errors import UserError, first_line, is_failure
from reports.files import read_json
from training.models.adapters import CONFIG, PREFIX, WEIGHTS
from training.models.device import device_of
from training.models.loading import quiet_bitsandbytes
from training.models.model import BASE

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AdapterMode = Literal["auto", "merged", "unmerged"]
_PRISTINE_SHARE = 0.25  # of a GPU's free memory that the saved base weights may take; larger ones are kept on the host
# Settings of a plain LoRA; any other that is set means another kind of adapter.
_PLAIN = {
    "auto_mapping",
    "base_model_name_or_path",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
}


class AdapterSwitch(Protocol):
    """Makes the model compute as the base or as an adapter.

    Attributes:
        mode: `merged`, `unmerged`, or `none` without adapters.
    """

    mode: str

    def use(self, name: str) -> None:
        """Compute as the base or as an adapter."""
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
    adapters = None if wanted == "unmerged" else {name: _read(folder, model) for name, folder in folders.items()}
    if adapters is not None:
        odd = next((name for name, adapter in adapters.items() if adapter is None), None)
        if odd is None:
            return MergedAdapters(model, {name: adapter for name, adapter in adapters.items() if adapter is not None})
        if wanted == "merged":
            raise UserError(
                f"{odd} cannot be merged: it is no plain LoRA, or the base's weights are held in 4 or 8 bits",
                where="scoring.adapters",
                fix="set scoring.adapters=auto",
            )
    return UnmergedAdapters(model, folders)


class NoAdapters:
    """The base alone."""

    mode = "none"

    def use(self, name: str) -> None:
        """Do nothing."""


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
    def use(self, name: str) -> None:
        """Put the adapter's weights in place, and the base's own back everywhere else."""
        if name == self._name:
            return
        changes = self._adapters.get(name, {})
        before = self._adapters.get(self._name, {})
        for target, weight in self._weights.items():
            if target in changes:
                weight.copy_(changes[target].on(self._pristine[target].to(weight.device)))
            elif target in before:
                weight.copy_(self._pristine[target])
        self._name = name


class UnmergedAdapters:
    """PEFT's layers beside the base's own: for any kind of adapter, and for weights held in 4 bits.

    Raises:
        UserError: PEFT cannot load an adapter.
    """

    mode = "unmerged"

    def __init__(self, model: PreTrainedModel, folders: Mapping[str, Path]) -> None:
        with quiet_bitsandbytes():
            from peft import PeftModel

        # PEFT takes them as names of modules, which `v1.2`, `keys` and others cannot be.
        self._names = {name: f"adapter_{number}" for number, name in enumerate(folders)}
        self._wrapped: Any = None
        self._embeddings = OwnEmbeddings(model)
        for name, folder in folders.items():
            self._embeddings.make_room(name, folder)
            try:
                if self._wrapped is None:
                    self._wrapped = PeftModel.from_pretrained(model, str(folder), adapter_name=self._names[name])
                else:
                    self._wrapped.load_adapter(str(folder), adapter_name=self._names[name])
            except torch.OutOfMemoryError:
                raise
            except BaseException as error:
                if not is_failure(error):
                    raise
                raise UserError(
                    f"PEFT cannot load this adapter: {first_line(error)[:300]}",
                    where=str(folder),
                    fix="save it again with PEFT",
                ) from error
        self._wrapped.eval()

    def use(self, name: str) -> None:
        """Turn an adapter's layers on, or all off for the base."""
        self._embeddings.use(name)
        if name not in self._names:
            self._wrapped.base_model.disable_adapter_layers()
            return
        self._wrapped.base_model.enable_adapter_layers()
        self._wrapped.set_adapter(self._names[name], inference_mode=True)


def _read(folder: Path, model: PreTrainedModel) -> dict[str, _Change] | None:
    """Changes of a plain LoRA by layer name; None for another kind of adapter, or one that cannot be merged."""
    from safetensors.torch import load_file

    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or any(value not in (None, False, "none", {}, []) for value in _odd(config)):
        return None
    layers = dict(model.named_modules())
    tied = model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    weights = load_file(folder / WEIGHTS)
    changes = {}
    for key, down in weights.items():
        name, part, _ = key.removeprefix(PREFIX).partition(".lora_A.weight")
        layer = layers.get(name)
        up = weights.get(key.replace(".lora_A.", ".lora_B."))
        if not part:
            if key.endswith(".lora_B.weight"):
                continue
            return None
        if type(layer) is not nn.Linear or up is None or (tied and layer is model.get_output_embeddings()):
            return None
        rank = len(down)
        scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
        changes[name] = _Change(down, up, scale)
    return changes


def _odd(config: Mapping[str, Any]) -> list[Any]:
    """Values of settings that plain LoRA does not have."""
    # Some ways to start an adapter change the base's weights too, which PEFT does again when it loads one.
    start = config.get("init_lora_weights")
    return [
        *(value for key, value in config.items() if key not in {*_PLAIN, "init_lora_weights"}),
        isinstance(start, str) and start not in ("gaussian", "eva"),
    ]
