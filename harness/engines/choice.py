"""Chooses the engine of a plan by estimate, or as the recipe says, and starts it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import EngineConfig, Unsupported
from harness.engines.kinds import ENGINES, SERVED, EngineKind, engine_kind
from harness.engines.several_bases import SeveralBases
from reports.errors import UserError
from reports.numbers import duration
from tasks.rendering import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.engines.interface import Capability, Engine, ModelRequest, Response
    from harness.planning.run_plan import Plan


@dataclass(frozen=True)
class Choice:
    """An engine, and why it was chosen.

    Attributes:
        seconds: Estimated time of scoring everything.
    """

    name: str
    why: str
    seconds: float

    def engine_of(self, part: Plan) -> str:
        """The engine of a part of the plan: servers answer for their models, whatever the others are scored with."""
        return SERVED if part.is_served else self.name


def choose_engine(plan: Plan) -> Choice:
    """The engine for the whole plan, including what is cached: responses of two engines are not compared.

    Raises:
        UserError: The recipe names an engine that is not installed or cannot score this plan; or some models are on
            this machine and others behind servers.
    """
    served = [part for part in plan.parts if part.is_served]
    local = [part for part in plan.parts if not part.is_served]
    remote = sum(map(ENGINES[SERVED].seconds, served))
    if not local:
        return Choice(SERVED, "servers answer for all models", remote)
    if served and not plan.recipe.scoring.across:
        raise UserError(
            f"{', '.join(model.name for model in served[0].models)} would answer from a server and"
            f" {', '.join(model.name for part in local for model in part.models)} on this machine, and answers of"
            " different engines are not compared",
            where="--models",
            fix="score them in runs of their own, or allow it: --set scoring.across=true",
        )
    name = plan.recipe.scoring.engine
    if name != "auto":
        kind = engine_kind(name)
        unsupported = _missing_capability(kind, local) or _unsupported(kind, local)
        if unsupported:
            what = f"{kind.title} cannot score here: {unsupported.reason}"
            raise UserError(what, where="scoring.engine", fix=unsupported.fix)
        return Choice(name, "the recipe says so", remote + sum(map(kind.seconds, local)))
    vllm, seconds = ENGINES["vllm"], remote + sum(map(ENGINES["transformers"].seconds, local))
    if unsupported := _unsupported(vllm, local):
        return Choice("transformers", unsupported.reason, seconds)
    vllm_seconds = remote + sum(map(vllm.seconds, local))
    why = f"estimated {duration(seconds)} with transformers, {duration(vllm_seconds)} with vLLM, its start included"
    return Choice("vllm", why, vllm_seconds) if vllm_seconds < seconds else Choice("transformers", why, seconds)


def _unsupported(kind: EngineKind, parts: Sequence[Plan]) -> Unsupported | None:
    """Why an engine cannot score one of the parts, or None."""
    return next((reason for reason in map(kind.unsupported, parts) if reason), None)


def _missing_capability(kind: EngineKind, parts: Sequence[Plan]) -> Unsupported | None:
    """What a part needs and the engine cannot do."""
    needed: set[Capability] = {
        "generation" if loaded.task.OUTPUT_TYPE == "generate_until" else "log_likelihoods" for loaded in parts[0].tasks
    }
    if any(part.adapters for part in parts):
        needed.add("adapters")
    missing = [name.replace("_", "-") for name in sorted(needed - kind.capabilities)]
    return Unsupported(f"it does not support {missing[0]}", "set scoring.engine=auto") if missing else None


def start_engine(
    plan: Plan,
    choice: Choice,
    requests: Iterable[ModelRequest],
    recorded: Callable[[ModelRequest], Response | None] = lambda _: None,
) -> Engine:
    """The engine of this process for all models of a plan; started at once if they have one base, else when asked.

    Args:
        plan: The run.
        choice: The engine.
        requests: All requests that will follow; with several bases they are iterated over once for each.
        recorded: Responses of earlier runs; see `harness.engines.interface.EngineConfig`.
    """
    parts = plan.parts
    if len(parts) == 1:
        return _start_part(parts[0], choice.engine_of(parts[0]), requests, recorded)
    starts = {
        frozenset(model.name for model in part.models): functools.partial(
            _start_part, part, choice.engine_of(part), requests, recorded
        )
        for part in parts
    }
    return SeveralBases(choice.name, starts, recorded)


def _start_part(
    plan: Plan,
    name: str,
    requests: Iterable[ModelRequest],
    recorded: Callable[[ModelRequest], Response | None],
) -> Engine:
    """Start an engine with the base and adapters of a part of a plan."""
    from training.models.loading import load_for_scoring

    def load() -> PreTrainedModel:
        return load_for_scoring(
            plan.base,
            plan.base.quantization,
            train_dtype=plan.train_dtype,
            dtype=plan.score_dtype,
            device=plan.device,
            dense=plan.dense,
        )

    started = time.perf_counter()
    ends = {
        name: AnswerEnd(load_tokenizer(dialogue.tokenizer), dialogue.ends) for name, dialogue in plan.dialogues.items()
    }
    tokenizer = load_tokenizer(str(plan.base.folder))
    config = EngineConfig(plan, load, tokenizer, ends, plan.adapters, requests, recorded)
    engine = engine_kind(name).start(config)
    engine.setup.setdefault("engine", name)
    engine.setup.setdefault("start_seconds", round(time.perf_counter() - started, 3))
    return engine
