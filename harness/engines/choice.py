"""Chooses the engine of a plan by estimate, or as the recipe says, and starts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.interface import Start
from harness.engines.kinds import ENGINES
from reports.errors import UserError
from reports.numbers import duration
from tasks.rendering import load_tokenizer
from training.processes import process_count
from training.recipes.recipe import EngineName

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.engines.interface import Asked, Engine
    from harness.planning.run_plan import Plan


@dataclass(frozen=True)
class Choice:
    """An engine, and why it is taken.

    Attributes:
        seconds: Estimated time of scoring everything with it.
    """

    name: EngineName
    why: str
    seconds: float


def choose_engine(plan: Plan) -> Choice:
    """The engine that answers a whole plan, whatever of it is answered already: answers of two are not compared.

    Raises:
        UserError: The recipe asks for an engine that cannot run here.
    """
    wanted = plan.recipe.scoring.engine
    if wanted != "auto":
        kind = ENGINES[wanted]
        hindrance = kind.hindrance(plan)
        if hindrance:
            what = f"{kind.title} cannot score here: {hindrance[0]}"
            raise UserError(what, where="scoring.engine", fix=hindrance[1])
        return Choice(wanted, "the recipe says so", kind.seconds(plan))
    hindrance = ENGINES["vllm"].hindrance(plan)
    plain = ENGINES["transformers"].seconds(plan)
    if hindrance:
        return Choice("transformers", hindrance[0], plain)
    other = ENGINES["vllm"].seconds(plan)
    why = f"estimated {duration(plain)} with transformers, {duration(other)} with vLLM, its start included"
    return Choice("vllm", why, other) if other < plain else Choice("transformers", why, plain)


def load_engine(
    plan: Plan,
    choice: Choice,
    folders: Mapping[str, Path],
    asked: Iterable[Asked],
    keeping: Callable[[Engine], Engine] | None = None,
) -> Engine:
    """Start the engine with the plan's base and the given adapter folders on it.

    Args:
        plan: What is scored.
        choice: The engine.
        folders: Adapter folders by name.
        asked: What it will be asked, by which vLLM sizes itself.
        keeping: Wraps the engine of each process into one that keeps its answers as they come.
    """
    from harness.engines.shared_engine import SharedEngine
    from training.models.loading import load_for_scoring

    scoring = plan.recipe.scoring
    quantization = plan.recipe.quantization if scoring.base == "as_trained" else None

    def load() -> PreTrainedModel:
        return load_for_scoring(
            plan.base,
            quantization,
            train_dtype=plan.train_dtype,
            dtype=plan.score_dtype,
            device=plan.device,
            dense=plan.dense,
        )

    engine = ENGINES[choice.name].start(Start(plan, load, load_tokenizer(str(plan.base.folder)), folders, asked))
    if keeping is not None:
        engine = keeping(engine)
    return SharedEngine(engine) if process_count() > 1 else engine
