"""Finds adapters and checks them against their base before anything is loaded: they may come from anyone."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from reports.errors import UserError
from reports.files import read_json, sha256_file
from reports.names import is_hub_id
from tasks.rendering import load_tokenizer
from training.models.adapter_config import LoraSettings, check_config
from training.models.adapter_hash import settings_hash
from training.models.architecture import architecture, model_shell
from training.models.base_model import fetch_from_hub
from training.models.device import DTypeName, torch_dtype
from training.models.links import refuse_links_out
from training.models.model import Model
from training.models.safetensors_file import FLOATS, Tensor, check_finite, read_header

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PREFIX = "base_model.model."  # of all names that PEFT saves
_PICKLED = ("adapter_model.bin", "adapter_model.pt", "pytorch_model.bin")
_MOST_CONFIG_BYTES = 16 << 20


def find_adapter(name: str, source: str, base: Model, dtype: DTypeName = "float32") -> Model:
    """An adapter given by folder or hub id, checked against the base.

    Args:
        name: Its name in `--models`.
        source: Its folder or hub id.
        base: The base.
        dtype: What it will be scored in, which its values have to fit.

    Raises:
        UserError: It cannot be found, is not a LoRA adapter in safetensors, is broken, or belongs to another base.
    """
    source, folder = locate_adapter(source, f"--models {name}={source}")
    settings = read_settings(folder)
    _check_fits(folder, settings, base)
    check_finite(folder / WEIGHTS)
    _check_range(folder, settings, dtype)
    sha256, config_sha256 = adapter_hashes(folder)
    return Model(
        name,
        "adapter",
        source,
        folder,
        sha256,
        tokenizer=base.tokenizer,
        public_name=source,
        base_name=settings.base_model_name_or_path or "",
        config_sha256=config_sha256,
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


def adapter_hashes(folder: Path) -> tuple[str, str]:
    """(hash of the weights, hash of the settings) of an adapter whose files `read_settings` has checked."""
    return sha256_file(folder / WEIGHTS), settings_hash(folder / CONFIG)


def _check_fits(folder: Path, settings: LoraSettings, base: Model) -> None:
    """Compare names, shapes and kinds of an adapter's weights with its settings and the base's layers; loads neither.

    PEFT loads whatever has the name of a weight, the base's own included, so that only what the settings declare is
    accepted.

    Raises:
        UserError: They do not fit, as with an adapter of another base, or one that is not whole.
    """
    where = str(folder / WEIGHTS)
    layers = architecture(base)
    declared = {module for module in layers.linear if settings.wants(module)}
    if settings.is_all_linear:
        declared -= {layers.head}
    fix = f"score it on its own base ({settings.base_model_name_or_path or 'unknown'}): --set model.base=..."
    parts: dict[str, set[str]] = {}
    for key, tensor in read_header(folder / WEIGHTS).items():
        if tensor.dtype not in FLOATS:
            raise UserError(f"{key} is of type {tensor.dtype}, not a float", where=where, fix="save the adapter again")
        module, _, part = key.removeprefix(PREFIX).rpartition(".lora_")
        if not key.startswith(PREFIX) or not module:
            _check_extra(key, tensor, settings, base, folder)
            continue
        if module not in layers.linear:
            raise UserError(f"the adapter changes {module}, which {base.source} does not have", where=where, fix=fix)
        wanted = _shapes(settings, layers.linear[module], settings.rank_of(module)).get(part)
        if wanted is None or module not in declared:
            raise _undeclared(key, base, where)
        if tensor.shape != wanted:
            raise _misfit(module, part, tensor.shape, wanted, base, where, fix)
        parts.setdefault(module, set()).add(part.removesuffix(".weight"))
    if not parts:
        raise UserError("there are no LoRA weights in it", where=where, fix="give a LoRA adapter")
    whole = {part.removesuffix(".weight") for part in _shapes(settings, (1, 1), 1)}
    half = [module for module, names in parts.items() if names != whole]
    missing = sorted({*half, *(declared - {layers.head} - parts.keys())})
    if missing:
        raise UserError(
            f"weights are missing: of {missing[0]}{f' and {len(missing) - 1} more layers' if missing[1:] else ''}",
            where=where,
            fix="fetch or save the adapter again",
        )


def _check_range(folder: Path, settings: LoraSettings, dtype: DTypeName) -> None:
    """Check that a dtype can hold the weights and what they change in the base's; one layer is in memory at a time.

    No entry of up @ down is larger than the product of the lengths of a row and a column (Cauchy-Schwarz). Norms square
    what layers give out in float32, so that the square has to fit too.

    Raises:
        UserError: It cannot.
    """
    import torch
    from safetensors import safe_open

    most = min(torch.finfo(torch_dtype(dtype)).max, math.sqrt(torch.finfo(torch.float32).max))
    where, fix = str(folder / WEIGHTS), "train it again, or correct lora_alpha where that is wrong"
    with safe_open(folder / WEIGHTS, "pt") as opened:
        for key in opened.keys():  # noqa: SIM118 - no mapping
            tensor = opened.get_tensor(key).double()
            if tensor.numel() and float(tensor.abs().max()) > most:
                raise UserError(f"the weights {key} are too large for {dtype}", where=where, fix=fix)
            module, part, _ = key.removeprefix(PREFIX).partition(".lora_A.weight")
            if part:
                up = opened.get_tensor(key.replace(".lora_A.", ".lora_B.")).double()
                scale = abs(settings.scale_of(module))
                change = scale * float(up.norm(dim=1).max() * tensor.norm(dim=0).max())
                if not max(scale, change) <= most:
                    what = f"a scale of {scale:.3g} changes {module} by up to {change:.3g}, too much for {dtype}"
                    raise UserError(what, where=where, fix=fix)


def _shapes(settings: LoraSettings, layer: tuple[int, int], rank: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the parts that an adapter with these settings has on a layer of (inputs, outputs), by their names."""
    inputs, outputs = layer
    shapes: dict[str, tuple[int, ...]] = {"A.weight": (rank, inputs), "B.weight": (outputs, rank)}
    if settings.lora_bias:
        shapes["B.bias"] = (outputs,)
    if settings.use_dora:  # as PEFT saves it, and as it names it in memory
        shapes |= {"magnitude_vector": (outputs,), "magnitude_vector.weight": (outputs,)}
    return shapes


def _undeclared(key: str, base: Model, where: str) -> UserError:
    return UserError(
        f"the extra weight {key} is not declared in {CONFIG}; it would overwrite {base.source} for all models",
        where=where,
        fix="save the adapter with PEFT's save_pretrained and its own configuration; weights that it replaces whole"
        " belong into modules_to_save",
    )


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


def _check_extra(key: str, tensor: Tensor, settings: LoraSettings, base: Model, folder: Path) -> None:
    """Check that a weight outside LoRA is of a module that the adapter declares to save, or a whole embedding."""
    where, shell = str(folder / WEIGHTS), model_shell(base)
    name = key.removeprefix(PREFIX)
    own = shell.state_dict().get(name)
    saved = any(name.startswith(f"{module}.") for module, _ in shell.named_modules() if settings.saves(module))
    if key.startswith(PREFIX) and not saved and _embedding_of(key) in _embedding_layers(shell):
        _check_embedding(key, tensor, base, folder)
        return
    if not key.startswith(PREFIX) or own is None or not saved:
        raise _undeclared(key, base, where)
    if tuple(own.shape) != tensor.shape:
        raise UserError(
            f"the adapter is for another base: {name} has the shape {tuple(own.shape)} in {base.source},"
            f" {tensor.shape} in the adapter",
            where=where,
            fix="score it on its own base: --set model.base=...",
        )


def embedding_weights(folder: Path, layers: Collection[str]) -> dict[str, Any]:
    """The embeddings (tensors) that an adapter brings whole without declaring them, by layer.

    Args:
        folder: The adapter's folder.
        layers: Names of the base's embedding and head.
    """
    from safetensors import safe_open

    settings = read_settings(folder)
    with safe_open(folder / WEIGHTS, "pt") as opened:
        keys = {_embedding_of(key): key for key in opened.keys()}  # noqa: SIM118 - no mapping
        return {name: opened.get_tensor(keys[name]) for name in layers if name in keys and not settings.saves(name)}


def is_only_lora(folder: Path) -> bool:
    """Whether an adapter has no weights beside LoRA's, or is not trained yet."""
    path = folder / WEIGHTS
    return not path.is_file() or all(".lora_" in key for key in read_header(path))


def _embedding_of(key: str) -> str:
    """The layer whose whole weight a key names, which PEFT's own layer may be around; empty for other keys."""
    name = key.removeprefix(PREFIX)
    return name.removesuffix(".weight").removesuffix(".base_layer") if name.endswith(".weight") else ""


def _embedding_layers(shell: Any) -> list[str]:
    layers = (shell.get_input_embeddings(), shell.get_output_embeddings())
    return [name for name, module in shell.named_modules() if module in layers]


def _check_embedding(key: str, tensor: Tensor, base: Model, folder: Path) -> None:
    """Check a whole embedding that is not declared, which PEFT saves where training added tokens to the vocabulary.

    Raises:
        UserError: The adapter's tokenizer has no more tokens than the base's, or the embedding has not enough rows.
    """
    name, shell = _embedding_of(key), model_shell(base)
    base_size = len(load_tokenizer(str(base.tokenizer)))
    size = len(load_tokenizer(str(folder))) if (folder / "tokenizer_config.json").is_file() else 0
    if size <= base_size:
        if not _is_base_weight(name, key, base, folder):
            raise _undeclared(key, base, str(folder / WEIGHTS))
        return
    width = shell.get_submodule(name).weight.shape[1]
    if len(tensor.shape) != 2 or tensor.shape[1] != width or tensor.shape[0] < size:  # noqa: PLR2004
        raise UserError(
            f"the adapter is for another base: {name} has the shape {tensor.shape} for {size} tokens of width {width}",
            where=str(folder / WEIGHTS),
            fix="score it on its own base: --set model.base=...",
        )


def _is_base_weight(name: str, key: str, base: Model, folder: Path) -> bool:
    """Whether an adapter's copy of an embedding has the base's values, as PEFT saves it beside LoRA of the head."""
    import torch
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, "pt") as opened:
        copy = opened.get_tensor(key)
    for wanted in (name, *_embedding_layers(model_shell(base))):  # a tied head has no weight of its own
        for path in sorted(base.folder.glob("*.safetensors")):
            with safe_open(path, "pt") as opened:
                if f"{wanted}.weight" in opened.keys():  # noqa: SIM118 - no mapping
                    own = opened.get_tensor(f"{wanted}.weight")
                    return bool(torch.equal(own, copy.to(own.dtype)))
    return False


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
