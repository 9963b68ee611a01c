"""Finds adapters, checks them against their base before anything is loaded, and loads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.errors import UserError
from reports.files import read_json, sha256_file
from reports.names import by_number, is_hub_id
from training.models.adapter_check import check_fits
from training.models.adapter_config import LoraSettings, check_config
from training.models.adapter_hash import settings_hash
from training.models.adapter_layers import load_weights, saved_names
from training.models.architecture import architecture
from training.models.base_model import fetch_from_hub
from training.models.device import DTypeName
from training.models.links import refuse_links_out
from training.models.model import Model
from training.models.safetensors_file import read_header

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PICKLED = ("adapter_model.bin", "adapter_model.pt", "pytorch_model.bin")
_MOST_NAMED = 10
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
    settings = read_settings(folder, str(base.folder))
    check_fits(folder / WEIGHTS, settings, base, dtype)
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


def read_settings(folder: Path, base: str = "BASE") -> LoraSettings:
    """The settings in an adapter's configuration, with its files checked to be there.

    Args:
        folder: The adapter's.
        base: Folder or hub id of its base, for messages.

    Raises:
        UserError: A file is missing, or the adapter is not one that medbench loads.
    """
    refuse_links_out(folder)
    if not (folder / CONFIG).is_file():
        raise _no_adapter(folder)
    if not (folder / WEIGHTS).is_file():
        pickled = next((name for name in _PICKLED if (folder / name).is_file()), None)
        raise UserError(
            f"the adapter's weights are pickled ({pickled}), which can run any code when loaded; medbench does not"
            if pickled
            else f"there is no {WEIGHTS} in it",
            where=str(folder),
            fix="where you trust it, load it with PEFT and save it again: save_pretrained writes safetensors",
        )
    return check_config(read_json(folder / CONFIG, _MOST_CONFIG_BYTES), folder / CONFIG, base)


def adapter_hashes(folder: Path) -> tuple[str, str]:
    """(hash of the weights, hash of the settings) of an adapter whose files `read_settings` has checked."""
    return sha256_file(folder / WEIGHTS), settings_hash(folder / CONFIG)


def _no_adapter(folder: Path) -> UserError:
    """Error for a folder without an adapter, naming those below it, such as a trainer's checkpoints."""
    paths = [
        path.parent.relative_to(folder).as_posix()
        for depth in ("*", "*/*")
        for path in folder.glob(f"{depth}/{CONFIG}")
    ]
    below = sorted(paths, key=by_number)
    if not below:
        return UserError(f"there is no {CONFIG} in it", where=str(folder), fix=_other_fix(folder))
    more = f" and {len(below) - _MOST_NAMED} more" if len(below) > _MOST_NAMED else ""
    pattern = "checkpoint-*" if all(re.fullmatch(r"checkpoint-\d+", path) for path in below) else "*"
    everything = f", or all of them: 'NAME={folder}/{pattern}'" if all("/" not in path for path in below) else ""
    return UserError(
        f"it is no adapter but holds {', '.join(below[:_MOST_NAMED])}{more}",
        where=str(folder),
        fix=f"name one of them, such as NAME={folder / below[-1]}{everything}",
    )


def _other_fix(folder: Path) -> str:
    """What to give instead of a folder that holds neither an adapter nor a model's configuration."""
    files = sorted(path.name for path in folder.glob("*.gguf"))
    if files:
        return f"name the file: NAME={folder / files[0]}"
    return "give the folder of a PEFT adapter, or of a whole model with its config.json"


def load_adapter(model: Any, folder: Path) -> PeftModel:
    """Put an adapter's layers with their weights into a model, without writing to the model's own parameters.

    Args:
        model: The base that the adapter was checked against.
        folder: The adapter's.

    Raises:
        UserError: PEFT cannot load it.
    """
    from safetensors.torch import load_file

    settings = read_settings(folder)
    return load_weights(model, settings, saved_names(load_file(folder / WEIGHTS), settings), folder)


def is_plain_lora(folder: Path) -> bool:
    """Whether an adapter is one that every engine with LoRA loads: low-rank weights alone, by the names PEFT saves.

    One that is not trained yet is.
    """
    if not (folder / WEIGHTS).is_file():
        return True
    names = read_header(folder / WEIGHTS)
    return read_settings(folder).is_plain and all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in names)


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
