"""Weights one tensor at a time: a target's from its files, its base's as they were evaluated, and adapters' changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reports.errors import UserError
from training.models.adapter_layers import (
    PREFIX,
    LayerSwap,
    attach,
    converted_weights,
    layer_scales,
    saved_names,
)
from training.models.adapters import WEIGHTS, read_settings
from training.models.architecture import architecture, model_shell
from training.models.base_model import check_files
from training.models.checkpoint import weight_files
from training.models.device import device_of, torch_dtype
from training.models.loading import load_for_scoring, quiet_bitsandbytes
from training.models.safetensors_file import FLOATS, read_header
from training.models.weight_format import is_quantised, weight_format

if TYPE_CHECKING:
    import torch

    from training.models.device import DTypeName
    from training.models.model import Model
    from training.recipes.recipe import QuantizationSection

AS_EVALUATED, FULL = "as evaluated", "full precision"
_FACTORS = (".lora_A.weight", ".lora_B.weight")
_EMBEDDING_FACTORS = (".lora_embedding_A", ".lora_embedding_B")


@dataclass(frozen=True)
class Change:
    """An adapter's change of one weight: scale * up @ down (Hu et al. 2021)."""

    up: torch.Tensor
    down: torch.Tensor
    scale: float

    def dense(self) -> torch.Tensor:
        """The change in float32."""
        product: torch.Tensor = self.up.float() @ self.down.float()
        return product * self.scale


class WeightFiles:
    """A folder's dense weights by the names of the modules of a model, read one at a time as float32.

    Attributes:
        shapes: Shape by name. A head that shares the embedding's weight is not listed.
    """

    def __init__(self, folder: Path, names: Mapping[str, object], prefix: str) -> None:
        """Read the files' headers.

        Args:
            folder: The folder.
            names: Names of the model's weights.
            prefix: That files may leave out, such as `model`.

        Raises:
            UserError: There are no files, or they hold weights that are not dense.
        """
        check_files(folder)
        files = weight_files(folder)
        if not files:
            raise UserError("there are no safetensors weights in it", where=str(folder), fix="give a model folder")
        self._places: dict[str, tuple[Path, str]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in files:
            for saved, tensor in read_header(path).items():
                if tensor.dtype not in FLOATS:
                    raise UserError(
                        f"its weights are not dense: {saved} is held in {tensor.dtype}",
                        where=str(path),
                        fix="dequantise it first, or compare answers instead of weights",
                    )
                tries = (saved, f"{prefix}.{saved}", saved.removeprefix(f"{prefix}."))
                name = next((name for name in tries if name in names), saved)
                self._places[name], self.shapes[name] = (path, saved), tensor.shape

    def __getitem__(self, name: str) -> torch.Tensor:
        """A weight in float32."""
        from safetensors import safe_open

        path, saved = self._places[name]
        with safe_open(path, "pt") as opened:
            tensor: torch.Tensor = opened.get_tensor(saved)
        return tensor.float()


@dataclass(frozen=True)
class BaseWeights:
    """A base's weights in the forms that a target may have been made of.

    Attributes:
        names: Shape of each weight; a head that shares the embedding's weight is not listed.
        shared: Name of the listed weight by the name of one that shares it.
        vocabulary: Names of the embedding and the head, of which each row is a token's.
        forms: How to read a weight, by form; the first form is the one that was evaluated.
        is_dequantised: Whether the weights that were evaluated are dequantised ones.
    """

    names: Mapping[str, tuple[int, ...]]
    shared: Mapping[str, str]
    vocabulary: frozenset[str]
    forms: Mapping[str, Callable[[str], torch.Tensor]]
    is_dequantised: bool


def open_base(base: Model, quantization: QuantizationSection | None, train_dtype: DTypeName) -> BaseWeights:
    """The weights of a base as they were evaluated, and its own if these are others.

    Raises:
        UserError: They cannot be read, or not be turned into dense ones.
    """
    shell = model_shell(base)
    names, shared = _weight_names(shell)
    vocabulary = frozenset(
        f"{name}.weight"
        for name, module in shell.named_modules()
        if module in (shell.get_input_embeddings(), shell.get_output_embeddings())
    )
    held = weight_format(base, quantization)
    if is_quantised(base):
        cpu = device_of("cpu")
        model = load_for_scoring(base, quantization, train_dtype=train_dtype, dtype=train_dtype, device=cpu)
        weights = model.state_dict()
        return BaseWeights(
            names, shared, vocabulary, {AS_EVALUATED: lambda name: weights[name].float()}, is_dequantised=True
        )
    files = WeightFiles(base.folder, names, shell.base_model_prefix)
    if missing := sorted(names.keys() - files.shapes.keys()):
        raise UserError(
            f"transformers renames this model's weights when it loads them ({missing[0]} is not in the files)",
            where=str(base.folder),
            fix="compare answers instead of weights",
        )
    if not held.is_quantised or quantization is None:
        return BaseWeights(names, shared, vocabulary, {AS_EVALUATED: files.__getitem__}, is_dequantised=False)
    layers = {f"{layer}.weight" for layer in architecture(base).quantisable}
    as_held = _as_held(held.method, double_quant=held.double_quant, dtype=torch_dtype(train_dtype))

    def evaluated(name: str) -> torch.Tensor:
        weight = files[name].to(torch_dtype(train_dtype))
        return (as_held(weight) if name in layers else weight).float()

    return BaseWeights(
        names, shared, vocabulary, {AS_EVALUATED: evaluated, FULL: files.__getitem__}, is_dequantised=True
    )


def _weight_names(shell: torch.nn.Module) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """(shape by name, name of the first that shares it by name of another) of a model's weights."""
    names: dict[str, tuple[int, ...]] = {}
    first: dict[int, str] = {}
    shared = {}
    for name, parameter in shell.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            shared[name] = first[id(parameter)]
        else:
            first[id(parameter)], names[name] = name, tuple(parameter.shape)
    return names, shared


def _as_held(method: str, *, double_quant: bool, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function that quantises a layer's weight as bitsandbytes does when it loads it, and turns it back."""
    with quiet_bitsandbytes():
        import bitsandbytes.functional as bits

    def four_bit(weight: torch.Tensor) -> torch.Tensor:
        packed, state = bits.quantize_4bit(weight, quant_type=method, compress_statistics=double_quant)
        dense: torch.Tensor = bits.dequantize_4bit(packed, state)
        return dense.to(dtype)

    def eight_bit(weight: torch.Tensor) -> torch.Tensor:
        packed, scales, _ = bits.int8_vectorwise_quant(weight.half())
        dense: torch.Tensor = bits.int8_vectorwise_dequant(packed, scales)
        return dense.to(dtype)

    return eight_bit if method == "int8" else four_bit


def adapter_changes(base: Model, folder: Path) -> dict[str, Change]:
    """An adapter's changes by the names of the weights.

    Raises:
        UserError: It is no plain LoRA, so that its change depends on the base's weights or is no product.
    """
    from safetensors.torch import load_file

    settings = read_settings(folder)
    saved = saved_names(load_file(folder / WEIGHTS), settings)
    shell = model_shell(base)
    with LayerSwap(shell):
        wrapped = attach(shell, settings, saved, folder)
        scales, weights = layer_scales(wrapped), converted_weights(wrapped, saved, folder)
    changes: dict[str, Change] = {}
    used: set[str] = set()
    for layer, scale in scales.items():
        for down, up in (_FACTORS, _EMBEDDING_FACTORS):
            pair = f"{PREFIX}{layer}{down}", f"{PREFIX}{layer}{up}"
            if not used.issuperset(pair) and weights.keys() >= {*pair}:
                is_transposed = settings.fan_in_fan_out or down == _EMBEDDING_FACTORS[0]
                first, second = weights[pair[0]], weights[pair[1]]
                ordered = (first.T, second.T) if is_transposed else (second, first)
                changes[f"{layer}.weight"] = Change(*ordered, scale)
                used.update(pair)
    if settings.use_dora or weights.keys() - used:
        other = min(weights.keys() - used, default="DoRA")
        raise UserError(
            f"the adapter is no plain LoRA ({other[:100]}), whose change of the weights is a product",
            where=str(folder),
            fix="compare answers instead of weights",
        )
    return changes


@dataclass(frozen=True)
class Comparison:
    """A target next to its base and the adapters that it may hold.

    Attributes:
        base: The base's weights.
        target: The target's.
        adapters: Changes by name of the weight, by name of the adapter; the first is the reference's if it has one.
    """

    base: BaseWeights
    target: WeightFiles
    adapters: Mapping[str, Mapping[str, Change]]

    def names(self) -> list[str]:
        """Weights to compare: a head that shares the embedding's only if the target or an adapter separates them."""
        own = [
            name
            for name in self.base.shared
            if name in self.target.shapes or any(name in changes for changes in self.adapters.values())
        ]
        return [*self.base.names, *own]

    def saved_name(self, name: str) -> str:
        """The name under which the target holds a weight."""
        return name if name in self.target.shapes else self.base.shared.get(name, name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the base's weight."""
        return self.base.names[self.base.shared.get(name, name)]

    def tensors(self, name: str) -> tuple[torch.Tensor, dict[str, torch.Tensor], list[torch.Tensor | None]]:
        """(the target's weight, the base's by form, each adapter's change of it), the rows that both have."""
        target = self.target[self.saved_name(name)]
        rows = min(len(target), self.shape(name)[0])
        bases: dict[str, torch.Tensor] = {}
        for form, read in self.base.forms.items():
            weight = read(self.base.shared.get(name, name))[:rows]
            if not any(weight.equal(other) for other in bases.values()):
                bases[form] = weight
        changes = [found[name].dense()[:rows] if name in found else None for found in self.adapters.values()]
        return target[:rows], bases, changes


def compare_with(
    target: Path,
    base: Model,
    adapters: Mapping[str, Path],
    quantization: QuantizationSection | None,
    train_dtype: DTypeName,
) -> Comparison:
    """Open a target, its base and adapters; nothing large is read yet.

    Raises:
        UserError: One cannot be read, is not dense, or no plain LoRA.
    """
    weights = open_base(base, quantization, train_dtype)
    files = WeightFiles(target, {**weights.names, **weights.shared}, model_shell(base).base_model_prefix)
    return Comparison(weights, files, {name: adapter_changes(base, folder) for name, folder in adapters.items()})
