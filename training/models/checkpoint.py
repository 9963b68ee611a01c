"""Compares the weights that a model's configuration means with the headers of its files, before either takes memory."""

from __future__ import annotations

import functools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reports.errors import UserError
from reports.files import read_json
from training.models.architecture import model_shell
from training.models.base_model import config_settings, model_config
from training.models.model import Model
from training.models.safetensors_file import FLOATS, Tensor, read_header

_WHOLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_MOST_INDEX_BYTES = 64 << 20
_PER_BYTE = {"bitsandbytes": {"U8": 2, "I8": 1}}  # packed weights in a byte of a quantised tensor, by method and dtype
_INDEX_IN_NAME = re.compile(r"\.([0-9]{1,6})(?=\.)")  # of a layer in a list, such as `.3` in `layers.3.mlp.weight`
_STATE = re.compile(r"\.weight\.")  # of a weight that bitsandbytes quantised, such as `up_proj.weight.absmax`
_MOST_PER_BYTE = 4  # of methods that pack 2 bits
_INTEGER_BYTES = {"U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8}


@functools.lru_cache(maxsize=4)
def check_checkpoint(base: Model, quantised_by: str | None) -> None:
    """See that the files hold the weights that the configuration means; transformers would allocate them all first.

    Done once for a model, whose hashes tell that it is the same.

    Args:
        base: The model.
        quantised_by: What its checkpoint is quantised with; None if it is not.

    Raises:
        UserError: The configuration is of a larger or another model.
    """
    tensors = {name: tensor for path in weight_files(base.folder) for name, tensor in read_header(path).items()}
    config = base.folder / "config.json"
    if quantised_by == "bitsandbytes" and not any(tensor.dtype in _INTEGER_BYTES for tensor in tensors.values()):
        raise UserError(
            "by its quantization_config, bitsandbytes quantised the weights, but none in the files is",
            where=str(config),
            fix="remove quantization_config to use the weights as they are, or fetch the model again",
        )
    for key, setting in config_settings(model_config(base)):
        is_count = "layers" in key and not key.startswith("max_")  # Qwen2's max_window_layers may exceed its layers
        if is_count and isinstance(setting, int) and setting > len(tensors):
            raise _misfit(f"{key} is {setting}, but the files hold {len(tensors)} tensors", config)
    shell = model_shell(base)
    other = [(name, own, count) for name, own, count in _layer_counts(shell, tensors) if own != count]
    for name, own, count in other:
        if own < count:
            raise _misfit(f"by the configuration, {name} has {own} layers, in the files {count}", config)
    for name, weight in shell.state_dict().items():
        tensor = tensors.get(name)
        if tensor is not None and tensor.dtype in FLOATS and math.prod(tensor.shape) != weight.numel():
            shapes = f"the shape {list(weight.shape)}, in the files {list(tensor.shape)}"
            raise _misfit(f"by the configuration, {name} has {shapes}", config)
    meant = sum(weight.numel() for weight in shell.parameters())
    held = sum(
        math.prod(tensor.shape) * _weights_in(tensor, quantised_by)
        for name, tensor in tensors.items()
        if not _STATE.search(name)
    )
    if meant > held:
        missing = next((f", without {name}" for name in shell.state_dict() if name not in tensors), "")
        missing += "".join(f"; {name} has {own} layers, in the files {count}" for name, own, count in other[:1])
        raise _misfit(
            f"the configuration means {meant:,} weights, but the files hold at most {held:,}{missing}", config
        )


def _layer_counts(shell: Any, tensors: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """(name, layers by the configuration, layers in the files) of each list of layers that the files name.

    Tensors that the model's class leaves out do not count, nor layers for predicting further tokens, which follow the
    others. Names are compared without the parts that files write elsewhere or not at all, such as `model.`.
    """
    from torch import nn

    def key(name: str) -> str:
        return ".".join(part for part in name.split(".") if part not in ("model", shell.base_model_prefix))

    ignored = [re.compile(pattern) for pattern in shell._keys_to_ignore_on_load_unexpected or ()]  # noqa: SLF001
    counts: dict[str, int] = defaultdict(int)
    for tensor in tensors:
        if not any(pattern.search(tensor) for pattern in ignored):
            for place in _INDEX_IN_NAME.finditer(tensor):
                name = key(tensor[: place.start()])
                counts[name] = max(counts[name], int(place[1]) + 1)
    further = getattr(shell.config.get_text_config(), "num_nextn_predict_layers", None)
    further = further if isinstance(further, int) else 0
    for name, module in shell.named_modules():
        held = counts.get(key(name), 0) if isinstance(module, nn.ModuleList) else 0
        if held:
            yield name, len(module), max(len(module), held - further) if held > len(module) else held


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads: the one whole file, or those of the index, which was checked before."""
    if not (folder / _WHOLE).is_file() and (folder / _INDEX).is_file():
        index = read_json(folder / _INDEX, _MOST_INDEX_BYTES)
        return sorted({folder / str(name) for name in index["weight_map"].values()})
    return [path for path in (folder / _WHOLE,) if path.is_file()]


def _weights_in(tensor: Tensor, quantised_by: str | None) -> int:
    """How many weights an element of a tensor holds at most."""
    if quantised_by is None or tensor.dtype not in _INTEGER_BYTES:
        return 1
    packed = _PER_BYTE.get(quantised_by)
    return _INTEGER_BYTES[tensor.dtype] * _MOST_PER_BYTE if packed is None else packed.get(tensor.dtype, 1)


def _misfit(what: str, config: Path) -> UserError:
    return UserError(what, where=str(config), fix="fetch the model again, its configuration and its weights together")
