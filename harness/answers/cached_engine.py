"""An engine behind the answer store: it gets only the missing requests, and every response is stored at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.engines.choice import Choice, start_engine
from harness.engines.shared_engine import SharedEngine
from training.processes import process_count

if TYPE_CHECKING:
    from harness.answers.stored_answers import ResponseCache
    from harness.engines.interface import Engine, ModelRequest, Response
    from harness.planning.run_plan import Plan


class CachedEngine:
    """Responds from the cache where it can; see `harness.engines.interface.Engine`."""

    def __init__(self, engine: Engine, cache: ResponseCache) -> None:
        self._engine = engine
        self._cache = cache
        self.capabilities = engine.capabilities
        self.setup = engine.setup

    def respond(self, requests: Sequence[ModelRequest]) -> Iterator[tuple[int, Response]]:
        """Cached responses first, then each new one once it is in the store."""
        cached = self._cache.load(requests)
        yield from cached.items()
        if len(cached) == len(requests):
            return
        replays = "replay" in self.capabilities
        indices = [index for index in range(len(requests)) if replays or index not in cached]
        for position, response in self._engine.respond([requests[index] for index in indices]):
            index = indices[position]
            self._cache.put(requests[index], response)
            yield index, response

    def close(self) -> None:
        """Release the engine's memory."""
        self._engine.close()


def load_engine(plan: Plan, choice: Choice, requests: Iterable[ModelRequest], cache: ResponseCache) -> Engine:
    """Start the engine of a plan behind the cache, in every process that a launcher started.

    `requests` are all that will follow; `cache` gets the new responses.
    """
    engine = CachedEngine(start_engine(plan, choice, requests, cache.recorded), cache)
    return SharedEngine(engine) if process_count() > 1 else engine
