"""Choice of the next token of each row: the argmax, or one sampled with the row's own random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.engines.answer_text import NO_TOKEN
from harness.engines.interface import GenerateRequest


class Draws:
    """Uniform random numbers of one row, one for each token; they depend on its seed only."""

    def __init__(self, request: GenerateRequest) -> None:
        generator = torch.Generator().manual_seed(request.seed)
        self._numbers = torch.rand(request.max_new_tokens, generator=generator, dtype=torch.float64).tolist()

    def at(self, index: int) -> float:
        """Number for the row's token at `index`."""
        return float(self._numbers[index])


def choose(logits: torch.Tensor, requests: Sequence[GenerateRequest | None], numbers: Sequence[float]) -> torch.Tensor:
    """The next token of each row, [rows]; NO_TOKEN where the logits are no numbers.

    Args:
        logits: [rows, vocab_size].
        requests: How each row is sampled; None for rows whose token does not matter.
        numbers: A uniform random number for each row that is not greedy.
    """
    best = logits.float().argmax(-1)  # on a CPU slow in bfloat16
    is_finite = logits.gather(1, best[:, None])[:, 0].isfinite()  # NaN counts as the greatest
    sampled = [number for number, request in enumerate(requests) if request is not None and request.temperature > 0]
    if sampled:
        where = torch.tensor(sampled, device=logits.device)
        sampling = [request for request in requests if request is not None and request.temperature > 0]
        best[where] = _sample(logits[where].float(), sampling, [numbers[number] for number in sampled])
    return best.where(is_finite, NO_TOKEN)


def _sample(logits: torch.Tensor, requests: Sequence[GenerateRequest], numbers: Sequence[float]) -> torch.Tensor:
    """Sample by inverse transform: the first token whose cumulative probability, most likely first, passes it.

    Temperature, top-k, then top-p, as transformers applies them.
    """

    def column(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    scaled, tokens = (logits / column([request.temperature for request in requests])).sort(-1, descending=True)
    places = torch.arange(scaled.shape[-1], device=logits.device)
    top_k = column([request.top_k or scaled.shape[-1] for request in requests])
    shares = scaled.masked_fill(places >= top_k, -torch.inf).softmax(-1)
    earlier = shares.cumsum(-1) - shares
    shares = shares.masked_fill(earlier >= column([request.top_p for request in requests]), 0.0)
    shares[:, 0] += shares.sum(-1) == 0  # top_p 0 leaves the most likely token
    passed = shares.cumsum(-1)
    wanted = column(numbers) * passed[:, -1:]
    place = (passed > wanted).float().argmax(-1)
    return tokens.gather(1, place[:, None])[:, 0]
