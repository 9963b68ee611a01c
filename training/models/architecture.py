"""What a base's layers are, from its configuration alone; remembered on disk, since building them takes seconds."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from reports.errors import UserError, first_line, is_failure
from reports.files import read_json, sha256_file, sha256_value, write_json
from reports.home import medbench_home
from training.models.base_model import model_config
from training.models.model import Model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

INPUTS, GATED = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")  # layers that read the same states


@dataclass(frozen=True)
class Architecture:
    """The layers of a causal language model.

    Attributes:
        linear: (inputs, outputs) of every linear layer, by its name; GPT-2's Conv1D is one.
        head: The linear layer that makes logits; None where there is none of its own.
        quantisable: Names of the linear layers that bitsandbytes replaces: neither the head nor linear layers of a
            model's own class, such as Falcon's.
        layer_weights: Weights of all matrices but embeddings and head, those of experts in one tensor included.
        parameters: Of the whole model; weights that two layers share count once.
        layers: Of the decoder.
        flash_attention: Whether transformers can run it with FlashAttention.
    """

    linear: dict[str, tuple[int, int]]
    head: str | None
    quantisable: list[str]
    layer_weights: int
    parameters: int
    layers: int
    flash_attention: bool

    @property
    def quantisable_weights(self) -> int:
        """Number of weights of the layers that bitsandbytes replaces."""
        return sum(math.prod(self.linear[name]) for name in self.quantisable)

    @property
    def quantisable_share(self) -> float:
        """Share of `layer_weights` that bitsandbytes quantises."""
        return self.quantisable_weights / self.layer_weights if self.layer_weights else 0.0


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
    from transformers.pytorch_utils import Conv1D

    shell = model_shell(base)
    linear = {name: module for name, module in shell.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    head = shell.get_output_embeddings()
    embeddings = {id(module.weight) for module in shell.modules() if isinstance(module, nn.Embedding) or module is head}
    return Architecture(
        linear={name: _shape(module) for name, module in linear.items()},
        head=next((name for name, module in linear.items() if module is head), None),
        quantisable=_quantisable(shell, linear),
        layer_weights=sum(
            parameter.numel()
            for parameter in shell.parameters()
            if parameter.ndim > 1 and id(parameter) not in embeddings
        ),
        parameters=sum(parameter.numel() for parameter in shell.parameters()),
        layers=int(getattr(shell.config.get_text_config(), "num_hidden_layers", 1)),
        flash_attention=bool(shell._supports_flash_attn),  # noqa: SLF001 - transformers has no public name for it
    )


def _shape(layer: Any) -> tuple[int, int]:
    """(inputs, outputs) of a linear layer."""
    from torch import nn

    inputs, outputs = layer.weight.shape[::-1] if isinstance(layer, nn.Linear) else layer.weight.shape
    return int(inputs), int(outputs)


def _quantisable(shell: Any, linear: Mapping[str, Any]) -> list[str]:
    """Names of the layers that transformers has bitsandbytes replace (`replace_with_bnb_linear`)."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import HfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    own = getattr(shell.config, "quantization_config", None) or {}  # of a checkpoint that is quantised already
    skipped = HfQuantizer.get_modules_to_not_convert(
        shell,
        own.get("llm_int8_skip_modules") if isinstance(own, dict) else None,
        shell._keep_in_fp32_modules,  # noqa: SLF001 - transformers has no public name for it
    )
    return [
        name
        for name, module in linear.items()
        if (type(module) is nn.Linear or isinstance(module, Conv1D)) and should_convert_module(name, skipped)
    ]
