"""Finds adapters and checks them against their base before anything is loaded: they may come from anyone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.errors import UserError
from reports.files import read_json, sha256_file
from reports.names import is_hub_id
from training.models.adapter_config import LoraSettings, check_config
from training.models.architecture import architecture, model_shell
from training.models.base_model import fetch_from_hub
from training.models.links import refuse_links_out
from training.models.model import Model
from training.models.safetensors_file import FLOATS, Tensor, check_finite, read_header

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_PICKLED = ("adapter_model.bin", "adapter_model.pt", "pytorch_model.bin")
_MOST_CONFIG_BYTES = 16 << 20


def find_adapter(name: str, source: str, base: Model) -> Model:
    """An adapter given by folder or hub id, checked against the base.

    Raises:
        UserError: It cannot be found, is not a LoRA adapter in safetensors, is broken, or belongs to another base.
    """
    source, folder = locate_adapter(source, f"--models {name}={source}")
    settings = read_settings(folder)
    _check_fits(folder, settings, base)
    check_finite(folder / WEIGHTS)
    return Model(
        name,
        "adapter",
        source,
        folder,
        sha256_file(folder / WEIGHTS),
        tokenizer=base.tokenizer,
        public_name=source,
        base_name=settings.base_model_name_or_path or "",
        quantization=base.quantization,
    )


def locate_adapter(source: str, where: str) -> tuple[str, Path]:
    """(its public name, its folder) of an adapter given by folder or hub id, fetched where it is on the hub.

    Raises:
        UserError: It cannot be found.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve().name, folder
    if not is_hub_id(source):
        raise UserError("there is no such adapter folder", where=where, fix="check the path, or give a hub id")
    return source, fetch_from_hub(source, None)


def read_settings(folder: Path) -> LoraSettings:
    """The settings in an adapter's configuration, with its files checked to be there.

    Raises:
        UserError: A file is missing, or the adapter is not one that medbench loads.
    """
    refuse_links_out(folder)
    if not (folder / CONFIG).is_file():
        raise UserError(f"there is no {CONFIG} in it", where=str(folder), fix="give the folder of a PEFT adapter")
    if not (folder / WEIGHTS).is_file():
        pickled = next((name for name in _PICKLED if (folder / name).is_file()), None)
        raise UserError(
            f"the adapter's weights are pickled ({pickled}), which can run any code when loaded; medbench does not"
            if pickled
            else f"there is no {WEIGHTS} in it",
            where=str(folder),
            fix="where you trust it, load it with PEFT and save it again: save_pretrained writes safetensors",
        )
    return check_config(read_json(folder / CONFIG, _MOST_CONFIG_BYTES), folder / CONFIG)


def _check_fits(folder: Path, settings: LoraSettings, base: Model) -> None:
    """Compare names, shapes and kinds of an adapter's weights with its settings and the base's layers; loads neither.

    Raises:
        UserError: They do not fit, as with an adapter of another base, or one that is not whole.
    """
    where = str(folder / WEIGHTS)
    held = read_header(folder / WEIGHTS)
    shapes = architecture(base).linear
    fix = f"score it on its own base ({settings.base_model_name_or_path or 'unknown'}): --set model.base=..."
    parts: dict[str, set[str]] = {}
    for key, tensor in held.items():
        if tensor.dtype not in FLOATS:
            raise UserError(f"{key} is of type {tensor.dtype}, not a float", where=where, fix="save the adapter again")
        module, _, part = key.removeprefix(_PREFIX).rpartition(".lora_")
        if not module:
            _check_saved(key, tensor, base, where)
            continue
        if module not in shapes:
            raise UserError(f"the adapter changes {module}, which {base.source} does not have", where=where, fix=fix)
        wanted = _shape(part, shapes[module], settings.rank_of(module))
        if wanted is None:
            raise UserError(f"{key} is no weight of a LoRA adapter", where=where, fix="save the adapter with PEFT")
        if tensor.shape != wanted:
            raise _misfit(module, part, tensor.shape, wanted, base, where, fix)
        parts.setdefault(module, set()).add(part)
    if not parts:
        raise UserError("there are no LoRA weights in it", where=where, fix="give a LoRA adapter")
    wanted_modules = {module for module in shapes if settings.wants(module)} - {architecture(base).head}
    half = [module for module, names in parts.items() if not {"A.weight", "B.weight"} <= names]
    missing = sorted({*half, *(wanted_modules - parts.keys())})
    if missing:
        raise UserError(
            f"weights are missing: of {missing[0]}{f' and {len(missing) - 1} more layers' if missing[1:] else ''}",
            where=where,
            fix="fetch or save the adapter again",
        )


def _shape(part: str, layer: tuple[int, int], rank: int) -> tuple[int, ...] | None:
    """The shape that a part of LoRA has on a layer of (inputs, outputs); None if there is no such part."""
    inputs, outputs = layer
    return {
        "A.weight": (rank, inputs),
        "B.weight": (outputs, rank),
        "B.bias": (outputs,),
        "magnitude_vector": (outputs,),
        "magnitude_vector.weight": (outputs,),
    }.get(part)


def _misfit(
    module: str, part: str, actual: tuple[int, ...], wanted: tuple[int, ...], base: Model, where: str, fix: str
) -> UserError:
    """Error for a weight of the wrong shape, naming the rank or the base as its cause."""
    rank_at = {"A.weight": 0, "B.weight": 1}.get(part)
    if len(actual) != len(wanted):
        return UserError(f"{module}.lora_{part} has the shape {actual}, not {wanted}", where=where, fix=fix)
    if rank_at is not None and actual[1 - rank_at] == wanted[1 - rank_at]:
        what = f"{module} has rank {actual[rank_at]}, where {CONFIG} declares {wanted[rank_at]}"
        return UserError(what, where=where, fix="save the adapter again with its own configuration")
    side, at = ("inputs", 1) if part == "A.weight" else ("outputs", 0)
    return UserError(
        f"the adapter is for another base: {module} has {side} {wanted[at]} in {base.source},"
        f" {actual[at]} in the adapter",
        where=where,
        fix=fix,
    )


def _check_saved(key: str, tensor: Tensor, base: Model, where: str) -> None:
    """Check that a weight outside LoRA replaces one of the base's, as in `modules_to_save`."""
    name = key.removeprefix(_PREFIX).replace(".modules_to_save.", ".").replace(".base_layer.", ".")
    own = model_shell(base).state_dict().get(name)
    if own is None:
        raise UserError(f"the extra weight {key} is of no layer of {base.source}", where=where, fix="save it again")
    if tuple(own.shape) != tensor.shape:
        raise UserError(
            f"the adapter is for another base: {name} has the shape {tuple(own.shape)} in {base.source},"
            f" {tensor.shape} in the adapter",
            where=where,
            fix="score it on its own base: --set model.base=...",
        )


def check_target_modules(names: Sequence[str], base: Model) -> None:
    """Check that the base has linear layers of all these names.

    Raises:
        UserError: It lacks one; the message lists those it has.
    """
    available = sorted({name.rpartition(".")[2] for name in architecture(base).linear} - {"lm_head"})
    missing = [name for name in names if name.rpartition(".")[2] not in available]
    if missing:
        raise UserError(
            f"{base.source} has no linear layer named {', '.join(missing)}",
            where="lora.target_modules",
            fix=f"choose from {', '.join(available)}",
        )
