"""Models with several bases: one engine for each base, started when it is needed and closed before the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.engines.interface import CAPABILITIES, Capability, Engine, ModelRequest, Response


class SeveralBases:
    """Responds base by base, with the weights of one in memory; see `harness.engines.interface.Engine`.

    The base that responded last stays in memory until another one is needed and is the first to respond to the next
    requests, so of N bases each later block of requests loads N - 1. A base without a missing response is not loaded.

    Args:
        name: The engine of the models on this machine, for the report.
        starts: Starts an engine, by the names of the models that it responds for.
        recorded: Returns the response to a request from an earlier run, or None.
    """

    capabilities: frozenset[Capability] = CAPABILITIES | {"replay"}

    def __init__(
        self,
        name: str,
        starts: Mapping[frozenset[str], Callable[[], Engine]],
        recorded: Callable[[ModelRequest], Response | None],
    ) -> None:
        self._starts = starts
        self._recorded = recorded
        self._models: frozenset[str] = frozenset()  # that the engine in memory responds for
        self._engine: Engine | None = None
        self.setup: dict[str, str | float] = {"engine": name, "bases": len(starts), "loads": 0, "start_seconds": 0.0}

    def respond(self, requests: Sequence[ModelRequest]) -> Iterator[tuple[int, Response]]:
        """Responses base by base; those of earlier runs go only to engines that replay them."""
        missing = {index for index, request in enumerate(requests) if self._recorded(request) is None}
        for models in sorted(self._starts, key=lambda models: models != self._models):
            own = [index for index, request in enumerate(requests) if request.model in models]
            if missing.isdisjoint(own):
                continue
            engine = self._started(models)
            if "replay" not in engine.capabilities:
                own = [index for index in own if index in missing]
            for place, response in engine.respond([requests[index] for index in own]):
                yield own[place], response

    def close(self) -> None:
        """Release the weights in memory."""
        if self._engine is not None:
            self._engine.close()
        self._engine, self._models = None, frozenset()

    def _started(self, models: frozenset[str]) -> Engine:
        """The engine of some models, started after the one in memory is closed."""
        if self._engine is None or models != self._models:
            self.close()
            engine = self._starts[models]()
            self._engine, self._models = engine, models
            added = {"loads": 1.0, "start_seconds": float(engine.setup.get("start_seconds", 0.0))}
            sums = {key: round(float(self.setup[key]) + value, 3) for key, value in added.items()}
            self.setup.update({**engine.setup, **self.setup, **sums})
        return self._engine
