"""Continues prompts padded on the left, with transformers' own cache: for models that ours does not fit.

Sliding windows, recurrent layers and the like keep their own kind of memory, which only transformers knows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from harness.engines.answer_text import AnswerEnd
from harness.engines.decoding import Row
from harness.engines.interface import GenerateAnswer, GenerateRequest
from harness.engines.rows import Tokens
from harness.engines.sampling import choose
from training.machine_failures import is_out_of_memory
from training.models.device import Device
from training.stopping import stop_if_asked


class PaddedDecoder:
    """Answers generation requests batch by batch, dropping rows as they end.

    Args:
        model: Computes.
        end: Knows when an answer is over.
        max_length: The model's window in tokens.
        rows: Prompts continued at once; halved for good when memory runs out.
        device: What it computes on.
    """

    def __init__(self, model: PreTrainedModel, end: AnswerEnd, max_length: int, rows: int, device: Device) -> None:
        self._model = model
        self._end = end
        self._max_length = max_length
        self._rows = rows
        self._device = device

    @torch.inference_mode()
    def answers(
        self, requests: Sequence[GenerateRequest], known: Mapping[int, GenerateAnswer]
    ) -> Iterator[tuple[int, GenerateAnswer]]:
        """(place in `requests`, answer) of each as it ends; a batch with nothing but known answers is left out."""
        waiting = [Row(number, request, self._max_length, known.get(number)) for number, request in enumerate(requests)]
        waiting.sort(key=lambda row: len(row.prompt), reverse=True)
        while waiting:
            batch = waiting[: self._rows]
            if all(row.known is not None for row in batch):
                waiting = waiting[len(batch) :]
                continue
            try:
                for row, answer in self._run(batch):
                    waiting.remove(row)
                    if row.known is None:
                        yield row.number, answer
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                self._rows = len(batch) // 2
            self._device.release_memory()

    def forget_weights(self) -> None:
        """Nothing is kept from one call to the next."""

    def _run(self, live: Sequence[Row]) -> Iterator[tuple[Row, GenerateAnswer]]:
        """Continue rows, from what they have written so far."""
        self._device.reset_peak_memory()
        ids, mask = _left_padded([row.written for row in live], self._model.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._model.config)
        while live:
            stop_if_asked()
            started = time.perf_counter()
            output = self._model(
                ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
            )
            chosen = choose(output.logits[:, -1], [row.request for row in live], [row.draw() for row in live])
            share = (time.perf_counter() - started) / len(live)
            keep = []
            words = [row.next(token) for row, token in zip(live, chosen.tolist(), strict=True)]
            for number, (row, token) in enumerate(zip(live, words, strict=True)):
                row.begun = row.begun or started
                row.seconds += share
                answer = row.take(token, self._end, self._device)
                if answer is None:
                    keep.append(number)
                else:
                    yield row, answer
            kept = torch.tensor(keep, device=mask.device, dtype=torch.long)
            if keep and len(keep) < len(live):
                cache.batch_select_indices(kept)
            live = [live[number] for number in keep]
            mask, positions = mask[kept], positions[kept, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
            ids = torch.tensor(words, device=mask.device)[kept, None]


def _left_padded(rows: Sequence[Tokens], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, [rows, longest row]; padding on the left."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, longest - len(row) :] = torch.tensor(row)
        mask[number, longest - len(row) :] = 1
    return ids.to(device), mask.to(device)
