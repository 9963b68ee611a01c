"""How much memory a training takes on a GPU, by component, computed from the recipe and the base's configuration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from training.models.architecture import architecture, model_shell

if TYPE_CHECKING:
    from training.models.model import Model
    from training.recipes.recipe import Recipe

_FLOAT32 = 4
_HALF = 2  # bytes of a value in 16 bits
_BYTES_PER_PARAMETER = {"int8": 1.0, "none": 2.0}
_BLOCK = 64  # weights that share a scale in 4-bit quantisation
_OUTER_BLOCK = 256  # scales that share a scale in double quantisation
_OFFLOADED_AT_ONCE = 5  # checkpoints on their way to or from the machine's memory, as TRL streams them
_LOGIT_TOKENS = 256  # tokens whose logits TRL holds at once


def estimated_memory(recipe: Recipe, base: Model, longest: int, trainable: int) -> dict[str, int]:
    """Estimated bytes by component of a recipe's training on a GPU in 16 bits.

    Args:
        recipe: The recipe, with the batch as used.
        base: Its base model, of which the configuration is enough.
        longest: Tokens of the longest row.
        trainable: Parameters of the adapter.
    """
    sizes = architecture(base)
    layers = [math.prod(sizes.linear[name]) for name in sizes.quantisable]
    inside = sum(layers)
    states = 2 if recipe.trainer.optimizer.endswith("8bit") else 2 * _FLOAT32
    estimate = {
        "base weights": inside * _bytes_per_weight(recipe) + (sizes.parameters - inside) * _HALF,
        "adapter": trainable * _FLOAT32,
        "gradients": trainable * _FLOAT32,
        "optimizer": trainable * states,
        **_passing(recipe, base, longest),
        "one layer dequantised": max(layers, default=0) * _HALF,
    }
    return {name: round(size) for name, size in estimate.items()}


def full_finetuning_memory(recipe: Recipe, base: Model, longest: int) -> dict[str, int]:
    """The same components if all weights were fine-tuned on the same batches; computed, never measured.

    Weights and gradients in 16 bits, the two states of AdamW in 32 bits for each weight; a copy of the weights in 32
    bits, which some trainers keep beside them, is not counted.

    Args:
        recipe: The recipe, with the batch as used.
        base: Its base model, of which the configuration is enough.
        longest: Tokens of the longest row.
    """
    total = architecture(base).parameters
    return {
        "base weights": total * _HALF,
        "adapter": 0,
        "gradients": total * _HALF,
        "optimizer": total * 2 * _FLOAT32,
        **_passing(recipe, base, longest),
        "one layer dequantised": 0,
    }


def _passing(recipe: Recipe, base: Model, longest: int) -> dict[str, int]:
    """What a batch needs while it passes through the model, whatever is trained; the roughest part.

    Per layer and token, about 16 vectors of the hidden size and 6 of the feed-forward size live at once; with gradient
    checkpointing only one layer's do, and each other layer keeps its input, offloaded or not.
    """
    config = model_shell(base).config.get_text_config()
    hidden, layers = int(config.hidden_size), int(config.num_hidden_layers)
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    tokens = recipe.trainer.batch_size * (recipe.trainer.max_length if recipe.trainer.packing else longest)
    one_layer = tokens * (16 * hidden + 6 * inner) * _HALF
    kept = {
        False: (layers - 1) * one_layer,
        True: layers * tokens * hidden * _HALF,
        "offload": _OFFLOADED_AT_ONCE * tokens * hidden * _HALF,
    }[recipe.trainer.gradient_checkpointing]
    logits = 3 * min(_LOGIT_TOKENS, tokens) * int(config.vocab_size) * _FLOAT32
    return {"activations": kept + one_layer, "logits": logits}


def _bytes_per_weight(recipe: Recipe) -> float:
    quantization = recipe.quantization
    if not quantization.is_4bit:
        return _BYTES_PER_PARAMETER[quantization.method]
    if quantization.double_quant is False:
        return 0.5 + _FLOAT32 / _BLOCK
    return 0.5 + 1 / _BLOCK + _FLOAT32 / (_BLOCK * _OUTER_BLOCK)
