"""Measured speed of a base's layers on this machine, from passes over a few of them with random weights."""

from __future__ import annotations

import copy
import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.errors import is_failure
from training.models.architecture import architecture, transformers_config
from training.models.device import torch_dtype

if TYPE_CHECKING:
    from training.models.device import Device
    from training.models.model import Model

_LAYERS = 2
_VOCABULARY = 64  # the embedding of the measured model
_MOST_WEIGHTS = 1_000_000_000  # of the measured layers; larger ones take too long to make
_ROW = 256  # tokens
_BEFORE = 32  # tokens before a decoding step
_PASSES = 3
_LONGEST = 1.0  # seconds after which no further pass is timed


@dataclass(frozen=True)
class LayerSpeed:
    """Seconds of one layer.

    Attributes:
        token: For each token of a prompt, in batches of the device.
        step: For a decoding step of a full batch.
    """

    token: float
    step: float


@functools.lru_cache(maxsize=4)
def layer_speed(base: Model, device: Device, dtype: str) -> LayerSpeed | None:
    """The speed of a base's layers, measured in about a second; None if they are too large or cannot be made."""
    sizes = architecture(base)
    if not sizes.layers or _LAYERS * sizes.layer_weights / sizes.layers > _MOST_WEIGHTS:
        return None
    try:
        return _measured(_small_model(base, device, dtype), device)
    except BaseException as error:  # any class of transformers' models
        if not is_failure(error):
            raise
        return None


def _small_model(base: Model, device: Device, dtype: str) -> Any:
    """The first layers of a base with random weights, with the attention that scoring uses."""
    from transformers import AutoModelForCausalLM

    from harness.engines.attention import use_own_attention

    config = copy.deepcopy(transformers_config(base.folder).get_text_config())
    config.num_hidden_layers, config.vocab_size, config.pad_token_id = _LAYERS, _VOCABULARY, None
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:_LAYERS]
    model = AutoModelForCausalLM.from_config(config, dtype=torch_dtype(dtype), trust_remote_code=False)  # type: ignore[arg-type]
    model = model.to(device.place).eval()
    use_own_attention(model, device)
    return model.base_model


def _measured(decoder: Any, device: Device) -> LayerSpeed:
    import torch
    from transformers import DynamicCache

    def tokens(rows: int, length: int) -> Any:
        return torch.randint(0, _VOCABULARY, (rows, length), device=device.place)

    rows = max(1, device.batch_tokens // _ROW)
    prompts, steps = tokens(rows, _ROW), tokens(device.batch_rows, 1)
    with torch.inference_mode():
        reading = _seconds(lambda: decoder(prompts, use_cache=False), device)
        cache = DynamicCache()
        decoder(tokens(device.batch_rows, _BEFORE), past_key_values=cache, use_cache=True)
        decoding = _seconds(lambda: decoder(steps, past_key_values=cache, use_cache=True), device)
    return LayerSpeed(reading / (rows * _ROW * _LAYERS), decoding / _LAYERS)


def _seconds(compute: Callable[[], Any], device: Device) -> float:
    """The median time of a pass, after one that is not counted; of fewer passes where they are slow."""
    compute()
    times: list[float] = []
    while len(times) < _PASSES and sum(times) < _LONGEST:
        started = time.perf_counter()
        compute()
        device.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
