"""How long a row may be, and how a longer text is cut into windows."""

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
    """What is scored: the request itself, or windows of a text whose scored parts do not overlap.

    Whole texts are cut as lm-eval's rolling log-likelihood does. A continuation that is longer than the window, which
    lm-eval refuses, is cut so that each of its tokens is scored once, after half a window of what stands before it.
    """
    if isinstance(request, ScoreRequest):
        if len(request.continuation) <= max_length:
            yield request
            return
        half = max_length // 2
        end = max(max_length - len(request.context), half)
        yield ScoreRequest(request.context, request.continuation[:end])
        for start in range(end, len(request.continuation), half):
            before = (*request.context, *request.continuation[:start])[-max_length:]
            yield ScoreRequest(before, request.continuation[start : start + half])
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
    """(prompt, how many tokens its answer may have): a prompt that leaves the answer no room loses its start.

    As in lm-eval, but that an answer which may be longer than half the window takes no prompt's room beyond that half.
    """
    room = min(request.max_new_tokens, max_length // 2)
    prompt = request.prompt[-(max_length - room) :]
    return prompt, min(request.max_new_tokens, max_length - len(prompt))
