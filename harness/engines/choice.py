"""Chooses the engine of a plan by estimate, or as the recipe says, and starts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import EngineConfig, Unsupported
from harness.engines.kinds import ENGINES, EngineKind, engine_kind
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
        seconds: Estimated time of scoring everything with it.
    """

    name: str
    why: str
    seconds: float


def choose_engine(plan: Plan) -> Choice:
    """The engine for the whole plan, including what is cached: responses of two engines are not compared.

    Raises:
        UserError: The recipe names an engine that is not installed or cannot score this plan.
    """
    name = plan.recipe.scoring.engine
    if name != "auto":
        kind = engine_kind(name)
        unsupported = _missing_capability(kind, plan) or kind.unsupported(plan)
        if unsupported:
            what = f"{kind.title} cannot score here: {unsupported.reason}"
            raise UserError(what, where="scoring.engine", fix=unsupported.fix)
        return Choice(name, "the recipe says so", kind.seconds(plan))
    vllm, seconds = ENGINES["vllm"], ENGINES["transformers"].seconds(plan)
    if unsupported := vllm.unsupported(plan):
        return Choice("transformers", unsupported.reason, seconds)
    vllm_seconds = vllm.seconds(plan)
    why = f"estimated {duration(seconds)} with transformers, {duration(vllm_seconds)} with vLLM, its start included"
    return Choice("vllm", why, vllm_seconds) if vllm_seconds < seconds else Choice("transformers", why, seconds)


def _missing_capability(kind: EngineKind, plan: Plan) -> Unsupported | None:
    """What the plan needs and the engine cannot do."""
    needed: set[Capability] = {
        "generation" if loaded.task.OUTPUT_TYPE == "generate_until" else "log_likelihoods" for loaded in plan.tasks
    }
    if len(plan.models) > 1:
        needed.add("adapters")
    missing = [name.replace("_", "-") for name in sorted(needed - kind.capabilities)]
    return Unsupported(f"it does not support {missing[0]}", "set scoring.engine=auto") if missing else None


def start_engine(
    plan: Plan,
    choice: Choice,
    requests: Iterable[ModelRequest],
    recorded: Callable[[ModelRequest], Response | None] = lambda _: None,
) -> Engine:
    """Start the engine of this process with the plan's base and adapters.

    Args:
        plan: The run.
        choice: The engine.
        requests: All requests that will follow.
        recorded: Responses of earlier runs; see `harness.engines.interface.EngineConfig`.
    """
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
    engine = engine_kind(choice.name).start(config)
    engine.setup.setdefault("engine", choice.name)
    engine.setup.setdefault("start_seconds", round(time.perf_counter() - started, 3))
    return engine
