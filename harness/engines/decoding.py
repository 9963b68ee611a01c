"""Continues many prompts at once: each in a place of its own, which the next prompt takes when one is done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import torch

from harness.engines.answer_text import AnswerEnd
from harness.engines.causal_model import Budget, CausalModel
from harness.engines.interface import Cost, GenerateAnswer, GenerateRequest
from harness.engines.key_values import Recorded, Slots
from harness.engines.prefixes import rows_below, shared_prefixes
from harness.engines.rows import Tokens
from harness.engines.sampling import Draws, choose
from harness.engines.step_graphs import StepGraphs
from harness.engines.windows import fitted
from training.machine_failures import is_out_of_memory
from training.models.device import Device
from training.stopping import stop_if_asked

_SHORTEST_PREFIX = 16  # tokens
_MEMORY_SHARE = 0.6  # of what is free, for keys and values
_REFILL_SHARE = 8  # places are filled again once this part of them is free


class Row:
    """One prompt while it is being continued; one whose answer is known only fills its place."""

    def __init__(
        self, number: int, request: GenerateRequest, max_length: int, known: GenerateAnswer | None = None
    ) -> None:
        self.number = number
        self.request = request
        self.known = known
        self.prompt, self.limit = fitted(request, max_length)
        self.tokens: list[int] = []
        self.shared = 0  # tokens that other prompts begin with too
        self.begun: float | None = None
        self.seconds = 0.0
        self._draws = Draws(request) if request.temperature > 0 else None

    @property
    def written(self) -> Tokens:
        """The prompt, and what has been added to it."""
        return (*self.prompt, *self.tokens)

    @property
    def length(self) -> int:
        """Tokens written."""
        return len(self.prompt) + len(self.tokens)

    def draw(self) -> float:
        """The random number for the next token."""
        return self._draws.at(len(self.tokens)) if self._draws else 0.0

    def next(self, chosen: int) -> int:
        """The next token: the chosen one, but for a known answer its own."""
        return chosen if self.known is None else self.known.tokens[len(self.tokens)]

    def take(self, token: int, end: AnswerEnd, device: Device) -> GenerateAnswer | None:
        """Add a token; the answer when that was its last."""
        self.tokens.append(token)
        if self.known is not None:
            return self.known if len(self.tokens) >= len(self.known.tokens) else None
        ended = end.reached(self.tokens, self.request.stop)
        if not ended and len(self.tokens) < self.limit:
            return None
        cost = Cost(self.seconds, time.perf_counter() - (self.begun or 0.0), device.peak_memory().allocated)
        text = end.text(self.tokens, self.request.stop)
        return GenerateAnswer(text, tuple(self.tokens), "stop" if ended else "length", cost)


class Decoder:
    """Answers generation requests; keeps its places from one call to the next.

    Args:
        model: Computes; its rows must be able to go on from earlier tokens.
        end: Knows when an answer is over.
        rows: Prompts continued at once, where memory allows.
        budget: Prompt tokens computed at once.
    """

    def __init__(self, model: CausalModel, end: AnswerEnd, rows: int, budget: Budget) -> None:
        self._model = model
        self._end = end
        self._most = rows
        self._budget = budget
        self._steps = StepGraphs(model)
        self._make_places(0, 0)

    @torch.inference_mode()
    def answers(
        self, requests: Sequence[GenerateRequest], known: Mapping[int, GenerateAnswer]
    ) -> Iterator[tuple[int, GenerateAnswer]]:
        """(place in `requests`, answer) of each as it ends; where memory runs out, half as many go on at once.

        Requests with a known answer come and go as they did when it was given, but nothing is computed while there are
        no others.
        """
        if len(known) == len(requests):
            return
        rows = [
            Row(number, request, self._model.max_length, known.get(number)) for number, request in enumerate(requests)
        ]
        prompts = [row.prompt for row in rows]
        prefixes, _ = shared_prefixes(prompts, [len(prompt) - 1 for prompt in prompts], _SHORTEST_PREFIX)
        for prefix in prefixes:
            for number in rows_below(prefix):
                rows[number].shared = prefix.end
        waiting = deque(sorted(rows, key=lambda row: len(row.prompt), reverse=True))
        while waiting:
            self._ready(waiting)
            try:
                yield from self._run(waiting)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or len(self._places) == 1:
                    raise
                self._most = len(self._places) // 2
                self._budget.halve(self._budget.tokens)
            waiting.extendleft(row for row in reversed(self._places) if row is not None)
            if waiting:
                self._make_places(0, 0)

    def forget_weights(self) -> None:
        """Drop what only holds while the same layers compute."""
        self._steps.clear()

    def _ready(self, waiting: Sequence[Row]) -> None:
        """See that there are places for these rows; those of the last call are kept where they are enough."""
        tokens = self._steps.length(max(len(row.prompt) + row.limit for row in waiting))
        wanted = min(self._most, len(waiting))
        if tokens <= self._slots.tokens and wanted <= self._slots.rows:
            return
        self._make_places(0, 0)
        room = int(_MEMORY_SHARE * self._model.hardware.available_memory()) // (tokens * self._model.token_bytes)
        self._make_places(max(1, min(wanted, room)), tokens)

    def _make_places(self, rows: int, tokens: int) -> None:
        self._steps.clear()
        self._slots = Slots(rows, tokens)
        self._places: list[Row | None] = [None] * rows
        device = self._model.device
        self._next = torch.zeros(rows, dtype=torch.long, device=device)  # token to be fed
        self._positions = torch.zeros(rows, dtype=torch.long, device=device)
        self._live = torch.zeros(rows, dtype=torch.long, device=device)  # 1 where a row goes on
        if not rows:
            self._model.hardware.release_memory()

    def _run(self, waiting: deque[Row]) -> Iterator[tuple[int, GenerateAnswer]]:
        """Until nothing waits and nothing goes on."""
        self._model.hardware.reset_peak_memory()
        while True:
            free = [place for place, row in enumerate(self._places) if row is None]
            if waiting and len(free) >= max(1, len(self._places) // _REFILL_SHARE):
                yield from self._fill(free, waiting)
            elif len(free) == len(self._places):
                return
            else:
                stop_if_asked()
                yield from self._step(closed=not waiting)

    def _fill(self, free: Sequence[int], waiting: deque[Row]) -> Iterator[tuple[int, GenerateAnswer]]:
        """Compute prompts into free places, and the first token of each answer."""
        placed = [(place, waiting.popleft()) for place in free[: len(waiting)]]
        for place, row in placed:
            self._places[place] = row
        placed.sort(key=lambda each: each[1].prompt[: each[1].shared])
        for prefix, same in groupby(placed, key=lambda each: each[1].prompt[: each[1].shared]):
            before = None
            sizes = self._budget.batches(list(same), lambda each: each[1].length - each[1].shared)
            for batch in sizes:
                started = time.perf_counter()
                rows = [row for _, row in batch]
                computed = any(row.known is None for row in rows)
                if computed and prefix and before is None:
                    before = self._model.states([prefix], keep=True)[1]
                places = [place for place, _ in batch]
                found = self._prefill(places, rows, before) if computed else [0] * len(rows)
                chosen = [row.next(token) for row, token in zip(rows, found, strict=True)]
                self._begin(places, rows, chosen)
                self._share(started, rows)
                for (place, row), token in zip(batch, chosen, strict=True):
                    row.begun = row.begun or started
                    answer = row.take(token, self._end, self._model.hardware)
                    if answer is not None:
                        self._leave([place])
                        if row.known is None:
                            yield row.number, answer

    def _prefill(self, places: list[int], rows: list[Row], before: Recorded | None) -> list[int]:
        """Keys and values of prompts into their places; returns the likeliest or drawn next token of each."""
        tokens = [row.written[row.shared :] for row in rows]
        states, made = self._model.states(tokens, before, [0] * len(rows), keep=True)
        assert made is not None
        self._slots.put(places, made)
        last = torch.tensor([len(row) - 1 for row in tokens], device=states.device)
        logits = self._model.logits(states[torch.arange(len(rows), device=states.device), last])
        found: list[int] = choose(logits, [row.request for row in rows], [row.draw() for row in rows]).tolist()
        return found

    def _begin(self, places: list[int], rows: list[Row], chosen: list[int]) -> None:
        """Note the next token and its position of rows that now go on."""
        where = torch.tensor(places, device=self._next.device)
        self._next[where] = torch.tensor(chosen, device=where.device)
        self._positions[where] = torch.tensor([row.length for row in rows], device=where.device)
        self._live[where] = 1

    def _step(self, *, closed: bool) -> Iterator[tuple[int, GenerateAnswer]]:
        """One token for every row; if `closed`, no row takes a free place any more."""
        started = time.perf_counter()
        if closed:
            self._close_ranks()
        live = [(place, row) for place, row in enumerate(self._places) if row is not None]
        count = self._steps.rows(live[-1][0] + 1, len(self._places))
        length = self._steps.length(max(row.length for _, row in live))
        words = self._chosen(count, length) if any(row.known is None for _, row in live) else [0] * count
        if any(row.known is not None for _, row in live):
            for place, row in live:
                words[place] = row.next(words[place])
            self._next[:count] = torch.tensor(words, device=self._next.device)
        self._positions[:count] += self._live[:count]
        self._share(started, [row for _, row in live])
        ended = []
        for place, row in live:
            answer = row.take(words[place], self._end, self._model.hardware)
            if answer is not None:
                ended.append((place, row, answer))
        self._leave([place for place, _, _ in ended])
        for _, row, answer in ended:
            if row.known is None:
                yield row.number, answer

    def _chosen(self, count: int, length: int) -> list[int]:
        """Compute one step of the first `count` places; returns their next tokens."""
        places = self._places[:count]
        logits = self._steps.logits(self._next[:count], self._positions[:count], self._slots, length)
        requests = [None if row is None else row.request for row in places]
        chosen = choose(logits, requests, [0.0 if row is None else row.draw() for row in places])
        self._next[:count] = chosen
        words: list[int] = chosen.tolist()
        return words

    def _close_ranks(self) -> None:
        """Move rows from the last places to free ones, where a step then computes fewer rows."""
        live = [place for place, row in enumerate(self._places) if row is not None]
        most = len(self._places)
        if self._steps.rows(len(live), most) == self._steps.rows(live[-1] + 1, most):
            return
        to = [place for place in range(len(live)) if self._places[place] is None]
        of = live[-len(to) :]
        self._slots.move(of, to)
        for source, place in zip(of, to, strict=True):
            self._places[place], self._places[source] = self._places[source], None
        for state in (self._next, self._positions, self._live):
            state[torch.tensor(to, device=state.device)] = state[torch.tensor(of, device=state.device)]
        self._live[torch.tensor(of, device=self._live.device)] = 0

    def _leave(self, places: list[int]) -> None:
        for place in places:
            self._places[place] = None
        if places:
            self._live[torch.tensor(places, device=self._live.device)] = 0

    def _share(self, started: float, rows: Sequence[Row]) -> None:
        share = (time.perf_counter() - started) / len(rows)
        for row in rows:
            row.seconds += share
