"""Continuous batching: every prompt generates in a slot, which the next prompt takes when it is finished."""

from __future__ import annotations

import time
from collections import abc, deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import groupby, repeat
from typing import NamedTuple

import torch

from harness.engines.answer_text import AnswerEnd
from harness.engines.causal_model import Budget, CausalModel
from harness.engines.interface import Cost, GenerateRequest, GenerateResponse
from harness.engines.key_values import PrefixKVCache, SlotKVCache
from harness.engines.prefixes import rows_below, shared_prefixes
from harness.engines.rows import Tokens
from harness.engines.sampling import Draws, choose
from harness.engines.step_graphs import StepGraphs
from harness.engines.windows import fit_to_context
from training.machine_failures import is_out_of_memory
from training.models.device import Device
from training.stopping import stop_if_asked

_SHORTEST_PREFIX = 16  # tokens
_MEMORY_SHARE = 0.6  # of the available memory, for keys and values
_REFILL_SHARE = 8  # slots are filled again once one in so many is free


class Sequence:
    """One prompt while it generates; with a recorded response it only fills its slot."""

    def __init__(
        self,
        number: int,
        request: GenerateRequest,
        max_length: int,
        end: AnswerEnd,
        recorded: GenerateResponse | None = None,
    ) -> None:
        self.number = number
        self._end = end
        self.request = request
        self.recorded = recorded
        self.prompt, self.limit = fit_to_context(request, max_length)
        self.tokens: list[int] = []
        self.started = 0  # of its tokens, those that a step computes included
        self.ended = False
        self.shared = 0
        self.begun: float | None = None
        self.seconds = 0.0
        self._draws = Draws(request) if request.temperature > 0 else None

    @property
    def written(self) -> Tokens:
        """Prompt and generated tokens."""
        return (*self.prompt, *self.tokens)

    @property
    def shared_prefix(self) -> Tokens:
        """First tokens of the prompt that other prompts have too."""
        return self.prompt[: self.shared]

    @property
    def length(self) -> int:
        """Number of tokens, prompt included."""
        return len(self.prompt) + len(self.tokens)

    def draw(self) -> float:
        """Random number for the token that is computed next."""
        return self._draws.at(self.started) if self._draws else 0.0

    def next_recorded(self) -> int:
        """The recorded token that would be computed next; any after the last one."""
        assert self.recorded is not None
        return self.recorded.tokens[min(self.started, len(self.recorded.tokens) - 1)]

    def append(self, token: int, device: Device) -> GenerateResponse | None:
        """Add a token, the recorded one if there is; returns the response if it was the last one."""
        self.tokens.append(token if self.recorded is None else self.recorded.tokens[len(self.tokens)])
        self.started = max(self.started, len(self.tokens))
        if self.recorded is not None:
            self.ended = len(self.tokens) >= len(self.recorded.tokens)
            return self.recorded if self.ended else None
        ended = self._end.reached(self.tokens, self.request.stop)
        self.ended = ended or len(self.tokens) >= self.limit
        if not self.ended:
            return None
        cost = Cost(self.seconds, time.perf_counter() - (self.begun or 0.0), device.peak_memory().allocated)
        text = self._end.text(self.tokens, self.request.stop)
        return GenerateResponse(text, tuple(self.tokens), "stop" if ended else "length", cost)


class _Step(NamedTuple):
    """A decoding step that was started.

    Attributes:
        live: Slots and sequences that it computes a token for.
        tokens: Waits for the tokens, by slot.
        begun: When it was started.
    """

    live: list[tuple[int, Sequence]]
    tokens: Callable[[], list[int]]
    begun: float


class Decoder:
    """Generates in slots, which it keeps from one call to the next.

    On a GPU a step is started before the tokens of the one before are read, so that it does not wait for Python; a
    sequence that has ended then computes one more token, which is dropped.

    Args:
        model: The model; its rows must be able to continue earlier tokens.
        rows: Number of slots, where memory allows.
        budget: Prompt tokens computed at once.
    """

    def __init__(self, model: CausalModel, rows: int, budget: Budget) -> None:
        self._model = model
        self._vector = model.hardware.vector
        self._max_slots = rows
        self._budget = budget
        self._steps = StepGraphs(model)
        self._allocate(0, 0)

    @torch.inference_mode()
    def generate(
        self, requests: abc.Sequence[GenerateRequest], recorded: Mapping[int, GenerateResponse], end: AnswerEnd
    ) -> Iterator[tuple[int, GenerateResponse]]:
        """(index in `requests`, response) of each as it ends; where memory runs out, the number of slots is halved.

        Requests with a recorded response take and leave slots as they did when it was generated, but nothing is
        computed while there are no others.
        """
        if len(recorded) == len(requests):
            return
        sequences = [
            Sequence(number, request, self._model.max_length, end, recorded.get(number))
            for number, request in enumerate(requests)
        ]
        prompts = [sequence.prompt for sequence in sequences]
        prefixes, _ = shared_prefixes(prompts, [len(prompt) - 1 for prompt in prompts], _SHORTEST_PREFIX)
        for prefix in prefixes:
            for number in rows_below(prefix):
                sequences[number].shared = prefix.end
        waiting = deque(sorted(sequences, key=lambda sequence: len(sequence.prompt), reverse=True))
        self._free([slot for slot, sequence in enumerate(self._slots) if sequence is not None])  # of a stopped call
        self._steps_ahead.clear()
        while waiting:
            self._provide_slots(waiting)
            try:
                yield from self._run(waiting)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or len(self._slots) == 1:
                    raise
                self._max_slots = len(self._slots) // 2
                self._budget.halve(self._budget.tokens)
            waiting.extendleft(sequence for sequence in reversed(self._slots) if sequence is not None)
            if waiting:
                self._free_memory()

    def forget_weights(self) -> None:
        """Drop what is only valid while the same layers compute."""
        self._steps.clear()

    def _provide_slots(self, waiting: abc.Sequence[Sequence]) -> None:
        """Allocate slots for these sequences unless those of the last call are enough."""
        most = max(len(sequence.prompt) + sequence.limit for sequence in waiting)
        tokens = self._steps.length(most + self._model.hardware.steps_ahead)
        wanted = min(self._max_slots, len(waiting))
        if tokens <= self._cache.tokens and wanted <= self._cache.rows:
            return
        self._free_memory()
        room = int(_MEMORY_SHARE * self._model.hardware.available_memory()) // (tokens * self._model.token_bytes)
        self._allocate(max(1, min(wanted, room)), tokens)

    def _allocate(self, rows: int, tokens: int) -> None:
        self._steps.clear()
        self._cache = SlotKVCache(rows, tokens)
        self._slots: list[Sequence | None] = [None] * rows
        self._steps_ahead: deque[_Step] = deque()
        device = self._model.device
        self._next = torch.zeros(rows, dtype=torch.long, device=device)  # next input token
        self._positions = torch.zeros(rows, dtype=torch.long, device=device)
        self._live = torch.zeros(rows, dtype=torch.long, device=device)  # 1 while a slot's sequence generates

    def _free_memory(self) -> None:
        """Give back the slots' memory, if there are any."""
        if self._slots:
            self._allocate(0, 0)
            self._model.hardware.release_memory()

    def _run(self, waiting: deque[Sequence]) -> Iterator[tuple[int, GenerateResponse]]:
        """Generate until all sequences are finished."""
        self._model.hardware.reset_peak_memory()
        self._read = time.perf_counter()
        while True:
            free = [slot for slot, sequence in enumerate(self._slots) if sequence is None]
            if waiting and len(free) >= max(1, len(self._slots) // _REFILL_SHARE):
                yield from self._fill(free, waiting)
            elif len(free) == len(self._slots):
                self._steps_ahead.clear()
                return
            else:
                stop_if_asked()
                if step := self._start_step(closed=not waiting):
                    self._steps_ahead.append(step)
                if step is None or len(self._steps_ahead) > self._model.hardware.steps_ahead:
                    yield from self._finish(self._steps_ahead.popleft())

    def _fill(self, free: abc.Sequence[int], waiting: deque[Sequence]) -> Iterator[tuple[int, GenerateResponse]]:
        """Prefill free slots with prompts, and choose the first token of each answer."""
        placed = [(slot, waiting.popleft()) for slot in free[: len(waiting)]]
        for slot, sequence in placed:
            self._slots[slot] = sequence
            sequence.started = len(sequence.tokens)
        placed.sort(key=lambda entry: entry[1].shared_prefix)
        for prefix, group in groupby(placed, key=lambda entry: entry[1].shared_prefix):
            before = None
            for batch in self._budget.batches(list(group), lambda entry: entry[1].length - entry[1].shared):
                started = time.perf_counter()
                slots, sequences = [slot for slot, _ in batch], [sequence for _, sequence in batch]
                computed = any(sequence.recorded is None for sequence in sequences)
                if computed and prefix and before is None:
                    before = self._model.states([prefix], keep=True)[1]
                tokens = self._prefill(slots, sequences, before) if computed else [0] * len(sequences)
                index = self._vector(slots)
                self._next[index] = self._vector(tokens)
                self._positions[index] = self._vector([sequence.length for sequence in sequences])
                self._live[index] = 1
                self._started(list(zip(slots, sequences, strict=True)))
                self._share(started, sequences)
                for sequence in sequences:
                    sequence.begun = sequence.begun or started
                for slot, sequence, token in zip(slots, sequences, tokens, strict=True):
                    response = sequence.append(token, self._model.hardware)
                    if response is not None:
                        self._free([slot])
                        if sequence.recorded is None:
                            yield sequence.number, response

    def _prefill(self, slots: list[int], sequences: list[Sequence], before: PrefixKVCache | None) -> list[int]:
        """Write the keys and values of prompts into their slots; returns the chosen next token of each."""
        tokens = [sequence.written[sequence.shared :] for sequence in sequences]
        states, made = self._model.states(tokens, before, [0] * len(sequences), keep=True)
        assert made is not None
        self._cache.put(slots, made)
        last = torch.tensor([len(row) - 1 for row in tokens], device=states.device)
        logits = self._model.logits(states[torch.arange(len(sequences), device=states.device), last])
        requests, draws = [sequence.request for sequence in sequences], [sequence.draw() for sequence in sequences]
        chosen: list[int] = choose(logits, requests, draws).tolist()
        return chosen

    def _start_step(self, *, closed: bool) -> _Step | None:
        """Start computing one more token of every sequence; None if no sequence can have one.

        Args:
            closed: Whether no prompt takes a free slot any more.
        """
        begun = time.perf_counter()
        if closed:
            self._compact_slots()
        occupied = [(slot, sequence) for slot, sequence in enumerate(self._slots) if sequence is not None]
        live = [(slot, sequence) for slot, sequence in occupied if sequence.started < sequence.limit]
        if not live:
            return None
        count = self._steps.rows(live[-1][0] + 1, len(self._slots))
        if any(sequence.recorded is None for _, sequence in live):
            tokens = self._next_tokens(count, dict(live))
        else:
            tokens = partial(list, repeat(0, count))
        self._started(live)
        self._positions[:count] += self._live[:count]
        return _Step(live, tokens, begun)

    def _started(self, sequences: abc.Sequence[tuple[int, Sequence]]) -> None:
        """Count a token that was started of each sequence; recorded ones replace those that are computed."""
        recorded = [(slot, sequence.next_recorded()) for slot, sequence in sequences if sequence.recorded is not None]
        if recorded:
            slots, tokens = map(list, zip(*recorded, strict=True))
            self._next[self._vector(slots)] = self._vector(tokens)
        for _, sequence in sequences:
            sequence.started += 1

    def _next_tokens(self, count: int, live: Mapping[int, Sequence]) -> Callable[[], list[int]]:
        """Start computing one step of the first `count` slots; returns what waits for their next tokens."""
        length, fused = self._cache.tokens, self._model.fused
        if not (fused and fused.reads_lengths):
            length = self._steps.length(max(len(sequence.prompt) + sequence.started for sequence in live.values()))
        logits = self._steps.logits(self._next[:count], self._positions[:count], self._cache, length)
        sequences = [live.get(slot) for slot in range(count)]
        requests = [None if sequence is None else sequence.request for sequence in sequences]
        chosen = choose(logits, requests, [0.0 if sequence is None else sequence.draw() for sequence in sequences])
        self._next[:count] = chosen
        return self._model.hardware.copied(chosen)

    def _finish(self, step: _Step) -> Iterator[tuple[int, GenerateResponse]]:
        """Read the tokens of a step, and free the slots of the sequences that end with them."""
        tokens = step.tokens()
        live = [(slot, sequence) for slot, sequence in step.live if not sequence.ended]
        self._share(max(step.begun, self._read), [sequence for _, sequence in live])
        self._read = time.perf_counter()
        responses = [(sequence, sequence.append(tokens[slot], self._model.hardware)) for slot, sequence in live]
        ended = [(sequence, response) for sequence, response in responses if response is not None]
        self._free([self._slots.index(sequence) for sequence, _ in ended])
        for sequence, response in ended:
            if sequence.recorded is None:
                yield sequence.number, response

    def _compact_slots(self) -> None:
        """Move sequences from the last slots to free ones if a step then computes fewer rows."""
        live = [slot for slot, sequence in enumerate(self._slots) if sequence is not None]
        total = len(self._slots)
        if self._steps.rows(len(live), total) == self._steps.rows(live[-1] + 1, total):
            return
        to = [slot for slot in range(len(live)) if self._slots[slot] is None]
        of = live[-len(to) :]
        self._cache.move(of, to)
        for source, target in zip(of, to, strict=True):
            self._slots[target], self._slots[source] = self._slots[source], None
        for state in (self._next, self._positions, self._live):
            state[self._vector(to)] = state[self._vector(of)]
        self._live[self._vector(of)] = 0

    def _free(self, slots: list[int]) -> None:
        for slot in slots:
            self._slots[slot] = None
        if slots:
            self._live[self._vector(slots)] = 0

    def _share(self, started: float, sequences: abc.Sequence[Sequence]) -> None:
        share = (time.perf_counter() - started) / max(1, len(sequences))
        for sequence in sequences:
            sequence.seconds += share
