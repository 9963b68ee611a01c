"""What a base's layers are, from its configuration alone; remembered on disk, since building them takes seconds."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from reports.errors import UserError, first_line, is_failure
from reports.files import read_json, sha256_file, sha256_value, write_json
from training.home import medbench_home
from training.models.base_model import model_config
from training.models.model import Model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Architecture:
    """The layers of a causal language model.

    Attributes:
        linear: (inputs, outputs) of every linear layer, by its name.
        head: The linear layer that makes logits; None where there is none of its own.
        parameters: Of the whole model; weights that two layers share count once.
        layers: Of the decoder.
        flash_attention: Whether transformers can run it with FlashAttention.
    """

    linear: dict[str, tuple[int, int]]
    head: str | None
    parameters: int
    layers: int
    flash_attention: bool


@functools.lru_cache(maxsize=4)
def architecture(base: Model) -> Architecture:
    """The base's layers.

    Raises:
        UserError: transformers does not know this kind of model.
    """
    config = base.folder / "config.json"
    if not config.is_file():
        return _build(base)
    key = sha256_value([sha256_file(config), importlib.metadata.version("transformers")])
    path = medbench_home() / "architectures" / f"{key[:32]}.json"
    layers = _read(path)
    if layers is None:
        layers = _build(base)
        with contextlib.suppress(OSError):  # it is only remembered where there is room for it
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, asdict(layers))
    return layers


def transformers_config(folder: Path) -> PreTrainedConfig:
    """A model folder's configuration as transformers reads it; nothing is fetched and no code of the folder runs."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def embedding_rows(base: Model) -> int | None:
    """How many token ids the base has an embedding for; None if its configuration does not say."""
    rows = getattr(transformers_config(base.folder).get_text_config(), "vocab_size", None)
    return rows if isinstance(rows, int) else None


@functools.lru_cache(maxsize=4)
def model_shell(base: Model) -> Any:
    """The base's layers without weights, on torch's meta device; made once for a base, to look at and not to change.

    Raises:
        UserError: transformers does not know this kind of model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model_config(base)  # refuses what no model needs
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(transformers_config(base.folder), trust_remote_code=False)
    except BaseException as error:
        if not is_failure(error):
            raise
        raise UserError(
            f"transformers does not know this kind of model: {first_line(error)[:300]}",
            where=str(base.folder / "config.json"),
            fix="give a causal language model of a kind that transformers knows itself",
        ) from error


def _read(path: Path) -> Architecture | None:
    if not path.is_file():
        return None
    try:
        return TypeAdapter(Architecture).validate_python(read_json(path))
    except (UserError, ValidationError):
        return None  # written by nobody we know; it is made anew


def _build(base: Model) -> Architecture:
    from torch import nn

    shell = model_shell(base)
    modules = {name: module for name, module in shell.named_modules() if isinstance(module, nn.Linear)}
    head = shell.get_output_embeddings()
    return Architecture(
        linear={name: (module.in_features, module.out_features) for name, module in modules.items()},
        head=next((name for name, module in modules.items() if module is head), None),
        parameters=sum(parameter.numel() for parameter in shell.parameters()),
        layers=int(getattr(shell.config.get_text_config(), "num_hidden_layers", 1)),
        flash_attention=bool(getattr(shell, "_supports_flash_attn", False)),
    )
