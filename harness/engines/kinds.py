"""The engines: two that come with medbench, and those of installed packages by entry point."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.interface import CAPABILITIES, Capability, Unsupported
from reports.errors import UserError, first_line
from reports.files import sha256_value
from training.processes import process_count

if TYPE_CHECKING:
    from harness.engines.interface import Engine, EngineConfig
    from harness.planning.run_plan import Plan
    from training.models.model import Model
    from training.recipes.recipe import ServedSection

ENTRY_POINTS = "medbench.engines"
SERVED = "served"
_SERVED_SECONDS = 0.2  # for each request, with several on their way at once


@dataclass(frozen=True)
class EngineKind:
    """One kind of engine.

    Attributes:
        title: Its name in messages.
        start: Constructs it with the base and the adapters of a plan.
        seconds: Estimated seconds of scoring a plan with one base, loading included.
        packages: Packages that compute its responses, by distribution; cached responses are only reused with the same
            versions. Results name the first.
        batching: How it forms batches, in words for the results.
        unsupported: Why it cannot score a plan with one base, or None.
        capabilities: What it can do, see `harness.engines.interface.Engine`.
    """

    title: str
    start: Callable[[EngineConfig], Engine]
    seconds: Callable[[Plan], float]
    packages: tuple[str, ...]
    batching: Callable[[Plan], str]
    unsupported: Callable[[Plan], Unsupported | None] = lambda _: None
    capabilities: frozenset[Capability] = CAPABILITIES


def _transformers_seconds(plan: Plan) -> float:
    from harness.engines.estimate import score_seconds

    return score_seconds(plan)


def _vllm_seconds(plan: Plan) -> float:
    from harness.engines.estimate import vllm_seconds

    return vllm_seconds(plan)


def _start_transformers(config: EngineConfig) -> Engine:
    from harness.engines.transformers_engine import TransformersEngine

    scoring = config.plan.recipe.scoring
    return TransformersEngine(
        config.load,
        config.tokenizer,
        config.adapters,
        ends=config.ends,
        device=config.plan.device,
        adapter_mode=scoring.adapters,
        batch_tokens=scoring.batch_tokens,
        batch_rows=scoring.batch_rows,
        recorded=config.recorded,
    )


def _transformers_batching(plan: Plan) -> str:
    scoring = plan.recipe.scoring
    tokens = scoring.batch_tokens or plan.device.batch_tokens
    rows = scoring.batch_rows or plan.device.batch_rows
    return f"{tokens} tokens, {rows} generated rows, fewer where memory runs out; adapters {scoring.adapters}"


def _start_vllm(config: EngineConfig) -> Engine:
    from harness.engines.dense_checkpoint import dense_checkpoint
    from harness.engines.start_times import remember_start
    from harness.engines.vllm_engine import VllmEngine

    plan = config.plan
    engine = VllmEngine(
        dense_checkpoint(plan, config.load),
        config.tokenizer,
        config.adapters,
        config.requests,
        ends=config.ends,
        dtype=plan.score_dtype,
        settings=plan.recipe.scoring.vllm,
    )
    remember_start(plan, float(engine.setup["start_seconds"]))
    return engine


def _vllm_unsupported(plan: Plan) -> Unsupported | None:
    if not plan.device.supports_kernel_packages:
        return Unsupported("there is no NVIDIA or AMD card", "set scoring.engine=transformers")
    if importlib.util.find_spec("vllm") is None:
        return Unsupported("the extra vllm is not installed", "run `pip install 'medbench[vllm]'`")
    if not plan.dense:
        reason = "the base's dense weights do not fit into the card's memory"
        return Unsupported(reason, "set scoring.engine=transformers")
    from training.models.adapters import is_plain_lora

    if more := [name for name, folder in plan.adapters.items() if not is_plain_lora(folder)]:
        return Unsupported(f"{more[0]} is no plain LoRA", "set scoring.engine=transformers")
    if process_count() > 1:
        fix = "start one, with scoring.vllm={tensor_parallel_size: N}"
        return Unsupported("a launcher started several processes", fix)
    return None


def _start_served(config: EngineConfig) -> Engine:
    from harness.engines.served.served_engine import ServedEngine

    models = {model.name: (model.url, model.served_name) for model in config.plan.models}
    settings = config.plan.recipe.scoring.served
    own = (request for request in config.requests if request.model in models)
    return ServedEngine(models, config.tokenizer, ends=config.ends, settings=settings, requests=own)


def _served_seconds(plan: Plan) -> float:
    return _SERVED_SECONDS * len(plan.models) * sum(len(loaded.indices) * loaded.answers for loaded in plan.tasks)


def _served_unsupported(plan: Plan) -> Unsupported | None:
    if plan.is_served:
        return None
    return Unsupported("models on this machine need another one", "leave scoring.engine at auto")


def served_identity(
    model: Model, settings: ServedSection, record: Path, say: Callable[[str], None] | None = None
) -> tuple[dict[str, str], str]:
    """What the server of a model says of itself with a hash of its replies, and the key of its answers.

    Args:
        model: The served model.
        settings: `scoring.served` of the recipe.
        record: File of the run folder in which it is kept how servers replied.
        say: Called with a line that says that answers given before are requested again.

    Raises:
        UserError: The server does not answer, or does not have the model.
    """
    from harness.engines.served.client import server_facts
    from harness.engines.served.identity import ServedRecord

    facts, earlier = server_facts(model.url, model.served_name, settings), ServedRecord(record)
    facts["replies"] = earlier.recognise(model.url, model.served_name, settings, say)
    return facts, sha256_value([model.url, model.served_name, facts, earlier.session])


ENGINES = {
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
        batching=lambda plan: f"by vllm, {plan.recipe.scoring.vllm or 'its own settings'}",
        unsupported=_vllm_unsupported,
    ),
    SERVED: EngineKind(
        title="the engine for servers",
        start=_start_served,
        seconds=_served_seconds,
        packages=("httpx",),
        batching=lambda _: "by the server",
        unsupported=_served_unsupported,
    ),
}


def engine_kind(name: str) -> EngineKind:
    """The engine of this name.

    Raises:
        UserError: No installed package has it, or its package cannot be imported.
    """
    if name in ENGINES:
        return ENGINES[name]
    installed = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in installed:
        raise UserError(
            f"no engine is named {name!r}; installed: {', '.join(sorted({*ENGINES, *installed} - {SERVED}))}",
            where="scoring.engine",
            fix="set one of these or auto, or install the package with the engine",
        )
    return _plugin(installed[name])


def _plugin(point: EntryPoint) -> EngineKind:
    """The engine of an entry point, which names a class with the protocol of `Engine` that takes an `EngineConfig`."""
    package = point.dist.name if point.dist is not None else point.module
    try:
        engine = point.load()
        capabilities = frozenset(engine.capabilities)
    except Exception as error:
        raise UserError(
            f"the engine {point.name} of the package {package} cannot be loaded: {first_line(error)}",
            where="scoring.engine",
            fix="update or reinstall the package, or set scoring.engine=auto",
        ) from error
    return EngineKind(
        title=point.name,
        start=engine,
        seconds=_transformers_seconds,
        packages=(package,),
        batching=lambda _: f"by {point.name}",
        unsupported=getattr(engine, "unsupported", lambda _: None),
        capabilities=capabilities,
    )
