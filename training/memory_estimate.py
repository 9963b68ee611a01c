"""How much memory a training takes, by component, computed from the recipe, its rows and the base's configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.backends.fused_layers import fuses_layers
from training.backends.packing import token_budget, wants_packing
from training.models.architecture import architecture, model_shell

if TYPE_CHECKING:
    from training.models.device import Device
    from training.models.model import Model
    from training.recipes.recipe import Recipe

_FLOAT32 = 4
_HALF = 2  # bytes of a value in 16 bits
_BYTES_PER_PARAMETER = {"int8": 1.0}
_BLOCK = 64  # weights that share a scale in 4-bit quantisation
_OUTER_BLOCK = 256  # scales that share a scale in double quantisation
_OFFLOADED_AT_ONCE = 5  # checkpoints on their way to or from the machine's memory
_LOGIT_TOKENS = 256  # tokens whose logits are held at once
# Values that a layer keeps for each token: vectors of the hidden and of the feed-forward size, as measured.
_PLAIN_LAYER, _FUSED_LAYER = (13, 5), (9, 3)
_PROCESS = 850 * 10**6  # of a process on a CPU: Python, the libraries, and what loading leaves behind


@dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        recipe: The recipe, with the batch as used.
        base: Its base model, of which the configuration is enough.
        lengths: Tokens of each row.
        device: Where it is trained.
        backend: The backend's name.
    """

    recipe: Recipe
    base: Model
    lengths: Sequence[int]
    device: Device
    backend: str

    @property
    def value_bytes(self) -> int:
        """Bytes of a value in the dtype of the computation."""
        return _FLOAT32 if self.device.default_dtype(self.recipe.model.dtype) == "float32" else _HALF

    @property
    def is_fused(self) -> bool:
        """Whether norms, rotations and gated products are single operations."""
        dtype = self.device.default_dtype(self.recipe.model.dtype)
        return self.backend == "trl" and fuses_layers(self.device, dtype)

    @property
    def tokens(self) -> int:
        """Tokens that pass through the model at once, at most."""
        settings = self.recipe.trainer
        longest_first = sorted(self.lengths, reverse=True)
        if self.backend != "trl" or not wants_packing(self.recipe, self.device):
            return settings.batch_size * longest_first[0]
        is_spared = self.is_fused and bool(settings.gradient_checkpointing) and not self.recipe.lora.dropout
        step = sum(longest_first[: settings.batch_size * settings.gradient_accumulation])
        return min(step, token_budget(settings, longest_first[0], self.device, is_spared=is_spared))


def estimated_memory(training: Training, trainable: int) -> dict[str, int]:
    """Estimated bytes by component: of tensors on a GPU, of the whole process on a CPU.

    Args:
        training: What is trained.
        trainable: Parameters of the adapter.
    """
    sizes = architecture(training.base)
    layers = [math.prod(sizes.linear[name]) for name in sizes.quantisable]
    inside = sum(layers)
    states = 2 if training.recipe.trainer.optimizer.endswith("8bit") else 2 * _FLOAT32
    is_quantised = training.recipe.quantization.method != "none"
    estimate = {
        "base weights": inside * _bytes_per_weight(training) + (sizes.parameters - inside) * training.value_bytes,
        "adapter": trainable * _FLOAT32,
        "gradients": trainable * _FLOAT32,
        "optimizer": trainable * states,
        **_passing(training),
        "one layer dequantised": max(layers, default=0) * training.value_bytes * is_quantised,
        **_process(training),
    }
    return {name: round(size) for name, size in estimate.items()}


def full_finetuning_memory(training: Training) -> dict[str, int]:
    """The same components if all weights were fine-tuned on the same batches; computed, never measured.

    Weights and gradients in the dtype of the computation, the two states of AdamW in 32 bits for each weight; a copy of
    the weights in 32 bits, which some trainers keep beside them, is not counted.
    """
    total = architecture(training.base).parameters
    return {
        "base weights": total * training.value_bytes,
        "adapter": 0,
        "gradients": total * training.value_bytes,
        "optimizer": total * 2 * _FLOAT32,
        **_passing(training),
        "one layer dequantised": 0,
        **_process(training),
    }


def _process(training: Training) -> dict[str, int]:
    return {"process and libraries": _PROCESS} if training.device.type == "cpu" else {}


def _passing(training: Training) -> dict[str, int]:
    """What a batch needs while it passes through the model, whatever is trained; the roughest part.

    With gradient checkpointing only one layer's values are held at once, and each other layer keeps its input,
    offloaded or not.
    """
    config = model_shell(training.base).config.get_text_config()
    hidden, layers = int(config.hidden_size), int(config.num_hidden_layers)
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    tokens, size = training.tokens, training.value_bytes
    of_hidden, of_inner = _FUSED_LAYER if training.is_fused else _PLAIN_LAYER
    one_layer = tokens * (of_hidden * hidden + of_inner * inner) * size
    offloaded = _OFFLOADED_AT_ONCE if training.device.supports_pinned_memory else layers
    kept = {
        False: (layers - 1) * one_layer,
        True: layers * tokens * hidden * size,
        "offload": offloaded * tokens * hidden * size,
    }[training.recipe.trainer.gradient_checkpointing]
    logits = 3 * min(_LOGIT_TOKENS, tokens) * int(config.vocab_size) * _FLOAT32
    return {"activations": kept + one_layer, "logits": logits}


def _bytes_per_weight(training: Training) -> float:
    quantization = training.recipe.quantization
    if not quantization.is_4bit:
        return _BYTES_PER_PARAMETER.get(quantization.method, training.value_bytes)
    if quantization.double_quant is False:
        return 0.5 + _FLOAT32 / _BLOCK
    return 0.5 + 1 / _BLOCK + _FLOAT32 / (_BLOCK * _OUTER_BLOCK)
