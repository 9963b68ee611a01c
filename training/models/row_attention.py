"""Attention within each of several rows that are joined in one sequence, registered with transformers.

Rows without padding need no mask: where each row ends is enough. Padded rows with a mask get transformers' own
attention, so that validation and scoring see the model that they always see.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

NAME = "sdpa_by_row"
_States = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # query, key, value: [1, heads, tokens, width]
_HEAD_WIDTH = 256  # widest head of PyTorch's FlashAttention kernels


def row_bounds(lengths: Sequence[int], device: torch.device | str) -> dict[str, Any]:
    """Arguments of a model's forward for joined rows of these lengths, in the order of the sequence.

    Where rows begin is there as FlashAttention takes it (the names are transformers') and as numbers.
    """
    ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(device, non_blocking=True)
    positions = torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0)
    longest = max(lengths)
    return {
        "position_ids": positions.to(device, non_blocking=True),
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
        "row_lengths": tuple(lengths),
    }


def attend_in_rows(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    row_lengths: Sequence[int] | None = None,
    **further: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Causal attention of `query` [1, heads, tokens, width] to [1, key heads, tokens, width] within each row.

    Returns:
        [1, tokens, heads, width], and None for the weights.
    """
    if row_lengths is None:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **further
        )
        return plain
    width = query.shape[-1]
    if (
        query.is_cuda
        and query.dtype != torch.float32
        and dropout == 0
        and value.shape[-1] == width <= _HEAD_WIDTH
        and width % 8 == 0
        and flash_works(query.device, query.dtype)
    ):
        ends, longest = further["cu_seq_lens_q"], further["max_length_q"]
        return _flash((query, key, value), ends, longest, scaling), None
    return _row_by_row((query, key, value), row_lengths, scaling, dropout), None


def _flash(states: _States, ends: torch.Tensor, longest: int, scaling: float | None) -> torch.Tensor:
    """PyTorch's FlashAttention for rows of different lengths; heads may share keys.

    `torch.nn.attention.varlen` calls the same operation, but its arguments differ between 2.10, 2.11 and later.
    """
    query, key, value = (part[0].transpose(0, 1) for part in states)
    attend = torch.ops.aten._flash_attention_forward  # noqa: SLF001
    dropout, is_causal, returns_mask = 0.0, True, False
    output: torch.Tensor = attend(
        query, key, value, ends, ends, longest, longest, dropout, is_causal, returns_mask, scale=scaling
    )[0]
    return output.unsqueeze(0)


def _row_by_row(states: _States, lengths: Sequence[int], scaling: float | None, dropout: float) -> torch.Tensor:
    shared = states[1].shape[1] != states[0].shape[1]
    rows = zip(*(torch.split(part, [*lengths], dim=2) for part in states), strict=True)
    attended = [
        scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=shared
        )
        for query, key, value in rows
    ]
    return torch.cat(attended, dim=2).transpose(1, 2)


@functools.lru_cache
def flash_works(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether PyTorch's kernel for rows of different lengths runs here and computes what attention row by row does."""
    generator = torch.Generator().manual_seed(0)
    lengths = (5, 11)
    heads = [torch.randn(1, count, sum(lengths), 32, generator=generator) for count in (4, 2, 2)]
    ends = row_bounds(lengths, device)["cu_seq_lens_q"]
    results = []
    try:
        for is_flash in (True, False):
            query, key, value = (part.to(device, dtype).requires_grad_() for part in heads)
            states = (query, key, value)
            with torch.enable_grad(), torch.autocast(device.type, enabled=False):
                output = (
                    _flash(states, ends, max(lengths), None) if is_flash else _row_by_row(states, lengths, None, 0.0)
                )
                gradients = torch.autograd.grad(output.float().square().sum(), states)
            results.append([output.detach(), *gradients])
    except RuntimeError:
        return False
    tolerance = 8 * torch.finfo(dtype).eps
    return all(
        bool((one - other).abs().max() <= tolerance * other.abs().max()) for one, other in zip(*results, strict=True)
    )


def _mask_of_padded_rows(
    *, q_length: int, kv_length: int, attention_mask: torch.Tensor | None = None, **further: Any
) -> torch.Tensor | None:
    """The mask of padded rows and of cached tokens, as transformers makes it; joined rows and whole ones need none."""
    if attention_mask is None and q_length == kv_length:
        return None
    mask: torch.Tensor | None = sdpa_mask(
        q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **further
    )
    return mask


def sees_all_earlier_tokens(config: PreTrainedConfig) -> bool:
    """Whether every layer of a decoder attends to all earlier tokens, and has no other state."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None) or ["full_attention"]
    window = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    return (
        not config.is_encoder_decoder
        and all(kind == "full_attention" for kind in kinds)
        and not window
        and not any(getattr(text, name, None) for name in ("attn_logit_softcapping", "attention_chunk_size"))
    )


def fits_own_attention(model: PreTrainedModel) -> bool:
    """Whether an attention function of ours can compute all of a model's layers, loaded or not."""
    return (
        bool(model._supports_attention_backend)  # noqa: SLF001 - transformers has no public name for it
        and not model._is_stateful  # noqa: SLF001
        and sees_all_earlier_tokens(model.config)
    )


def use_row_attention(model: PreTrainedModel) -> bool:
    """Switch a model to `attend_in_rows` if that fits its layers; returns whether it was switched."""
    fits = model.config._attn_implementation == "sdpa" and fits_own_attention(model)  # noqa: SLF001
    if fits:
        AttentionInterface.register(NAME, attend_in_rows)
        AttentionMaskInterface.register(NAME, _mask_of_padded_rows)
        model.set_attn_implementation(NAME)
    return fits
