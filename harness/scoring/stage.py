"""The scoring stage: asks all tasks of all models at once, keeping each (model, task) on disk as soon as it is done."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.answers.answer_keys import model_key, pair_key, store_key
from harness.answers.stored_answers import StoredAnswers, open_store
from harness.engines.choice import Choice, choose_engine, load_engine
from harness.engines.interface import NONE_KNOWN, Answer, Asked, Engine, Request
from harness.engines.shared_engine import known_to_all
from harness.planning.model_names import BASE, OWN_ADAPTER
from harness.planning.run_plan import Plan, own_adapter
from harness.scoring.evaluation import evaluated
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
    from harness.scoring.questions import Questions
    from training.models.adapters import Adapter

_log = logging.getLogger("medbench.scoring")
Pair = tuple[str, str]  # model and task


def score_models(
    plan: Plan, terminal: Terminal, stages: dict[str, float], *, again: bool = False
) -> tuple[list[Scored], dict[str, Any]]:
    """Score every model of a plan on every task: the scores, and what is to be said of the engine.

    Samples that this folder holds are kept where model, items and settings are the same, and so are single answers that
    the store holds, unless `again`. Notes in `stages` the seconds of starting the engine, answering, and computing
    metrics.
    """
    adapters = _adapters(plan)
    choice = choose_engine(plan)
    about: dict[str, Any] = {"name": choice.name, "why": choice.why}
    models = {model: model_key(plan, choice, adapters.get(model)) for model in plan.models}
    keys = {
        (model, loaded.name): pair_key(models[model], loaded, plan.recipe.seed)
        for model in plan.models
        for loaded in plan.tasks
    }
    found: dict[Pair, Scored] = {}
    tasks = {loaded.name: loaded for loaded in plan.tasks}
    for (model, task), key in keys.items():
        kept = None if again else read_kept(plan.folder.samples(model, task), key, model, tasks[task])
        if kept is not None:
            terminal.say(f"  {model}, {task}: answered already, kept")
            found[model, task] = kept
    with _opened(open_store(), terminal) as store:
        stored = StoredAnswers(store, {model: store_key(key, plan.device) for model, key in models.items()})
        missing = [pair for pair in keys if pair not in found]
        if missing:
            folders = {name: adapter.folder for name, adapter in adapters.items()}
            asking = _Asking(plan, choice, folders, missing, terminal, stored, again, about)
            for scored in asking.answers(stages):
                pair = scored.model, scored.task.name
                found[pair] = scored
                if is_main():
                    keep(plan.folder.samples(*pair), keys[pair], scored)
        if "engine" not in about:
            about |= stored.find_setup()
    return [found[pair] for pair in keys], about


@contextlib.contextmanager
def _opened(store: AnswerStore | None, terminal: Terminal) -> Iterator[AnswerStore | None]:
    """The store, closed at the end; says what was found damaged in it."""
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


def _adapters(plan: Plan) -> dict[str, Adapter]:
    """All adapters of the plan by name, the recipe's own among them, in the order of the models."""
    own = {OWN_ADAPTER: own_adapter(plan)} if OWN_ADAPTER in plan.models else {}
    every = {**plan.adapters, **own}
    return {name: every[name] for name in plan.models if name != BASE}


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

    def answers(self, stages: dict[str, float]) -> Iterator[Scored]:
        """Everything that is missing; notes in `stages` what it took."""
        from harness.scoring.lm import RequestMaker
        from harness.scoring.questions import make_questions

        plan = self.plan
        started = time.perf_counter()
        maker = RequestMaker(load_tokenizer(str(plan.base.folder)), plan.recipe.seed)
        questions = {each.name: make_questions(each, maker, plan.recipe.seed) for each in plan.tasks}
        asked, known = self._asked(questions)
        stages["questions"] = round(time.perf_counter() - started, 3)
        engine = self._start(asked, stages) if len(known) < len(asked) or process_count() > 1 else None
        started = time.perf_counter()
        stages["metrics"] = 0.0
        to_do = len(asked) - len(known)
        with (
            contextlib.closing(engine) if engine else contextlib.nullcontext(),
            self.terminal.progress("answering", to_do) as advance,
        ):
            for (model, task), answers in answered(engine, questions, self.missing, advance, asked, known):
                paused = time.perf_counter()
                yield evaluated(questions[task], model, answers)
                stages["metrics"] = round(stages["metrics"] + time.perf_counter() - paused, 3)
        stages["answer"] = round(time.perf_counter() - started - stages["metrics"], 3)

    def _asked(self, questions: Mapping[str, Questions]) -> tuple[list[Asked], dict[int, Answer]]:
        """All questions of the plan, and the answers that are known by their place.

        Those of (model, task) that are finished are among them if their answers are known: then the batches are those
        of a run that was never interrupted.
        """
        every = dict.fromkeys(
            (model, request) for model in self.plan.models for each in questions.values() for request in each.requests()
        )
        wanted = {(model, request) for model, task in self.missing for request in questions[task].requests()}
        asked = list(every)
        found = {} if self.again else self.stored.find(asked)
        told = known_to_all(set(found))
        kept = [place for place, each in enumerate(asked) if place in told or each in wanted]
        known = {number: found[place] for number, place in enumerate(kept) if place in told}
        if known:
            self.terminal.say(
                f"  {len(known)} of {len(kept)} answers are in the store, {len(kept) - len(known)} are asked"
            )
        _log.info("%d questions, %d of them answered already", len(kept), len(known))
        return [asked[place] for place in kept], known

    def _start(self, asked: Sequence[Asked], stages: dict[str, float]) -> Engine:
        plan, adapters = self.plan, len(self.folders)
        self.terminal.say(
            f"  loading {plan.base.name} ({plan.weights}), {adapters} adapter(s); engine: {self.choice.name}"
        )
        engine = load_engine(plan, self.choice, self.folders, asked, self.stored.keeping)
        stages["start"] = float(engine.setup["start_seconds"])
        self.about.update(engine.setup)
        if is_main():
            self.stored.keep_setup(engine.setup)
        return engine


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
