"""Generation with left padding and transformers' own cache, for models that `attend` does not fit.

Sliding windows, recurrent layers and the like have caches of their own kind. Models that cannot continue padded rows
generate one row at a time, those without a cache that transformers fills pass over the whole row for each token.
"""

from __future__ import annotations

import time
from collections import abc
from collections.abc import Iterator, Mapping

import torch
from transformers import DynamicCache, PreTrainedModel

from harness.engines.answer_text import AnswerEnd
from harness.engines.decoding import Sequence
from harness.engines.interface import GenerateRequest, GenerateResponse
from harness.engines.rows import Tokens
from harness.engines.sampling import choose
from training.machine_failures import is_out_of_memory
from training.models.device import Device
from training.stopping import stop_if_asked


class PaddedDecoder:
    """Generates batch by batch, dropping rows as they end.

    Args:
        model: The model.
        max_length: The model's window in tokens.
        rows: Prompts continued at once; halved for good when memory runs out.
        device: What it computes on.
        cached: Whether the model continues rows from transformers' cache; else each token takes a pass over its row.
    """

    def __init__(
        self, model: PreTrainedModel, max_length: int, rows: int, device: Device, *, cached: bool = True
    ) -> None:
        self._model = model
        self._max_length = max_length
        self._rows = rows
        self._device = device
        self._cached = cached

    @torch.inference_mode()
    def generate(
        self, requests: abc.Sequence[GenerateRequest], recorded: Mapping[int, GenerateResponse], end: AnswerEnd
    ) -> Iterator[tuple[int, GenerateResponse]]:
        """(index in `requests`, response) of each as it ends; a batch of recorded responses only is skipped."""
        waiting = [
            Sequence(number, request, self._max_length, end, recorded.get(number))
            for number, request in enumerate(requests)
        ]
        waiting.sort(key=lambda sequence: len(sequence.prompt), reverse=True)
        while waiting:
            batch = waiting[: self._rows]
            if all(sequence.recorded is not None for sequence in batch):
                waiting = waiting[len(batch) :]
                continue
            try:
                for sequence, response in self._run(batch):
                    waiting.remove(sequence)
                    if sequence.recorded is None:
                        yield sequence.number, response
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                self._rows = len(batch) // 2
            self._device.release_memory()

    def forget_weights(self) -> None:
        """Do nothing: no state outlives a call."""

    def _run(self, live: abc.Sequence[Sequence]) -> Iterator[tuple[Sequence, GenerateResponse]]:
        """Continue sequences from the tokens that they have so far."""
        self._device.reset_peak_memory()
        ids, mask = _left_padded([sequence.written for sequence in live], self._model.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._model.config)
        while live:
            stop_if_asked()
            started = time.perf_counter()
            if self._cached:
                output = self._model(
                    ids,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,  # which configurations saved after training turn off
                    logits_to_keep=1,
                )
            else:
                output = self._model(torch.tensor([live[0].written], device=self._model.device))
            requests, draws = [sequence.request for sequence in live], [sequence.draw() for sequence in live]
            chosen = choose(output.logits[:, -1], requests, draws).tolist()  # waits for a GPU
            share = (time.perf_counter() - started) / len(live)
            unfinished = []
            for number, (sequence, token) in enumerate(zip(live, chosen, strict=True)):
                sequence.begun = sequence.begun or started
                sequence.seconds += share
                response = sequence.append(token, self._device)
                if response is None:
                    unfinished.append(number)
                else:
                    yield sequence, response
            kept = torch.tensor(unfinished, device=mask.device, dtype=torch.long)
            if unfinished and len(unfinished) < len(live):
                cache.reorder_cache(kept)  # of all kinds of layers; batch_select_indices is not
            live = [live[number] for number in unfinished]
            mask, positions = mask[kept], positions[kept, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
            ids = torch.tensor([sequence.tokens[-1:] for sequence in live], device=mask.device)


def _left_padded(rows: abc.Sequence[Tokens], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, [rows, longest row]; padding on the left."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, longest - len(row) :] = torch.tensor(row)
        mask[number, longest - len(row) :] = 1
    return ids.to(device), mask.to(device)
