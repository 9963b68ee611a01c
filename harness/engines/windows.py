"""How long a row may be, and how a longer text is cut into windows, as lm-eval's rolling log-likelihood does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.engines.interface import GenerateRequest, PerplexityRequest, ScoreRequest

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

_DEFAULT = 2048  # tokens


def model_window(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """The longest row that a model takes, in tokens."""
    window = getattr(config.get_text_config(), "max_position_embeddings", None) or _DEFAULT
    return min(int(window), int(tokenizer.model_max_length))


def windows(request: ScoreRequest | PerplexityRequest, max_length: int) -> Iterator[ScoreRequest]:
    """What is scored: the request itself, or windows of a text whose scored parts do not overlap."""
    if isinstance(request, ScoreRequest):
        yield request
        return
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    parts = get_rolling_token_windows(
        token_list=list(request.tokens), prefix_token=request.start, max_seq_len=max_length, context_len=1
    )
    for context, continuation in map(make_disjoint_window, parts):
        yield ScoreRequest(tuple(context), tuple(continuation))


def fed(request: ScoreRequest, max_length: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(tokens to feed, tokens wanted after the last of these): what is longer than the window loses its start."""
    tokens = (*request.context, *request.continuation)[-(max_length + 1) : -1]
    return tokens, request.continuation[-len(tokens) :]


def fitted(request: GenerateRequest, max_length: int) -> tuple[tuple[int, ...], int]:
    """(prompt, how many tokens its answer may have): a prompt that leaves the answer no room loses its start."""
    prompt = request.prompt[-max(1, max_length - request.max_new_tokens) :]
    return prompt, min(request.max_new_tokens, max_length - len(prompt))
