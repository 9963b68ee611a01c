"""Log-likelihoods of many continuations: rows sorted by length, shared prefixes once, only the logits that count."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from harness.engines.causal_model import Budget, CausalModel
from harness.engines.interface import Cost
from harness.engines.key_values import Recorded
from harness.engines.prefixes import Prefix, rows_below, shared_prefixes
from harness.engines.rows import Found, Row, Tokens
from training.machine_failures import is_out_of_memory
from training.models.device import Device
from training.stopping import stop_if_asked

_CACHED_ROWS = 16  # of float32 logits
_EARLIER_TOKENS = 8  # tokens of an earlier pass that need as much memory as one that is computed


@torch.inference_mode()
def likelihoods(model: CausalModel, budget: Budget, rows: Sequence[Row]) -> Iterator[Found]:
    """The log-likelihood of every continuation, as soon as its batch is through; batches of known rows are left out."""
    prefixes: list[Prefix] = []
    alone: list[int] = list(range(len(rows)))
    if model.shares:
        tokens, heads = [row.tokens for row in rows], [len(row.tokens) - row.scored for row in rows]
        prefixes, alone = shared_prefixes(tokens, heads, model.hardware.shortest_prefix)
    for prefix in prefixes:
        if _is_known(prefix, rows):
            continue
        left = {id(rows[number]): number for number in rows_below(prefix)}
        meter = _Meter(model.hardware)
        try:
            for ends in _below(model, budget, rows, [_Part(prefix, 0, 0)], None):
                for end in ends:
                    del left[id(end.row)]
                yield from meter.answers(ends)
            left = {}  # what remains is known
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            budget.halve(budget.tokens)
        if left:
            model.hardware.release_memory()
            alone += left.values()
    yield from _alone(model, budget, [rows[number] for number in alone])


def _alone(model: CausalModel, budget: Budget, rows: Sequence[Row]) -> Iterator[Found]:
    """Rows that share nothing; a batch that does not fit into memory is halved, and so are all later ones."""
    left = sorted(rows, key=lambda row: len(row.tokens), reverse=True)
    while left:
        batch = budget.first(left, lambda row: len(row.tokens))
        if all(row.is_known for row in batch):
            left = left[len(batch) :]
            continue
        stop_if_asked()
        meter = _Meter(model.hardware)
        try:
            states, _ = model.states([row.tokens for row in batch])
            ends = _ends(model, states, [(row, 0) for row in batch])
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            budget.halve(len(batch) * len(batch[0].tokens))
        else:
            yield from meter.answers(ends)
            left = left[len(batch) :]
            continue
        model.hardware.release_memory()


def _is_known(what: Prefix | int, rows: Sequence[Row]) -> bool:
    """Whether all is known that a row, or the rows below a prefix, are fed for."""
    return rows[what].is_known if isinstance(what, int) else all(rows[number].is_known for number in rows_below(what))


@dataclass(frozen=True)
class _Part:
    """Tokens from `start` on of a row or of what rows share, going on from row `of` of an earlier pass."""

    what: Prefix | int
    start: int
    of: int

    def tokens(self, rows: Sequence[Row]) -> Tokens:
        if isinstance(self.what, Prefix):
            return rows[self.what.row].tokens[self.start : self.what.end]
        return rows[self.what].tokens[self.start :]

    def size(self, rows: Sequence[Row]) -> int:
        """What it takes of a batch's budget; earlier tokens are not computed, but need memory."""
        own = len(self.tokens(rows))
        return max(own, (self.start + own) // _EARLIER_TOKENS)


@dataclass(frozen=True)
class _End:
    """What was found at the end of a row: nats, and likeliest or not, [continuations, places] each."""

    row: Row
    logprobs: torch.Tensor
    likeliest: torch.Tensor


def _below(
    model: CausalModel, budget: Budget, rows: Sequence[Row], parts: Sequence[_Part], before: Recorded | None
) -> Iterator[list[_End]]:
    """Compute parts that go on from `before`, batch by batch, and after each batch what goes on from it."""
    for kind in (int, Prefix):
        same = [part for part in parts if isinstance(part.what, kind)]
        for batch in budget.batches(same, lambda part: part.size(rows)):
            if all(_is_known(part.what, rows) for part in batch):
                continue
            stop_if_asked()
            tokens, of = [part.tokens(rows) for part in batch], [part.of for part in batch]
            states, kept = model.states(tokens, before, of, keep=kind is Prefix)
            ended = [(rows[part.what], part.start) for part in batch if isinstance(part.what, int)]
            if ended:
                yield _ends(model, states, ended)
            below = [
                _Part(each, part.what.end, number)
                for number, part in enumerate(batch)
                if isinstance(part.what, Prefix)
                for each in part.what.below
            ]
            if below:
                yield from _below(model, budget, rows, below, kept)


def _ends(model: CausalModel, states: torch.Tensor, batch: Sequence[tuple[Row, int]]) -> list[_End]:
    """What is asked of rows, from the hidden states at their scored places only.

    Args:
        model: Makes logits.
        states: [rows, tokens, width].
        batch: The rows, each with the place of its first token in `states`.
    """
    longest = states.shape[1]
    places: list[int] = []
    lines: list[int] = []  # of each word that is asked for, among the places
    words: list[int] = []
    for number, (row, start) in enumerate(batch):
        end = number * longest + len(row.tokens) - start
        for _, continuation in row.wanted:
            lines += range(len(places), len(places) + row.scored)
            words += continuation
        places += range(end - row.scored, end)
    states = states.reshape(-1, states.shape[-1])[torch.tensor(places, device=states.device)]
    logprobs, likeliest = _pick(model, states, torch.tensor(lines), torch.tensor(words))
    ends = []
    done = 0
    for row, _ in batch:
        shape = len(row.wanted), row.scored
        part = slice(done, done + shape[0] * shape[1])
        ends.append(_End(row, logprobs[part].reshape(shape), likeliest[part].reshape(shape)))
        done = part.stop
    return ends


def _pick(
    model: CausalModel, states: torch.Tensor, lines: torch.Tensor, words: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of `words` [asked] after the states at `lines` [asked], and whether each is the likeliest.

    In float32, a few rows of logits at a time: the whole [lines, vocabulary] is never there.
    """
    logprobs, likeliest = [], []
    order = lines.argsort(stable=True)
    for start in range(0, len(states), model.logit_rows):
        chosen = order[(lines[order] >= start) & (lines[order] < start + model.logit_rows)]
        here, asked = (lines[chosen] - start).to(states.device), words[chosen].to(states.device)
        logits = model.logits(states[start : start + model.logit_rows])
        picked = logits[here, asked]
        best = (
            picked == logits.amax(-1)[here]
        )  # of equal ones the first counts, which is looked for only where it may be
        best[best.clone()] = logits[here[best]].float().argmax(-1) == asked[best]
        # On a CPU float32 copies stay in its cache, a few rows at a time.
        parts = torch.split(logits, _CACHED_ROWS) if logits.device.type == "cpu" else (logits,)
        totals = torch.cat([part.float().logsumexp(-1) for part in parts])
        logprobs.append(picked.float() - totals[here])
        likeliest.append(best)
    back = order.argsort()
    return torch.cat(logprobs).cpu()[back], torch.cat(likeliest).cpu()[back]


class _Meter:
    """Measures what batches take from when it is made, and shares that out over their rows by their tokens."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._device.reset_peak_memory()
        self._begun = self._last = time.perf_counter()

    def answers(self, ends: Sequence[_End]) -> Iterator[Found]:
        """The answers of a batch with their costs."""
        now = time.perf_counter()
        seconds = now - self._last
        tokens = sum(len(end.row.tokens) for end in ends)
        memory = self._device.peak_memory().allocated
        self._device.reset_peak_memory()
        for end in ends:
            share = seconds * len(end.row.tokens) / tokens / len(end.row.wanted)
            continuations = zip(end.row.wanted, end.logprobs.tolist(), end.likeliest.all(1).tolist(), strict=True)
            for (owner, _), logprobs, best in continuations:
                yield Found(owner, array("f", logprobs), best, Cost(share, now - self._begun, memory))
        self._last = time.perf_counter()
