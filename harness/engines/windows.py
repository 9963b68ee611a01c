"""The longest row of a model, and the windows of longer texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.engines.interface import GenerateRequest, PerplexityRequest, ScoreRequest

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

_DEFAULT = 2048  # tokens


def model_window(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Longest row of a model in tokens."""
    window = getattr(config.get_text_config(), "max_position_embeddings", None) or _DEFAULT
    return min(int(window), int(tokenizer.model_max_length))


def windows(request: ScoreRequest | PerplexityRequest, max_length: int) -> Iterator[ScoreRequest]:
    """The request itself, or windows of a text whose scored parts do not overlap.

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


def score_inputs(request: ScoreRequest, max_length: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(input tokens, tokens to score after the last of these); a row longer than the window loses its start."""
    tokens = (*request.context, *request.continuation)[-(max_length + 1) : -1]
    return tokens, request.continuation[-len(tokens) :]


def fit_to_context(request: GenerateRequest, max_length: int) -> tuple[tuple[int, ...], int]:
    """(prompt, maximum number of new tokens); a prompt that leaves no room for the answer loses its start.

    As in lm-eval, except that an answer never takes more than half the window from the prompt.
    """
    room = min(request.max_new_tokens, max_length // 2)
    prompt = request.prompt[-(max_length - room) :]
    return prompt, min(request.max_new_tokens, max_length - len(prompt))
