"""Chooses the next token of each row: the likeliest, or one drawn by the row's own random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.engines.interface import GenerateRequest


class Draws:
    """Uniform random numbers of one row, one for each token; they depend on its seed and on nothing else."""

    def __init__(self, request: GenerateRequest) -> None:
        generator = torch.Generator().manual_seed(request.seed)
        self._numbers = torch.rand(request.max_new_tokens, generator=generator, dtype=torch.float64).tolist()

    def at(self, place: int) -> float:
        """The number for the row's token at `place`."""
        return float(self._numbers[place])


def choose(logits: torch.Tensor, requests: Sequence[GenerateRequest | None], numbers: Sequence[float]) -> torch.Tensor:
    """The next token of each row, [rows].

    Args:
        logits: [rows, words].
        requests: How each row is sampled; None for rows whose token does not matter.
        numbers: A uniform random number for each row that is not greedy.
    """
    best = logits.float().argmax(-1)  # on a CPU slow in bfloat16
    sampled = [number for number, request in enumerate(requests) if request is not None and request.temperature > 0]
    if sampled:
        where = torch.tensor(sampled, device=logits.device)
        asked = [request for request in requests if request is not None and request.temperature > 0]
        best[where] = _sample(logits[where].float(), asked, [numbers[number] for number in sampled])
    return best


def _sample(logits: torch.Tensor, asked: Sequence[GenerateRequest], numbers: Sequence[float]) -> torch.Tensor:
    """Tokens by inverse transform: the first, from the likeliest on, at which the summed probability passes the number.

    Temperature, top-k, then top-p, as transformers applies them.
    """

    def column(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    scaled, words = (logits / column([request.temperature for request in asked])).sort(-1, descending=True)
    places = torch.arange(scaled.shape[-1], device=logits.device)
    top_k = column([request.top_k or scaled.shape[-1] for request in asked])
    shares = scaled.masked_fill(places >= top_k, -torch.inf).softmax(-1)
    earlier = shares.cumsum(-1) - shares
    shares = shares.masked_fill(earlier >= column([request.top_p for request in asked]), 0.0)
    shares[:, 0] += shares.sum(-1) == 0  # top_p 0 leaves the likeliest
    passed = shares.cumsum(-1)
    wanted = column(numbers) * passed[:, -1:]
    place = (passed > wanted).float().argmax(-1)
    return words.gather(1, place[:, None])[:, 0]
