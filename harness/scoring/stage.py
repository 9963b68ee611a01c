"""The scoring stage: scores all models on all tasks, block by block, and saves each (model, task) once complete."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from harness.answers.answer_keys import model_key, pair_key, store_key
from harness.answers.cached_engine import load_engine
from harness.answers.stored_answers import ResponseCache, opened_store
from harness.engines.choice import Choice, choose_engine
from harness.engines.interface import AllRequests, Engine, ModelRequest, NotFiniteError, Request, Response
from harness.engines.shared_engine import in_all_processes
from harness.planning.run_plan import Plan
from harness.scoring.evaluation import Evaluation
from harness.scoring.kept_answers import Scored, keep, read_kept
from reports.files import write_json
from tasks import catalog
from tasks.pubmedqa import prediction
from training.processes import is_main, process_count
from training.stopping import finishing_batches

if TYPE_CHECKING:
    from harness.console import Advance, Terminal
    from harness.scoring.questions import Block, Questions

_log = logging.getLogger("medbench.scoring")
_Item = TypeVar("_Item")
Pair = tuple[str, str]  # model and task


def score_models(
    plan: Plan, terminal: Terminal, stages: dict[str, float], *, again: bool = False
) -> tuple[list[Scored], dict[str, Any]]:
    """Score every model of a plan on every task; returns the scores and how the engine was set up.

    Saved samples of this folder are reused if model, items and settings are the same, and so are responses in the
    store, unless `again`. Notes in `stages` the seconds of starting the engine, answering, and computing metrics.
    """
    choice = choose_engine(plan)
    setup: dict[str, Any] = {"name": choice.name, "why": choice.why}
    models = {model.name: model_key(plan, choice, model, terminal.note) for model in plan.models}
    keys = {
        (model, loaded.name): pair_key(models[model], loaded.asked(model), plan.recipe.seed)
        for model in models
        for loaded in plan.tasks
    }
    scores: dict[Pair, Scored] = {}
    tasks = {loaded.name: loaded for loaded in plan.tasks}
    for (model, task), key in keys.items():
        path = plan.folder.samples(model, task)
        kept = None if again else read_kept(path, key, model, tasks[task].asked(model), terminal.note)
        if kept is not None:
            terminal.say(f"  {model}, {task}: answered already, kept")
            scores[model, task] = kept
    with opened_store(terminal) as store:
        store_keys = {model: store_key(key, plan.device) for model, key in models.items()}
        cache = ResponseCache(store, store_keys, reads=not again)
        missing = [pair for pair in keys if pair not in scores]
        if missing:
            for scored in _Scoring(plan, choice, missing, terminal, cache, setup, stages).scores():
                pair = scored.model, scored.task.name
                scores[pair] = scored
                if is_main():
                    keep(plan.folder.samples(*pair), keys[pair], scored)
        if "engine" not in setup:
            setup |= cache.find_setup()
    return [scores[pair] for pair in keys], setup


def write_predictions(plan: Plan, scored: Sequence[Scored]) -> None:
    """Write the labels given on PubMedQA tasks in the official submission format."""
    for score in scored:
        if score.task.name in catalog.PUBMEDQA_LABELS:
            labels = {sample.id: prediction(sample) for sample in score.samples if sample.repeat == 0}
            write_json(plan.folder.predictions(score.model, score.task.name), labels)


@dataclass(frozen=True)
class _Scoring:
    """Scores what is missing with an engine.

    Attributes:
        missing: Models and tasks to score.
        cache: Responses of earlier runs; gets the new ones.
        setup: Gets how the engine was set up.
        stages: Gets the seconds of the stages.
    """

    plan: Plan
    choice: Choice
    missing: Sequence[Pair]
    terminal: Terminal
    cache: ResponseCache
    setup: dict[str, Any]
    stages: dict[str, float]

    def scores(self) -> Iterator[Scored]:
        """Everything that is missing, with its samples written."""
        engine: Engine | None = None
        evaluations: dict[Pair, Evaluation] = {}
        with contextlib.ExitStack() as stack:
            for block, requests in _timed(map(self._with_requests, self._blocks()), self.stages, "questions"):
                cached = self._load_cached(block, requests)
                if engine is None and (len(cached) < len(requests) or process_count() > 1):
                    engine = stack.enter_context(contextlib.closing(self._start(block, requests)))
                self.stages.setdefault("metrics", 0.0)
                responses = cached.items() if engine is None else engine.respond(requests)
                pairs = [pair for pair in self.missing if pair in block.questions]
                with self.terminal.progress(f"answering{_part(block)}", len(requests) - len(cached)) as advance:
                    complete = stream_responses(responses, requests, block.questions, pairs, advance)
                    for pair, answers in _timed(complete, self.stages, "answer"):
                        if pair not in evaluations:
                            evaluations[pair] = stack.enter_context(contextlib.closing(self._evaluation(pair)))
                        with _stage(self.stages, "metrics"):
                            evaluations[pair].add(block.questions[pair], answers)
                            if evaluations[pair].is_whole:
                                yield evaluations.pop(pair).finish()
                        del answers
                if engine is not None:
                    self._note_setup(engine)
                del block, requests, cached, responses  # free them before the next block is built

    def _blocks(self) -> Iterator[Block]:
        from harness.scoring.questions import question_blocks

        return question_blocks(self.plan.tasks, self.plan.asked_dialogues, self.plan.recipe.seed)

    def _evaluation(self, pair: Pair) -> Evaluation:
        model, task = pair
        loaded = next(loaded for loaded in self.plan.tasks if loaded.name == task)
        return Evaluation(model, loaded.asked(model), self.plan.folder.samples(model, task) if is_main() else None)

    def _with_requests(self, block: Block) -> tuple[Block, list[ModelRequest]]:
        """A block with its requests. Cached ones of complete pairs are included: they keep batches as they were."""
        pairs = list(block.questions)
        requests = build_requests(block.questions, pairs)
        needed = set(build_requests(block.questions, [pair for pair in pairs if pair in self.missing]))
        if len(needed) < len(requests):
            cached = in_all_processes(set(self.cache.load(requests)))
            requests = [request for index, request in enumerate(requests) if index in cached or request in needed]
        return block, requests

    def _load_cached(self, block: Block, requests: Sequence[ModelRequest]) -> dict[int, Response]:
        """Responses of earlier runs by index in `requests`; says how many there are."""
        cached = self.cache.load(requests)
        if cached:
            part, missing = f"{len(cached)} of {len(requests)} answers{_part(block)}", len(requests) - len(cached)
            self.terminal.say(f"  {part} are in the store, {missing} are asked")
        _log.info("%d requests%s, %d of them cached", len(requests), _part(block), len(cached))
        return cached

    def _start(self, block: Block, requests: Sequence[ModelRequest]) -> Engine:
        for part in self.plan.parts:
            what = f"loading {part.base.source} ({part.weights}), {len(part.adapters)} adapter(s)"
            if part.is_served:
                what = f"asking {', '.join(model.source for model in part.models)}"
            self.terminal.say(f"  {what}; engine: {self.choice.engine_of(part)}")
        all_requests = requests if block.count == 1 else AllRequests(self._all_requests)
        engine = load_engine(self.plan, self.choice, all_requests, self.cache)
        self.stages["start"] = 0.0
        self._note_setup(engine)
        return engine

    def _note_setup(self, engine: Engine) -> None:
        """Note how the engine is set up; one with several bases starts parts of it while it responds."""
        started = float(engine.setup["start_seconds"])
        if "answer" in self.stages:
            self.stages["answer"] = round(self.stages["answer"] - started + self.stages["start"], 3)
        self.stages["start"] = started
        self.setup.update(engine.setup)
        if is_main():
            self.cache.keep_setup(engine.setup)

    def _all_requests(self) -> Iterator[ModelRequest]:
        """The requests of all blocks, built again for an engine whose size depends on the longest."""
        for block in self._blocks():
            yield from build_requests(block.questions, block.questions)


def _part(block: Block) -> str:
    """Which part of the requests a block is, in words; empty for all of them."""
    return "" if block.count == 1 else f" of part {block.number} of {block.count}"


@contextlib.contextmanager
def _stage(stages: dict[str, float], name: str) -> Iterator[None]:
    """Add the block's time to the seconds of a stage."""
    started = time.perf_counter()
    try:
        yield
    finally:
        stages[name] = round(stages.get(name, 0.0) + time.perf_counter() - started, 3)


def _timed(items: Iterator[_Item], stages: dict[str, float], name: str) -> Iterator[_Item]:
    """The items of an iterator, whose time is added to a stage."""
    while True:
        with _stage(stages, name):
            taken = list(itertools.islice(items, 1))
        if not taken:
            return
        yield taken.pop()


def build_requests(questions: Mapping[Pair, Questions], pairs: Iterable[Pair]) -> list[ModelRequest]:
    """The requests of models and tasks, without duplicates."""
    return list(
        dict.fromkeys(ModelRequest(pair[0], request) for pair in pairs for request in questions[pair].requests())
    )


def stream_responses(
    responses: Iterable[tuple[int, Response]],
    requests: Sequence[ModelRequest],
    questions: Mapping[Pair, Questions],
    pairs: Sequence[Pair],
    advance: Advance,
) -> Iterator[tuple[Pair, dict[Request, Response]]]:
    """Each model and task with its responses, once the last of them is there.

    Args:
        responses: By index in `requests`, see `harness.engines.interface.Engine.respond`.
        requests: Requests of these pairs, and others whose responses are ignored.
        questions: By model and task.
        pairs: Models and tasks.
        advance: Called with 1 and the model's name for each new response.

    Raises:
        NotFiniteError: A response is NaN or infinite.
    """
    owners: defaultdict[ModelRequest, list[Pair]] = defaultdict(list)
    for pair in pairs:
        for request in build_requests(questions, [pair]):
            owners[request].append(pair)
    missing = Counter(pair for owning in owners.values() for pair in owning)
    answers: defaultdict[Pair, dict[Request, Response]] = defaultdict(dict)
    with finishing_batches():
        for index, response in responses:
            request = requests[index]
            if not response.is_finite:
                raise NotFiniteError(request.model)
            if not response.cost.reused:
                advance(1, request.model)
            for pair in owners.get(request, ()):
                answers[pair][request.request] = response
                missing[pair] -= 1
                if not missing[pair]:
                    yield pair, answers.pop(pair)
