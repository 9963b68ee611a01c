"""Divides requests among the processes that `accelerate launch` or `torchrun` started, one GPU each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from harness.engines.interface import Engine, GenerateRequest, ModelRequest, PerplexityRequest, Request, Response
from training.models.device import pick_device
from training.processes import process_count

if TYPE_CHECKING:
    from accelerate import PartialState

_Value = TypeVar("_Value")
_TIMEOUT = timedelta(hours=6)  # of waiting for another process, whose answers may be longer


class SharedEngine:
    """An engine in every process; each computes its share, and all get all responses. See `interface.Engine`.

    Requests are divided by length, so that shares take about as long. In float32 the responses are those of one
    process; in 16 bits they move as with any other division into batches.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = _join_processes()
        self.capabilities = engine.capabilities
        self.setup = engine.setup  # to which it may add later
        self.setup["processes"] = self._state.num_processes

    def respond(self, requests: Sequence[ModelRequest]) -> Iterator[tuple[int, Response]]:
        """Respond model by model, once all processes have finished a model."""
        from accelerate.utils import gather_object

        for name in dict.fromkeys(request.model for request in requests):
            indices = [index for index, request in enumerate(requests) if request.model == name]
            indices.sort(key=lambda index: _size(requests[index].request), reverse=True)
            share = indices[self._state.process_index :: self._state.num_processes]
            responses = self._engine.respond([requests[index] for index in share])
            yield from gather_object([(share[position], response) for position, response in responses])

    def close(self) -> None:
        """Release this process's weights."""
        self._engine.close()


def in_all_processes(indices: set[int]) -> set[int]:
    """The indices that every process has, so that all of them build the same requests and none waits forever."""
    return set.intersection(*_gather(indices))


def slowest_process(seconds: float) -> float:
    """Maximum of `seconds` over all processes, so that all of them decide alike what there is time for."""
    return max(_gather(seconds))


def _gather(value: _Value) -> list[_Value]:
    """The values of all processes."""
    if process_count() == 1:
        return [value]
    from accelerate.utils import gather_object

    _join_processes()
    values: list[_Value] = gather_object([value])
    return values


def _join_processes() -> PartialState:
    """This process's rank and the number of processes; the first call joins the group."""
    from accelerate import PartialState

    return PartialState(cpu=pick_device().type == "cpu", timeout=_TIMEOUT)


def _size(request: Request) -> tuple[bool, int]:
    """Sort key by which requests are divided: generations apart, then number of tokens."""
    if isinstance(request, GenerateRequest):
        return True, len(request.prompt)
    if isinstance(request, PerplexityRequest):
        return False, len(request.tokens)
    return False, len(request.context) + len(request.continuation)
