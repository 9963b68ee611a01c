"""Shares requests out over the processes that `accelerate launch` or `torchrun` started, one GPU each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from harness.engines.interface import NONE_KNOWN, Answer, Asked, Engine, GenerateRequest, PerplexityRequest, Request
from training.models.device import pick_device
from training.processes import process_count

if TYPE_CHECKING:
    from accelerate import PartialState
    from transformers import PreTrainedTokenizerBase

_PATIENCE = timedelta(hours=6)  # with which a process waits for the others, whose answers may be longer


class SharedEngine:
    """An engine in every process; each answers its share, and all get all answers. See `interface.Engine`.

    Requests are dealt out by length, so that shares take about as long. In float32 the answers are those of one
    process; in 16 bits they move as with any other division into batches.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = _joined()
        self.name = engine.name
        self.tokenizer: PreTrainedTokenizerBase = engine.tokenizer
        self.max_length = engine.max_length
        self.setup = {**engine.setup, "processes": self._state.num_processes}

    def answer(self, asked: Sequence[Asked], known: Mapping[int, Answer] = NONE_KNOWN) -> Iterator[tuple[int, Answer]]:
        """Answers model by model, once all processes are through with one."""
        from accelerate.utils import gather_object

        for name in dict.fromkeys(model for model, _ in asked):
            places = [place for place, (model, _) in enumerate(asked) if model == name]
            places.sort(key=lambda place: _size(asked[place][1]), reverse=True)
            mine = places[self._state.process_index :: self._state.num_processes]
            given = {number: known[place] for number, place in enumerate(mine) if place in known}
            answers = self._engine.answer([asked[place] for place in mine], given)
            found = [(mine[number], answer) for number, answer in answers]
            yield from gather_object(found)

    def close(self) -> None:
        """Let go of this process's weights."""
        self._engine.close()


def known_to_all(places: set[int]) -> set[int]:
    """What every process says it knows: all of them must go by the same, or they would wait for one another."""
    if process_count() == 1:
        return places
    from accelerate.utils import gather_object

    _joined()
    found: list[set[int]] = gather_object([places])
    return set.intersection(*found)


def slowest_process(seconds: float) -> float:
    """The most seconds of any process, so that all of them decide alike what there is time for."""
    if process_count() == 1:
        return seconds
    from accelerate.utils import gather_object

    _joined()
    return float(max(gather_object([seconds])))


def _joined() -> PartialState:
    """This process's place among the others, which it joins when it is first asked."""
    from accelerate import PartialState

    return PartialState(cpu=pick_device().type == "cpu", timeout=_PATIENCE)


def _size(request: Request) -> tuple[bool, int]:
    """What requests are dealt out by: generations among themselves, and longer ones first."""
    if isinstance(request, GenerateRequest):
        return True, len(request.prompt)
    if isinstance(request, PerplexityRequest):
        return False, len(request.tokens)
    return False, len(request.context) + len(request.continuation)
