"""Chooses the engine of a plan by estimate, or as the recipe says, and starts it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reports.errors import UserError
from reports.numbers import duration
from tasks.rendering import load_tokenizer
from training.processes import process_count

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.answers.stored_answers import StoredAnswers
    from harness.engines.interface import Asked, Engine
    from harness.planning.run_plan import Plan


@dataclass(frozen=True)
class Choice:
    """An engine, and why it is taken.

    Attributes:
        seconds: Estimated time of scoring everything with it.
    """

    name: Literal["transformers", "vllm"]
    why: str
    seconds: float


def choose_engine(plan: Plan) -> Choice:
    """The engine that answers a whole plan, whatever of it is answered already: answers of two are not compared.

    Raises:
        UserError: The recipe asks for vLLM where it cannot run.
    """
    from harness.engines import estimate

    wanted = plan.recipe.scoring.engine
    hindrance = _no_vllm(plan)
    if wanted == "vllm":
        if hindrance:
            raise UserError(f"vLLM cannot score here: {hindrance[0]}", where="scoring.engine", fix=hindrance[1])
        return Choice("vllm", "the recipe says so", estimate.vllm_seconds(plan))
    plain = estimate.score_seconds(plan)
    if wanted == "transformers":
        return Choice("transformers", "the recipe says so", plain)
    if hindrance:
        return Choice("transformers", hindrance[0], plain)
    other = estimate.vllm_seconds(plan)
    why = f"estimated {duration(plain)} with transformers, {duration(other)} with vLLM, its start included"
    return Choice("vllm", why, other) if other < plain else Choice("transformers", why, plain)


def load_engine(
    plan: Plan,
    choice: Choice,
    folders: Mapping[str, Path],
    asked: Sequence[Asked],
    stored: StoredAnswers | None = None,
) -> Engine:
    """Start the engine with the plan's base and the given adapter folders on it.

    Args:
        plan: What is scored.
        choice: The engine.
        folders: Adapter folders by name.
        asked: What it will be asked, by which vLLM sizes itself.
        stored: Where each process keeps its answers as they come.
    """
    from harness.answers.stored_answers import KeepingEngine
    from training.models.loading import load_for_scoring

    tokenizer = load_tokenizer(str(plan.base.folder))
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

    if choice.name == "vllm":
        from harness.engines.dense_checkpoint import dense_checkpoint
        from harness.engines.start_times import remember_start
        from harness.engines.vllm_engine import VllmEngine

        model = dense_checkpoint(plan, load)
        started = VllmEngine(model, tokenizer, folders, asked, dtype=plan.score_dtype, settings=scoring.vllm)
        remember_start(plan, float(started.setup["start_seconds"]))
        return started if stored is None else KeepingEngine(started, stored)
    from harness.engines.shared_engine import SharedEngine
    from harness.engines.transformers_engine import TransformersEngine

    engine: Engine = TransformersEngine(
        load,
        tokenizer,
        folders,
        adapters=scoring.adapters,
        batch_tokens=scoring.batch_tokens,
        batch_rows=scoring.batch_rows,
    )
    if stored is not None:
        engine = KeepingEngine(engine, stored)
    return SharedEngine(engine) if process_count() > 1 else engine


def _no_vllm(plan: Plan) -> tuple[str, str] | None:
    """(why vLLM cannot answer this plan, how to mend it); None where it can."""
    if plan.device != "cuda":
        return "there is no CUDA card", "set scoring.engine=transformers"
    if importlib.util.find_spec("vllm") is None:
        return "the extra vllm is not installed", "run `pip install 'medbench[vllm]'`"
    if not plan.dense:
        return "the base's dense weights do not fit into the card's memory", "set scoring.engine=transformers"
    if process_count() > 1:
        return "a launcher started several processes", "start one, with scoring.vllm={tensor_parallel_size: N}"
    return None
