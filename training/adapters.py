"""Finds adapters and checks them against their base before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.errors import UserError
from reports.files import read_json, sha256_file
from training.architecture import architecture
from training.base_model import BaseModel, fetch_from_hub

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on disk.

    Attributes:
        name: Its name in `--models`.
        source: Its hub id, or its folder's name without the folders above it.
        folder: Where its files are.
        sha256: Hash of its weights.
        base_name: The base that its configuration names.
    """

    name: str
    source: str
    folder: Path
    sha256: str
    base_name: str


def find_adapter(name: str, source: str, base: BaseModel) -> Adapter:
    """An adapter given by folder or hub id, checked against the base.

    Raises:
        UserError: It cannot be found, is not a LoRA adapter in safetensors, or belongs to another base.
    """
    source, folder = locate_adapter(source, f"--models {name}={source}")
    config = read_config(folder)
    check_fits(folder, config, base)
    return Adapter(
        name, source, folder, sha256_file(folder / WEIGHTS), str(config.get("base_model_name_or_path") or "")
    )


def locate_adapter(source: str, where: str) -> tuple[str, Path]:
    """(its public name, its folder) of an adapter given by folder or hub id, fetched where it is on the hub.

    Raises:
        UserError: It cannot be found.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve().name, folder
    if source.count("/") != 1 or source.startswith((".", "~", "/")):
        raise UserError("there is no such adapter folder", where=where, fix="check the path, or give a hub id")
    return source, fetch_from_hub(source, None)


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration, with its files checked to be there.

    Raises:
        UserError: A file is missing, or the adapter is not LoRA.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(f"there is no {CONFIG} in it", where=str(folder), fix="give the folder of a PEFT adapter")
    if not (folder / WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        raise UserError(
            "the adapter's weights are pickled, which medbench does not load"
            if pickled
            else f"there is no {WEIGHTS} in it",
            where=str(folder),
            fix="load it in PEFT where you trust it and save it again with save_pretrained",
        )
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise UserError(
            f"this is not a LoRA adapter (peft_type {kind})", where=str(folder / CONFIG), fix="give a LoRA adapter"
        )
    return config


def check_fits(folder: Path, config: dict[str, Any], base: BaseModel) -> None:
    """Compare the names and shapes of an adapter's weights with the base's layers, without loading either.

    Raises:
        UserError: They do not fit, as with an adapter of another base.
    """
    import safetensors

    shapes = architecture(base).linear
    where = str(folder / WEIGHTS)
    fix = f"score it on its own base ({config.get('base_model_name_or_path') or 'unknown'}): --set model.base=..."
    try:
        with safetensors.safe_open(folder / WEIGHTS, "numpy") as weights:
            found = {key: tuple(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"not a safetensors file: {error}", where=where, fix="save the adapter again") from error
    pairs = 0
    for key, shape in found.items():
        module, _, part = key.removeprefix(_PREFIX).rpartition(".lora_")
        if not module:
            continue
        if module not in shapes:
            raise UserError(f"the adapter changes {module}, which {base.name} does not have", where=where, fix=fix)
        inputs, outputs = shapes[module]
        wanted, at = (inputs, -1) if part.startswith("A") else (outputs, 0)
        if shape[at] != wanted:
            raise UserError(
                f"the adapter is for another base: {module} has {'inputs' if at else 'outputs'} {wanted} in"
                f" {base.name}, {shape[at]} in the adapter",
                where=where,
                fix=fix,
            )
        pairs += 1
    if not pairs:
        raise UserError("there are no LoRA weights in it", where=where, fix="give a LoRA adapter")


def check_target_modules(names: Sequence[str], base: BaseModel) -> None:
    """See that the base has linear layers of all these names.

    Raises:
        UserError: It lacks one; the message lists those it has.
    """
    known = sorted({name.rpartition(".")[2] for name in architecture(base).linear} - {"lm_head"})
    missing = [name for name in names if name.rpartition(".")[2] not in known]
    if missing:
        raise UserError(
            f"{base.name} has no linear layer named {', '.join(missing)}",
            where="lora.target_modules",
            fix=f"choose from {', '.join(known)}",
        )
