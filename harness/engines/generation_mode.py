"""Finds out, before anything is scored, how a model's own forward can generate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from transformers import DynamicCache

from training.machine_failures import is_out_of_memory
from training.models.probes import agree

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Rows padded on the left, or one row at a time, with transformers' cache; or one row at a time without a cache.
GenerationMode = Literal["padded", "single", "uncached"]


def generation_mode(model: PreTrainedModel, tokens: Sequence[int], logprobs: torch.Tensor) -> GenerationMode:
    """The fastest way of generating with the model's own forward that predicts `logprobs` after the last two tokens."""
    if len(tokens) < 2:  # noqa: PLR2004 - one for the cache, one for a step
        return "uncached"
    if _cached_steps_agree(model, tokens, logprobs, padding=1):
        return "padded"
    return "single" if _cached_steps_agree(model, tokens, logprobs, padding=0) else "uncached"


@torch.inference_mode()
def _cached_steps_agree(model: PreTrainedModel, tokens: Sequence[int], logprobs: torch.Tensor, *, padding: int) -> bool:
    """Whether the model continues a row from a cache, with some padding on the left that mask and positions leave out.

    Some number their positions themselves, padding included (the decoder of BART), some have another cache or none.
    """
    row = torch.tensor([[tokens[0]] * padding + list(tokens)], device=model.device)
    mask = (torch.arange(row.shape[1], device=model.device) >= padding).long()[None]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache, steps = DynamicCache(config=model.config), []
    try:
        for start, end in ((0, row.shape[1] - 1), (row.shape[1] - 1, row.shape[1])):
            output = model(
                row[:, start:end],
                attention_mask=mask[:, :end],
                position_ids=positions[:, start:end],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            steps.append(output.logits[0, -1])
    except (TypeError, ValueError, AttributeError, IndexError, KeyError, AssertionError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        return False
    return agree(model, torch.stack(steps).float().log_softmax(-1), logprobs[-2:])
