"""Scores some items of every task again with all models, in rounds, until a time limit."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.answers.answer_keys import model_key, pair_key, store_key
from harness.answers.cached_engine import load_engine
from harness.answers.stored_answers import ResponseCache, opened_store
from harness.engines.choice import choose_engine
from harness.engines.interface import AllRequests
from harness.engines.shared_engine import slowest_process
from harness.scoring.noise_budget import rounds
from harness.scoring.questions import question_blocks
from harness.scoring.samples import make_samples
from harness.scoring.stage import build_requests, stream_responses
from reports.document.checksums import verified_facts, write_samples
from reports.document.reading import read_samples
from reports.errors import UserError
from reports.files import read_json, sha256_value, write_json
from tasks.data import sample_indices
from training.processes import is_main, process_count

if TYPE_CHECKING:
    from harness.console import Advance, Terminal
    from harness.engines.choice import Choice
    from harness.engines.interface import Engine, ModelRequest, Response
    from harness.planning.run_plan import Plan
    from harness.scoring.questions import Block
    from reports.document.schema import Sample

_log = logging.getLogger("medbench.scoring")
ROUNDS = 4
_FILE = "measured.json"
Samples = dict[tuple[str, str], list["Sample"]]  # by model and task
Clock = Callable[[], float]


@dataclass(frozen=True)
class Rescored:
    """Items that were scored again.

    Attributes:
        samples: Samples by model and task; every model has the same items, fewer than wanted at the time limit.
        seconds: Time it took, loading included.
    """

    samples: Samples
    seconds: float


class _TimeIsUp(Exception):  # noqa: N818 - not an error: what was scored before counts
    """The time limit was reached in the middle of a round."""


def score_again(
    plan: Plan,
    items: Mapping[str, int],
    limit_seconds: float | None,
    *,
    terminal: Terminal,
    again: bool = False,
    clock: Clock = time.perf_counter,
) -> Rescored:
    """Score items of a plan again, drawn by its seed; what its folder holds of an earlier such scoring is reused.

    Args:
        plan: The plan in the other arithmetic, with a folder of its own.
        items: Number of items by task; tasks that are not named are left out.
        limit_seconds: Time limit, loading included; None for none. A round in which it is reached does not count.
        terminal: Shows the progress.
        again: Reuse neither earlier samples nor stored answers.
        clock: Seconds since any moment.
    """
    plan = replace(plan, tasks=[loaded for loaded in plan.tasks if loaded.name in items])
    scoring = _Rescoring(plan, items, limit_seconds, terminal, again, clock)
    if not again and (earlier := scoring.read()) is not None:
        return earlier
    rescored = scoring.score()
    if is_main():
        scoring.write(rescored)
    return rescored


@dataclass(frozen=True)
class _Rescoring:
    """Scores items again, see `score_again`; `plan` has only the tasks to score."""

    plan: Plan
    items: Mapping[str, int]
    limit_seconds: float | None
    terminal: Terminal
    again: bool
    clock: Clock

    @functools.cached_property
    def _choice(self) -> Choice:
        return choose_engine(self.plan)

    @functools.cached_property
    def _models(self) -> dict[str, str]:
        """Keys of the models by name."""
        return {model.name: model_key(self.plan, self._choice, model, self.terminal.note) for model in self.plan.models}

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        return [(model.name, loaded.name) for model in self.plan.models for loaded in self.plan.tasks]

    def score(self) -> Rescored:
        """Score round by round until all items are done or the time is up."""
        started, last_round = self.clock(), 0.0
        samples: Samples = {pair: [] for pair in self._pairs}
        with opened_store(self.terminal) as store, contextlib.ExitStack() as stack:
            keys = {model: store_key(key, self.plan.device) for model, key in self._models.items()}
            cache, engine = ResponseCache(store, keys, reads=not self.again), None
            for number, block in enumerate(self._blocks(), 1):
                requests = self._requests(block)
                cached = cache.load(requests)
                if engine is None and (len(cached) < len(requests) or process_count() > 1):
                    engine = stack.enter_context(contextlib.closing(self._start(cache)))
                responses = cached.items() if engine is None else engine.respond(requests)
                began = self.clock()
                if self._is_over(slowest_process(began - started) + last_round):
                    break
                progress = self.terminal.progress(f"scoring again, part {number}", len(requests) - len(cached))
                try:
                    with progress as advance:
                        scored = self._score_block(block, requests, responses, advance, started)
                except _TimeIsUp:
                    break
                for pair, rows in scored.items():
                    samples[pair] += rows
                last_round = self.clock() - began
        return Rescored(samples, self.clock() - started)

    def _blocks(self) -> Iterator[Block]:
        """The questions of each round."""
        plan, seed = self.plan, self.plan.recipe.seed
        drawn = {
            loaded.name: [loaded.indices[place] for place in sample_indices(len(loaded.indices), wanted, seed)]
            for loaded in plan.tasks
            for wanted in [self.items[loaded.name]]
        }
        for part in rounds(drawn, ROUNDS):
            tasks = [loaded.at(part[loaded.name]) for loaded in plan.tasks if loaded.name in part]
            yield from question_blocks(tasks, plan.asked_dialogues, seed)

    def _pairs_of(self, block: Block) -> list[tuple[str, str]]:
        """The models and tasks that a round asks."""
        return [pair for pair in self._pairs if pair in block.questions]

    def _requests(self, block: Block) -> list[ModelRequest]:
        """The requests of a round to all models, without duplicates."""
        return build_requests(block.questions, self._pairs_of(block))

    def _start(self, cache: ResponseCache) -> Engine:
        requests = AllRequests(lambda: (one for block in self._blocks() for one in self._requests(block)))
        return load_engine(self.plan, self._choice, requests, cache)

    def _is_over(self, seconds: float) -> bool:
        return self.limit_seconds is not None and seconds > self.limit_seconds

    def _score_block(
        self,
        block: Block,
        requests: Sequence[ModelRequest],
        responses: Iterable[tuple[int, Response]],
        advance: Advance,
        started: float,
    ) -> Samples:
        """The samples of a round.

        Raises:
            _TimeIsUp: The time limit is reached; with several processes, which wait for one another, never.
        """

        def advance_in_time(count: int, model: str) -> None:
            if process_count() == 1 and self._is_over(self.clock() - started):
                raise _TimeIsUp
            advance(count, model)

        scored: Samples = {}
        pairs = self._pairs_of(block)
        for (model, task), answers in stream_responses(responses, requests, block.questions, pairs, advance_in_time):
            questions = block.questions[model, task]
            logged = questions.evaluate(answers.__getitem__)["samples"][task]
            scored[model, task] = make_samples(questions.loaded, model, logged)
        return scored

    @property
    def _key(self) -> str:
        """Hash over everything that decides the samples, but the time limit."""
        seed = self.plan.recipe.seed
        return sha256_value(
            [
                [pair_key(self._models[model.name], loaded.asked(model.name), seed), self.items[loaded.name]]
                for model in self.plan.models
                for loaded in self.plan.tasks
            ]
        )

    def read(self) -> Rescored | None:
        """What the folder holds of an earlier scoring of the same items; None if it holds none that is whole."""
        path = self.plan.folder.path / _FILE
        if not path.is_file():
            return None
        try:
            about = read_json(path)
            if about["key"] != self._key:
                return None
            paths = {pair: self.plan.folder.samples(*pair) for pair in self._pairs}
            for samples_file in paths.values():
                verified_facts(samples_file, required=True)
            samples = {pair: list(read_samples(file)) for pair, file in paths.items()}
            return Rescored(samples, float(about["seconds"]))
        except (UserError, KeyError, OSError, TypeError, ValueError) as error:
            _log.warning("%s: not usable, scored again: %s", path, error)
            self.terminal.note("the saved noise measurement is broken or was changed; measured again")
            return None

    def write(self, rescored: Rescored) -> None:
        """Write samples into the folder, and at last what they rest on."""
        path = self.plan.folder.path / _FILE
        path.unlink(missing_ok=True)
        for pair, rows in rescored.samples.items():
            write_samples(self.plan.folder.samples(*pair), rows)
        write_json(path, {"key": self._key, "seconds": round(rescored.seconds, 3)})
