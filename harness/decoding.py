"""Decodes one batch of prompts token by token, dropping rows as they finish."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from harness.engine import GenerateAnswer, GenerateRequest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from tasks.answers import FinishReason

_EXTRA_TOKENS = 4  # looked back at beyond a stop string's own length, which is at least its length in tokens


class _Row:
    """One prompt while it is being continued."""

    def __init__(self, request: GenerateRequest, room: int, device: torch.device) -> None:
        import torch

        self.request = request
        self.limit = min(request.max_new_tokens, room)
        self.tokens: list[int] = []
        self.reason: FinishReason | None = None
        self.seconds = 0.0
        # A generator of its own keeps a sampled answer independent of the other rows of its batch.
        self.generator = torch.Generator(device).manual_seed(request.seed) if request.temperature > 0 else None


def decode_batch(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[GenerateRequest],
    ends: Collection[int],
    max_length: int,
    progress: Callable[[int], None],
) -> list[GenerateAnswer]:
    """Continue all prompts together; answers are in the order of the requests.

    Args:
        model: A causal language model that takes `past_key_values`.
        tokenizer: Turns tokens into text.
        requests: What to continue; prompts that leave no room are cut at their start.
        ends: Tokens that end an answer.
        max_length: The model's window in tokens.
        progress: Called with 1 for each finished row.
    """
    import torch
    from transformers import DynamicCache

    started = time.perf_counter()
    prompts = [request.prompt[-max(1, max_length - request.max_new_tokens) :] for request in requests]
    rows = [
        _Row(request, max_length - len(prompt), model.device) for request, prompt in zip(requests, prompts, strict=True)
    ]
    with torch.inference_mode():
        ids, mask = _left_padded(prompts, model.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=model.config)
        live = list(rows)
        while live:
            logits = model(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
            ).logits[:, -1]
            chosen = _choose(logits.float(), live)
            for row, token in zip(live, chosen, strict=True):
                _take(row, token, ends, tokenizer)
                if row.reason is not None:
                    row.seconds = time.perf_counter() - started
                    progress(1)
            keep = [number for number, row in enumerate(live) if row.reason is None]
            next_tokens = torch.tensor([chosen[number] for number in keep], device=model.device)
            positions = positions[:, -1:] + 1
            if len(keep) < len(live):
                kept = torch.tensor(keep, device=model.device, dtype=torch.long)
                live = [live[number] for number in keep]
                if live:
                    cache.batch_select_indices(kept)
                mask, positions = mask[kept], positions[kept]
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
            ids = next_tokens[:, None]
    return [_answer(row, tokenizer, ends) for row in rows]


def _left_padded(prompts: Sequence[tuple[int, ...]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, shape [rows, longest prompt]; padding on the left."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.long)
    for number, prompt in enumerate(prompts):
        ids[number, longest - len(prompt) :] = torch.tensor(prompt)
        mask[number, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


def _choose(logits: torch.Tensor, rows: Sequence[_Row]) -> list[int]:
    """The next token of each row: the likeliest, or one drawn by the row's own generator."""
    import torch

    best: list[int] = logits.argmax(-1).tolist()
    for number, row in enumerate(rows):
        if row.generator is None:
            continue
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        one = TemperatureLogitsWarper(row.request.temperature)(None, logits[number : number + 1])
        if row.request.top_p < 1:
            one = TopPLogitsWarper(row.request.top_p)(None, one)
        best[number] = int(torch.multinomial(one.softmax(-1)[0], 1, generator=row.generator))
    return best


def _take(row: _Row, token: int, ends: Collection[int], tokenizer: PreTrainedTokenizerBase) -> None:
    """Add a token to a row and see whether it is done."""
    row.tokens.append(token)
    if token in ends or _stopped(row, tokenizer):
        row.reason = "stop"
    elif len(row.tokens) >= row.limit:
        row.reason = "length"


def _stopped(row: _Row, tokenizer: PreTrainedTokenizerBase) -> bool:
    if not row.request.stop:
        return False
    window = max(map(len, row.request.stop)) + _EXTRA_TOKENS
    tail = tokenizer.decode(row.tokens[-window:], skip_special_tokens=True)
    return any(stop in tail for stop in row.request.stop)


def _answer(row: _Row, tokenizer: PreTrainedTokenizerBase, ends: Collection[int]) -> GenerateAnswer:
    tokens = row.tokens[:-1] if row.tokens and row.tokens[-1] in ends else row.tokens
    text = str(tokenizer.decode(tokens, skip_special_tokens=True))
    for stop in row.request.stop:
        text = text.split(stop, maxsplit=1)[0]
    return GenerateAnswer(text, tuple(row.tokens), row.reason or "length", row.seconds)
