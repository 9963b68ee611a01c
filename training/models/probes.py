"""Compares what medbench and trainers assume of a model with its own forward, on a few tokens.

Models differ in how they scale logits, mask attention and number positions; what holds for those that are known would
silently make wrong scores, or a wrong loss, of the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from training.models.weight_format import quantised_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TEXT = "The patient was treated with the drug for two weeks, and the fever fell."
_MOST_TOKENS = 12
_EXACT = 1e-3  # nats, mean difference over the vocabulary, in float32
_ROUNDED_KL = 0.1  # nats, mean over positions, in 16 bits or with quantised weights, whose tails are mostly rounding


def probe_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens of a short text; those of the vocabulary's start where the tokenizer is of another model."""
    count = len(model.get_input_embeddings().weight)
    tokens = [token for token in tokenizer(_TEXT, add_special_tokens=False).input_ids if token < count]
    return (tokens if len(tokens) > 1 else list(range(min(count, _MOST_TOKENS))))[:_MOST_TOKENS]


@torch.inference_mode()
def own_logprobs(model: PreTrainedModel, tokens: Sequence[int]) -> torch.Tensor:
    """Log-probabilities after each token of one row by the model's own forward, [tokens, vocab_size]."""
    logits: torch.Tensor = model(torch.tensor([list(tokens)], device=model.device)).logits
    return logits[0].float().log_softmax(-1)


def is_causal(model: PreTrainedModel, tokens: Sequence[int], logprobs: torch.Tensor) -> bool:
    """Whether `logprobs` of the first half do not depend on the tokens of the second."""
    half = len(tokens) // 2
    return half == 0 or agree(model, own_logprobs(model, tokens[:half]), logprobs[:half])


def agree(model: PreTrainedModel, first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether log-probabilities differ by no more than rounding; where there are no numbers, the answers say so."""
    if not (first.isfinite().all() and second.isfinite().all()):
        return True
    if model.dtype == torch.float32 and not quantised_weights(model):
        return bool((first - second).abs().mean(-1).max() <= _EXACT)
    return bool((second.exp() * (second - first)).sum(-1).mean() <= _ROUNDED_KL)
