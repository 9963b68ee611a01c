"""The engines there are, one entry each: what starts it, what keeps it from a plan, and what reports say about it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.processes import process_count
from training.recipes.recipe import EngineName

if TYPE_CHECKING:
    from harness.engines.interface import Engine, Start
    from harness.planning.run_plan import Plan

Hindrance = tuple[str, str]  # why an engine cannot answer, and how to mend it


def _nothing(_: Plan) -> None:
    return None


@dataclass(frozen=True)
class EngineKind:
    """One kind of engine.

    Attributes:
        title: Its name in messages.
        start: Starts it with the base and the adapters of a plan.
        seconds: Estimated seconds of scoring a whole plan, its start included.
        packages: What computes its answers: answers by other versions of these are not taken for its own. The first is
            the one that results name.
        batching: How it puts rows into batches, in words for the results.
        hindrance: Why it cannot answer a plan, and how to mend that; None where it can.
    """

    title: str
    start: Callable[[Start], Engine]
    seconds: Callable[[Plan], float]
    packages: tuple[str, ...]
    batching: Callable[[Plan], str]
    hindrance: Callable[[Plan], Hindrance | None] = _nothing


def _start_transformers(start: Start) -> Engine:
    from harness.engines.transformers_engine import TransformersEngine

    scoring = start.plan.recipe.scoring
    return TransformersEngine(
        start.load,
        start.tokenizer,
        start.folders,
        device=start.plan.device,
        adapters=scoring.adapters,
        batch_tokens=scoring.batch_tokens,
        batch_rows=scoring.batch_rows,
    )


def _transformers_seconds(plan: Plan) -> float:
    from harness.engines import estimate

    return estimate.score_seconds(plan)


def _transformers_batching(plan: Plan) -> str:
    scoring = plan.recipe.scoring
    tokens = scoring.batch_tokens or plan.device.batch_tokens
    rows = scoring.batch_rows or plan.device.batch_rows
    return f"{tokens} tokens, {rows} generated rows, fewer where memory runs out; adapters {scoring.adapters}"


def _start_vllm(start: Start) -> Engine:
    from harness.engines.dense_checkpoint import dense_checkpoint
    from harness.engines.start_times import remember_start
    from harness.engines.vllm_engine import VllmEngine

    plan = start.plan
    engine = VllmEngine(
        dense_checkpoint(plan, start.load),
        start.tokenizer,
        start.folders,
        start.asked,
        dtype=plan.score_dtype,
        settings=plan.recipe.scoring.vllm,
    )
    remember_start(plan, float(engine.setup["start_seconds"]))
    return engine


def _vllm_seconds(plan: Plan) -> float:
    from harness.engines import estimate

    return estimate.vllm_seconds(plan)


def _vllm_batching(plan: Plan) -> str:
    return f"by vllm, {plan.recipe.scoring.vllm or 'its own settings'}"


def _no_vllm(plan: Plan) -> Hindrance | None:
    if not plan.device.supports_kernel_packages:
        return "there is no NVIDIA or AMD card", "set scoring.engine=transformers"
    if importlib.util.find_spec("vllm") is None:
        return "the extra vllm is not installed", "run `pip install 'medbench[vllm]'`"
    if not plan.dense:
        return "the base's dense weights do not fit into the card's memory", "set scoring.engine=transformers"
    if process_count() > 1:
        return "a launcher started several processes", "start one, with scoring.vllm={tensor_parallel_size: N}"
    return None


ENGINES: dict[EngineName, EngineKind] = {
    "transformers": EngineKind(
        title="transformers",
        start=_start_transformers,
        seconds=_transformers_seconds,
        packages=("transformers", "torch", "tokenizers", "peft", "bitsandbytes"),
        batching=_transformers_batching,
    ),
    "vllm": EngineKind(
        title="vLLM",
        start=_start_vllm,
        seconds=_vllm_seconds,
        packages=("vllm", "torch", "transformers", "tokenizers"),
        batching=_vllm_batching,
        hindrance=_no_vllm,
    ),
}
