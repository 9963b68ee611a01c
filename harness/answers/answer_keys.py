"""Cache keys: a hash of a model and how it computes, and of a request to it."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engines.interface import GenerateRequest, PerplexityRequest, Request
from harness.engines.kinds import engine_kind, served_identity
from reports.files import sha256_file, sha256_value
from reports.json_text import dumps
from reports.version import __version__
from training.models.adapters import CONFIG
from training.models.base_model import small_files
from training.processes import process_count

if TYPE_CHECKING:
    from harness.engines.choice import Choice
    from harness.planning.lm_tasks import LoadedTask
    from harness.planning.run_plan import Plan
    from training.models.device import Device
    from training.models.model import Model

_MODEL_CODE = ("adapter_config", "adapter_layers", "adapters", "cpu_process", "device", "loading")
ENGINE_CODE = ("harness/engines/**/*.py", *(f"training/models/{name}.py" for name in _MODEL_CODE))
_TASK_CODE = ("harness/scoring/*.py", "tasks/**/*.py", "tasks/**/*.yaml")
_ROOT = Path(__file__).resolve().parents[2]


def model_key(
    plan: Plan,
    choice: Choice,
    model: Model,
    say: Callable[[str], None] | None = None,
    version: str = __version__,
) -> str:
    """Hash over everything but the requests that decides the responses of one model of a plan.

    Weights, configuration and tokenizer of base and adapter, what ends an answer, how they are held and computed, and
    the code that does it. Of a served model, its address and name, what the server says of itself and replies to fixed
    prompts, and the run folder: another run sends its requests again, since facts do not show other weights.
    """
    plan = plan.part_of(model)
    engine, scoring, dialogue = choice.engine_of(plan), plan.recipe.scoring, plan.dialogues[model.name]
    return sha256_value(
        [
            version,
            _code(ENGINE_CODE),
            {name: importlib.metadata.version(name) for name in engine_kind(engine).packages},
            plan.base.sha256,
            small_files(plan.base.folder),
            [model.sha256, sha256_file(model.folder / CONFIG), scoring.adapters] if model.is_adapter else None,
            [plan.weights, plan.train_dtype, plan.score_dtype, plan.dense, plan.device.type],
            [engine, scoring.batch_tokens, scoring.batch_rows, scoring.vllm if engine == "vllm" else None],
            _served_key(plan, model, say) if model.is_served else None,
            [dialogue.tokenizer == str(plan.base.tokenizer) or small_files(model.folder), sorted(dialogue.ends)],
            plan.is_noise_check,
        ]
    )


def _served_key(plan: Plan, model: Model, say: Callable[[str], None] | None) -> str:
    _, key = served_identity(model, plan.recipe.scoring.served, plan.folder.served, say)
    return key


def pair_key(model: str, loaded: LoadedTask, seed: int) -> str:
    """Hash over everything that decides the samples of a model, given by its key, on a task."""
    lm_eval = importlib.metadata.version("lm_eval")
    items = [loaded.items_hash, loaded.reference.items_hash if loaded.reference else None]
    return sha256_value([model, loaded.name, items, seed, _code(_TASK_CODE), lm_eval])


def store_key(model: str, device: Device) -> bytes:
    """Key of a model's responses in the store: its own key, the kind of chip, and the number of processes."""
    return hashlib.sha256(dumps([model, device.chip(), process_count()]).encode()).digest()


def answer_key(store: bytes, request: Request) -> bytes:
    """Key of the response to one request; repeats differ in their seed."""
    if isinstance(request, GenerateRequest):
        settings = [
            request.max_new_tokens,
            request.stop,
            request.temperature,
            request.top_p,
            request.top_k,
            request.seed,
        ]
        parts = [b"generate", _packed(request.prompt), dumps(settings).encode()]
    elif isinstance(request, PerplexityRequest):
        parts = [b"perplexity", _packed(request.tokens), str(request.start).encode()]
    else:
        parts = [b"score", _packed(request.context), _packed(request.continuation)]
    digest = hashlib.blake2b(store, digest_size=20)
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.digest()


def _packed(tokens: Iterable[int]) -> bytes:
    return array("q", tokens).tobytes()


@functools.cache
def _code(patterns: tuple[str, ...]) -> str:
    """Hash over source files of medbench."""
    files = sorted({path for pattern in patterns for path in _ROOT.glob(pattern)})
    return sha256_value([[path.relative_to(_ROOT).as_posix(), sha256_file(path)] for path in files])
