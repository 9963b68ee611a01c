"""Log-likelihoods of many continuations: rows sorted by length, shared prefixes once, only the needed logits."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from harness.engines.causal_model import Budget, CausalModel
from harness.engines.interface import Cost
from harness.engines.key_values import PrefixKVCache
from harness.engines.prefixes import Prefix, rows_below, shared_prefixes
from harness.engines.rows import PartScore, ScoringRow, Tokens
from training.machine_failures import is_out_of_memory
from training.models.device import Device
from training.stopping import stop_if_asked

_CACHED_ROWS = 16  # of float32 logits
_EARLIER_TOKENS = 8  # tokens of an earlier pass that need as much memory as one that is computed


@torch.inference_mode()
def log_likelihoods(model: CausalModel, budget: Budget, rows: Sequence[ScoringRow]) -> Iterator[PartScore]:
    """Log-likelihood of every continuation as soon as its batch is computed; batches of recorded rows are skipped."""
    prefixes: list[Prefix] = []
    alone: list[int] = list(range(len(rows)))
    if model.stats.shares_prefixes:
        tokens, heads = [row.tokens for row in rows], [len(row.tokens) - row.scored for row in rows]
        prefixes, alone = shared_prefixes(tokens, heads, model.hardware.shortest_prefix)
    for prefix in prefixes:
        if _is_recorded(prefix, rows):
            continue
        left = {id(rows[number]): number for number in rows_below(prefix)}
        meter = _Meter(model.hardware)
        try:
            for ends in _below(model, budget, rows, [_Part(prefix, 0, 0)], None):
                for end in ends:
                    del left[id(end.row)]
                yield from meter.scores(ends)
            left = {}  # the remaining rows are recorded
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            budget.halve(budget.tokens)
        if left:
            model.hardware.release_memory()
            alone += left.values()
    yield from _alone(model, budget, [rows[number] for number in alone])


def _alone(model: CausalModel, budget: Budget, rows: Sequence[ScoringRow]) -> Iterator[PartScore]:
    """Score rows without a shared prefix; a batch that does not fit into memory halves this and all later ones."""
    left = sorted(rows, key=lambda row: len(row.tokens), reverse=True)
    while left:
        batch = budget.first(left, lambda row: len(row.tokens))
        if all(row.is_recorded for row in batch):
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
            yield from meter.scores(ends)
            left = left[len(batch) :]
            continue
        model.hardware.release_memory()


def _is_recorded(node: Prefix | int, rows: Sequence[ScoringRow]) -> bool:
    """Whether all responses of a row, or of the rows below a prefix, are recorded."""
    below = [node] if isinstance(node, int) else rows_below(node)
    return all(rows[number].is_recorded for number in below)


@dataclass(frozen=True)
class _Part:
    """Tokens of a row or a prefix from `start` on, which continue row `of` of an earlier pass."""

    node: Prefix | int
    start: int
    of: int

    def tokens(self, rows: Sequence[ScoringRow]) -> Tokens:
        if isinstance(self.node, Prefix):
            return rows[self.node.row].tokens[self.start : self.node.end]
        return rows[self.node].tokens[self.start :]

    def size(self, rows: Sequence[ScoringRow]) -> int:
        """Tokens that count against the budget; earlier tokens are not computed, but need memory."""
        own = len(self.tokens(rows))
        return max(own, (self.start + own) // _EARLIER_TOKENS)


@dataclass(frozen=True)
class _End:
    """Scores at the end of a row: nats, and whether each token is the argmax; [continuations, positions] each."""

    row: ScoringRow
    logprobs: torch.Tensor
    is_argmax: torch.Tensor


def _below(
    model: CausalModel, budget: Budget, rows: Sequence[ScoringRow], parts: Sequence[_Part], before: PrefixKVCache | None
) -> Iterator[list[_End]]:
    """Compute parts that continue `before`, batch by batch, and after each batch the parts that continue it."""
    for kind in (int, Prefix):
        same = [part for part in parts if isinstance(part.node, kind)]
        for batch in budget.batches(same, lambda part: part.size(rows)):
            if all(_is_recorded(part.node, rows) for part in batch):
                continue
            stop_if_asked()
            tokens, of = [part.tokens(rows) for part in batch], [part.of for part in batch]
            states, kept = model.states(tokens, before, of, keep=kind is Prefix)
            ended = [(rows[part.node], part.start) for part in batch if isinstance(part.node, int)]
            if ended:
                yield _ends(model, states, ended)
            below = [
                _Part(node, part.node.end, number)
                for number, part in enumerate(batch)
                if isinstance(part.node, Prefix)
                for node in part.node.below
            ]
            if below:
                yield from _below(model, budget, rows, below, kept)


def _ends(model: CausalModel, states: torch.Tensor, batch: Sequence[tuple[ScoringRow, int]]) -> list[_End]:
    """Scores of the rows' continuations, with logits only at the scored positions.

    Args:
        model: Makes logits.
        states: [rows, tokens, width].
        batch: The rows, each with the position of its first token in `states`.
    """
    longest = states.shape[1]
    positions: list[int] = []  # scored ones, in the flattened states
    indices: list[int] = []  # of each target among the positions
    targets: list[int] = []
    for number, (row, start) in enumerate(batch):
        end = number * longest + len(row.tokens) - start
        for _, continuation in row.targets:
            indices += range(len(positions), len(positions) + row.scored)
            targets += continuation
        positions += range(end - row.scored, end)
    states = states.reshape(-1, states.shape[-1])[torch.tensor(positions, device=states.device)]
    logprobs, is_argmax = _target_logprobs(model, states, torch.tensor(indices), torch.tensor(targets))
    ends = []
    done = 0
    for row, _ in batch:
        shape = len(row.targets), row.scored
        part = slice(done, done + shape[0] * shape[1])
        ends.append(_End(row, logprobs[part].reshape(shape), is_argmax[part].reshape(shape)))
        done = part.stop
    return ends


def _target_logprobs(
    model: CausalModel, states: torch.Tensor, indices: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of `targets` [n] after the states at `indices` [n], and whether each is the argmax.

    In float32, a few rows of logits at a time: the whole [n, vocab_size] is never in memory.
    """
    logprobs, is_argmax = [], []
    order = indices.argsort(stable=True)
    for start in range(0, len(states), model.logit_rows):
        chosen = order[(indices[order] >= start) & (indices[order] < start + model.logit_rows)]
        here, wanted = (indices[chosen] - start).to(states.device), targets[chosen].to(states.device)
        logits = model.logits(states[start : start + model.logit_rows])
        picked = logits[here, wanted]
        best = picked == logits.amax(-1)[here]
        best[best.clone()] = logits[here[best]].float().argmax(-1) == wanted[best]  # of equal logits the first counts
        # On a CPU float32 copies stay in its cache, a few rows at a time.
        parts = torch.split(logits, _CACHED_ROWS) if logits.device.type == "cpu" else (logits,)
        totals = torch.cat([part.float().logsumexp(-1) for part in parts])
        logprobs.append(picked.float() - totals[here])
        is_argmax.append(best)
    back = order.argsort()
    return torch.cat(logprobs).cpu()[back], torch.cat(is_argmax).cpu()[back]


class _Meter:
    """Measures batches from its construction on, and divides their cost among the rows in proportion to tokens."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._device.reset_peak_memory()
        self._begun = self._last = time.perf_counter()

    def scores(self, ends: Sequence[_End]) -> Iterator[PartScore]:
        """The scores of a batch with their costs."""
        now = time.perf_counter()
        seconds = now - self._last
        tokens = sum(len(end.row.tokens) for end in ends)
        memory = self._device.peak_memory().allocated
        self._device.reset_peak_memory()
        for end in ends:
            share = seconds * len(end.row.tokens) / tokens / len(end.row.targets)
            continuations = zip(end.row.targets, end.logprobs.tolist(), end.is_argmax.all(1).tolist(), strict=True)
            for (part, _), logprobs, greedy in continuations:
                yield PartScore(part, array("f", logprobs), greedy, Cost(share, now - self._begun, memory))
        self._last = time.perf_counter()
