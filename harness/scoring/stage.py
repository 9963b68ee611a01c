"""The scoring stage: asks all models all tasks, block by block, keeping each (model, task) on disk once it is done."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.answers.answer_keys import model_key, pair_key, store_key
from harness.answers.stored_answers import StoredAnswers, open_store
from harness.engines.choice import Choice, choose_engine, load_engine
from harness.engines.interface import NONE_KNOWN, Answer, Asked, Engine, Request
from harness.engines.shared_engine import known_to_all
from harness.planning.run_plan import Plan
from harness.scoring.evaluation import Evaluation
from harness.scoring.kept_answers import Scored, keep, read_kept
from reports.files import write_json
from tasks import catalog
from tasks.pubmedqa import prediction
from tasks.rendering import load_tokenizer
from training.processes import is_main, process_count
from training.stopping import finishing_batches

if TYPE_CHECKING:
    from harness.answers.answer_store import AnswerStore
    from harness.console import Advance, Terminal
    from harness.scoring.questions import Block, Questions

_log = logging.getLogger("medbench.scoring")
_Made = TypeVar("_Made")
Pair = tuple[str, str]  # model and task


def score_models(
    plan: Plan, terminal: Terminal, stages: dict[str, float], *, again: bool = False
) -> tuple[list[Scored], dict[str, Any]]:
    """Score every model of a plan on every task: the scores, and what is to be said of the engine.

    Samples that this folder holds are kept where model, items and settings are the same, and so are single answers that
    the store holds, unless `again`. Notes in `stages` the seconds of starting the engine, answering, and computing
    metrics.
    """
    choice = choose_engine(plan)
    about: dict[str, Any] = {"name": choice.name, "why": choice.why}
    models = {model.name: model_key(plan, choice, model) for model in plan.models}
    keys = {
        (model, loaded.name): pair_key(models[model], loaded, plan.recipe.seed)
        for model in models
        for loaded in plan.tasks
    }
    found: dict[Pair, Scored] = {}
    tasks = {loaded.name: loaded for loaded in plan.tasks}
    for (model, task), key in keys.items():
        kept = None if again else read_kept(plan.folder.samples(model, task), key, model, tasks[task])
        if kept is not None:
            terminal.say(f"  {model}, {task}: answered already, kept")
            found[model, task] = kept
    with opened_store(terminal) as store:
        stored = StoredAnswers(store, {model: store_key(key, plan.device) for model, key in models.items()})
        missing = [pair for pair in keys if pair not in found]
        if missing:
            asking = _Asking(plan, choice, plan.adapters, missing, terminal, stored, again, about)
            for scored in asking.scores(stages):
                pair = scored.model, scored.task.name
                found[pair] = scored
                if is_main():
                    keep(plan.folder.samples(*pair), keys[pair], scored)
        if "engine" not in about:
            about |= stored.find_setup()
    return [found[pair] for pair in keys], about


@contextlib.contextmanager
def opened_store(terminal: Terminal) -> Iterator[AnswerStore | None]:
    """The answer store, closed at the end; says what was found damaged in it."""
    store = open_store()
    try:
        yield store
    finally:
        if store is not None:
            for path in store.set_aside:
                terminal.say(f"  note: the answer store was damaged and set aside as {path.name}", style="yellow")
            store.close()


def write_predictions(plan: Plan, scored: Sequence[Scored]) -> None:
    """Write the labels given on PubMedQA tasks in the official submission format."""
    for each in scored:
        if each.task.name in catalog.PUBMEDQA_LABELS:
            labels = {sample.id: prediction(sample) for sample in each.samples if sample.repeat == 0}
            write_json(plan.folder.predictions(each.model, each.task.name), labels)


@dataclass(frozen=True)
class _Asking:
    """What is put to an engine.

    Attributes:
        folders: Adapters by name.
        missing: Models and tasks that are to be answered.
        stored: Answers of earlier runs, and where new ones go.
        again: Whether earlier ones do not count.
        about: Gets what is to be said of the engine.
    """

    plan: Plan
    choice: Choice
    folders: Mapping[str, Path]
    missing: Sequence[Pair]
    terminal: Terminal
    stored: StoredAnswers
    again: bool
    about: dict[str, Any]

    def scores(self, stages: dict[str, float]) -> Iterator[Scored]:
        """Everything that is missing, its samples written; notes in `stages` what it took."""
        engine: Engine | None = None
        evaluations: dict[Pair, Evaluation] = {}
        with contextlib.ExitStack() as stack:
            for block, asked, known in _timed(map(self._asked, self._blocks()), stages, "questions"):
                if engine is None and (len(known) < len(asked) or process_count() > 1):
                    engine = stack.enter_context(contextlib.closing(self._start(block, asked, stages)))
                stages.setdefault("metrics", 0.0)
                pairs = [pair for pair in self.missing if pair[1] in block.questions]
                with self.terminal.progress(f"answering{_part(block)}", len(asked) - len(known)) as advance:
                    found = answered(engine, block.questions, pairs, advance, asked, known)
                    for pair, answers in _timed(found, stages, "answer"):
                        if pair not in evaluations:
                            evaluations[pair] = stack.enter_context(contextlib.closing(self._evaluation(pair)))
                        with _stage(stages, "metrics"):
                            evaluations[pair].add(block.questions[pair[1]], answers)
                            if evaluations[pair].is_whole:
                                yield evaluations.pop(pair).finish()
                        del answers
                del block, asked, known  # the next ones need their room

    def _blocks(self) -> Iterator[Block]:
        from harness.scoring.questions import question_blocks

        tokenizer = load_tokenizer(str(self.plan.base.folder))
        return question_blocks(self.plan.tasks, tokenizer, self.plan.recipe.seed)

    def _evaluation(self, pair: Pair) -> Evaluation:
        model, task = pair
        loaded = next(each for each in self.plan.tasks if each.name == task)
        return Evaluation(model, loaded, self.plan.folder.samples(model, task) if is_main() else None)

    def _asked(self, block: Block) -> tuple[Block, list[Asked], dict[int, Answer]]:
        """A block with all its questions to the models, and the answers that are known by their place among them.

        Those of (model, task) that are finished are among them if their answers are known: then the batches are those
        of a run that was never interrupted.
        """
        questions = block.questions
        every = dict.fromkeys(
            (model.name, request)
            for model in self.plan.models
            for each in questions.values()
            for request in each.requests()
        )
        wanted = {
            (model, request)
            for model, task in self.missing
            if task in questions
            for request in questions[task].requests()
        }
        asked = list(every)
        found = {} if self.again else self.stored.find(asked)
        told = known_to_all(set(found))
        kept = [place for place, each in enumerate(asked) if place in told or each in wanted]
        known = {number: found[place] for number, place in enumerate(kept) if place in told}
        if known:
            answers, left = f"{len(known)} of {len(kept)} answers{_part(block)}", len(kept) - len(known)
            self.terminal.say(f"  {answers} are in the store, {left} are asked")
        _log.info("%d questions%s, %d of them answered already", len(kept), _part(block), len(known))
        return block, [asked[place] for place in kept], known

    def _start(self, block: Block, asked: Sequence[Asked], stages: dict[str, float]) -> Engine:
        plan, adapters = self.plan, len(self.folders)
        self.terminal.say(
            f"  loading {plan.base.source} ({plan.weights}), {adapters} adapter(s); engine: {self.choice.name}"
        )
        wanted = asked if block.count == 1 else self._whatever_is_asked()
        engine = load_engine(plan, self.choice, self.folders, wanted, self.stored.keeping)
        stages["start"] = float(engine.setup["start_seconds"])
        self.about.update(engine.setup)
        if is_main():
            self.stored.keep_setup(engine.setup)
        return engine

    def _whatever_is_asked(self) -> Iterator[Asked]:
        """The questions of all blocks to the base, made once more, for an engine whose size depends on the longest."""
        for block in self._blocks():
            for questions in block.questions.values():
                yield from ((self.plan.base.name, request) for request in questions.requests())


def _part(block: Block) -> str:
    """Which part of the questions a block is, in words; nothing where it is all of them."""
    return "" if block.count == 1 else f" of part {block.number} of {block.count}"


@contextlib.contextmanager
def _stage(stages: dict[str, float], name: str) -> Iterator[None]:
    """Add to a stage's seconds what the block takes."""
    started = time.perf_counter()
    try:
        yield
    finally:
        stages[name] = round(stages.get(name, 0.0) + time.perf_counter() - started, 3)


def _timed(each: Iterator[_Made], stages: dict[str, float], name: str) -> Iterator[_Made]:
    """What an iterator gives, the time that it takes added to a stage."""
    while True:
        with _stage(stages, name):
            found = list(itertools.islice(each, 1))
        if not found:
            return
        yield found.pop()


def answered(
    engine: Engine | None,
    questions: Mapping[str, Questions],
    pairs: Sequence[Pair],
    advance: Advance,
    asked: Sequence[Asked] | None = None,
    known: Mapping[int, Answer] = NONE_KNOWN,
) -> Iterator[tuple[Pair, dict[Request, Answer]]]:
    """Ask tasks of models, all of them at once; each pair comes out with its answers once the last of them is there.

    Args:
        engine: Answers; None where all is known.
        questions: By task.
        pairs: Models and tasks.
        advance: Called with 1 and the model's name for each answer that the engine gives.
        asked: All questions of these pairs, and others whose answers are known; those of the pairs if not given.
        known: Answers given earlier, by place in `asked`.
    """
    askers: defaultdict[Asked, list[Pair]] = defaultdict(list)
    for pair in pairs:
        for request in questions[pair[1]].requests():
            askers[pair[0], request].append(pair)
    asked = list(askers) if asked is None else asked
    wanted = Counter(pair for each in askers.values() for pair in each)
    answers: defaultdict[Pair, dict[Request, Answer]] = defaultdict(dict)
    new = engine.answer(asked, known) if engine is not None else ()
    with finishing_batches():
        for place, answer in itertools.chain(known.items(), new):
            model, request = asked[place]
            if place not in known:
                advance(1, model)
            for pair in askers.get((model, request), ()):
                answers[pair][request] = answer
                if len(answers[pair]) == wanted[pair]:
                    yield pair, answers.pop(pair)
