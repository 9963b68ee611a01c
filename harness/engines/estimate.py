"""Estimated time of a plan, from a short measurement of the device and the numbers of tokens."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.engines.layer_speed import layer_speed
from tasks.data import DataSource, load_pubmedqa
from tasks.rendering import encode, load_tokenizer
from tasks.task_settings import new_token_limit
from training.backends.packing import packs_fast
from training.models.architecture import architecture, transformers_config
from training.models.device import torch_dtype

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask
    from harness.planning.run_plan import Plan
    from tasks.benchmarks import Benchmark
    from training.models.device import Device
    from training.models.model import Model
    from training.recipes.recipe import Recipe
    from training.splits import TrainingRows

# Shares of the measured matmul speed that the stages reach, seen on an H200 and, for training, two CPU cores.
_TRAIN_SHARE = 0.45
_PACKED_SHARE = 0.65
_SCORE_SHARE = 0.55
_REPLAYED_LAYER_SECONDS = 0.00015  # for each layer and decoding step that is replayed from a graph
_REPLAYED_TOKEN_SHARE = 0.6  # of the time of a prompt's token, in a step that is replayed or vLLM's
_VLLM_LAYER_SECONDS = 0.0001
_VLLM_ROWS = 256  # that it continues at once
_CHARACTERS_PER_TOKEN = 3.5  # where no text is measured
_START_SECONDS = 12.0
_PROMPT_TOKENS = 60  # of a training row, beside its texts
# Work beside the model, in times of tokenizing a text of _TEXT characters, seen on an H200's host and two other cores.
_PREPARED_TEXTS = 2.5  # for each item of a task
_SCORED_TEXTS = 3.5  # for each item and model
_TEXT, _TEXTS = 650, 64


@functools.lru_cache(maxsize=4)
def matmul_flops(device: Device, dtype: str) -> float:
    """Floating-point operations a second in a matrix product of the size that a small model has; takes about 0.2 s."""
    import torch

    size = device.matmul_size
    left = torch.randn(size, size, device=device.place, dtype=torch_dtype(dtype))  # type: ignore[arg-type]
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        product = left @ left
        device.synchronize()
        best = min(best, time.perf_counter() - started)
        del product
    return 2 * size**3 / best


def train_seconds(
    recipe: Recipe,
    base: Model,
    rows: TrainingRows,
    device: Device,
    dtype: str,
    flops: Callable[[Device, str], float] = matmul_flops,
) -> float:
    """Estimated seconds of training."""
    sizes, trainer = architecture(base), recipe.trainer
    total_chars = sum(len(text) for row in rows.train for text in row.texts)
    length = min(total_chars / len(rows.train) / _CHARACTERS_PER_TOKEN + _PROMPT_TOKENS, trainer.max_length)
    steps = (trainer.max_steps or 0) * trainer.gradient_accumulation
    batches = steps or (trainer.epochs or 0) * len(rows.train) / trainer.batch_size
    overhead = sizes.layers * device.train_layer_seconds
    of_batch = 6 * sizes.parameters * length * trainer.batch_size / flops(device, dtype)
    if trainer.backend != "unsloth" and packs_fast(recipe, base, device):  # a step is a sequence, or two
        of_step = max(trainer.gradient_accumulation * of_batch / _PACKED_SHARE, overhead)
        return _START_SECONDS + batches / trainer.gradient_accumulation * of_step
    return _START_SECONDS + batches * (of_batch / _TRAIN_SHARE + overhead)


@dataclass(frozen=True)
class Speed:
    """How fast a base computes on this machine.

    Attributes:
        token: Seconds for each token of a prompt.
        step: Seconds of a decoding step, beside its tokens.
        step_token: Seconds for each token that a decoding step generates.
        text: Seconds of tokenizing a text, the measure of all work beside the model.
    """

    token: float
    step: float
    step_token: float
    text: float = 0.0


SpeedOf = Callable[["Model", "Device", str], Speed]  # of a base in a dtype


def measured_speed(base: Model, device: Device, dtype: str) -> Speed:
    """The speed of passes over layers of the base's shapes, or that expected from a matrix product if there is none.

    Decoding steps of a GPU are not measured: they are replayed, which takes longer to prepare than to measure.
    """
    layer, text = layer_speed(base, device, dtype), text_seconds(str(base.tokenizer))
    sizes = architecture(base)
    if layer is not None and device.type == "cpu":
        # The head is as fast as the layers' matrices; prompts need it for a few positions only.
        head = sizes.parameters / sizes.layer_weights
        return Speed(layer.token * sizes.layers, layer.step * sizes.layers * head, 0.0, text)
    expected = replace(speed_by_flops(base, device, matmul_flops(device, dtype)), text=text)
    return expected if layer is None else replace(expected, token=layer.token * sizes.layers)


def sample_texts() -> list[str]:
    """English medical texts: the abstracts and questions of medbench's own samples."""
    return [item.with_abstract for item in load_pubmedqa(DataSource(source="samples:pubmedqa"), seed=0)]


@functools.lru_cache(maxsize=4)
def text_seconds(tokenizer: str) -> float:
    """Seconds of tokenizing a medical text of 650 characters by itself; takes some hundredths of a second."""
    loaded = load_tokenizer(tokenizer)
    texts = ([text[:_TEXT] for text in sample_texts()] * _TEXTS)[:_TEXTS]

    def once() -> float:
        started = time.perf_counter()
        for text in texts:
            encode(loaded, text)
        return time.perf_counter() - started

    once()
    return min(once(), once()) / sum(map(len, texts)) * _TEXT


def speed_by_flops(base: Model, device: Device, flops: float) -> Speed:
    """The speed expected of a device that computes so many floating-point operations a second in a matrix product."""
    sizes = architecture(base)
    token = 2 * sizes.parameters / (flops * _SCORE_SHARE)
    return Speed(token, sizes.layers * device.decode_layer_seconds, token)


def score_seconds(plan: Plan, speed_of: SpeedOf = measured_speed) -> float:
    """Estimated seconds of scoring all models of a plan with the transformers engine, one model after the other."""
    rows = plan.recipe.scoring.batch_rows or plan.device.batch_rows
    speed = speed_of(plan.base, plan.device, plan.score_dtype)
    speed = _with_replay(speed, plan.base, plan.device) if plan.dense else speed
    works = [work_of(loaded, plan.base) for loaded in plan.tasks]
    answering = sum(_answer_seconds(work, speed, rows) for work in works)
    return _START_SECONDS + answering * len(plan.models) + _beside_seconds(works, speed, len(plan.models))


def task_seconds(work: Work, base: Model, device: Device, dtype: str, speed_of: SpeedOf = measured_speed) -> float:
    """Estimated seconds of one model's work on one task with the transformers engine, without its start."""
    speed = _with_replay(speed_of(base, device, dtype), base, device)
    return _answer_seconds(work, speed, device.batch_rows) + _beside_seconds([work], speed, 1)


def _answer_seconds(work: Work, speed: Speed, rows: int) -> float:
    """What one model's answers take."""
    steps = -(-work.answers // rows) * work.limit
    return work.read * speed.token + steps * speed.step + work.answers * work.limit * speed.step_token


def _beside_seconds(works: Iterable[Work], speed: Speed, models: int) -> float:
    """What is done beside the models: making the questions, which they share, and the metrics of each."""
    return (_PREPARED_TEXTS + _SCORED_TEXTS * models) * speed.text * sum(work.items for work in works)


def _with_replay(speed: Speed, base: Model, device: Device) -> Speed:
    """The speed where dense weights let decoding steps be replayed, see `harness.engines.attention`."""
    from training.models.row_attention import sees_all_earlier_tokens

    if not (device.supports_graphs and sees_all_earlier_tokens(transformers_config(base.folder))):
        return speed
    step_token = speed.step_token * _REPLAYED_TOKEN_SHARE
    return replace(speed, step=_REPLAYED_LAYER_SECONDS * architecture(base).layers, step_token=step_token)


def vllm_seconds(plan: Plan, speed_of: SpeedOf = measured_speed) -> float:
    """Estimated seconds of scoring all models of a plan with vLLM: its start, then all of them in one batch."""
    from harness.engines.start_times import last_start_seconds

    sizes = architecture(plan.base)
    speed = speed_of(plan.base, plan.device, plan.score_dtype)
    works = [work_of(loaded, plan.base) for loaded in plan.tasks]
    generated = sum(work.answers * work.limit for work in works)
    tokens = (sum(work.read for work in works) + _REPLAYED_TOKEN_SHARE * generated) * len(plan.models)
    answers = sum(work.answers for work in works) * len(plan.models)
    steps = max((work.limit for work in works), default=0) * -(-answers // _VLLM_ROWS)
    answering = steps * sizes.layers * _VLLM_LAYER_SECONDS + tokens * speed.token
    return last_start_seconds(plan) + answering + _beside_seconds(works, speed, len(plan.models))


@dataclass(frozen=True)
class Work:
    """Work of one model on one task: items, tokens read, answers generated, and their limit in tokens."""

    items: int
    read: float
    answers: int = 0
    limit: int = 0


def work_of(loaded: LoadedTask, base: Model) -> Work:
    """The work of a loaded task, its tokens by those of a sample of its items."""
    items = len(loaded.indices)
    read = loaded.read_tokens(lambda text: len(encode(load_tokenizer(str(base.tokenizer)), text)))
    if loaded.task.OUTPUT_TYPE != "generate_until":
        return Work(items, read)
    config = loaded.task.config
    return Work(items, read, items * config.repeats, new_token_limit(config.generation_kwargs))


def work_of_benchmark(
    benchmark: Benchmark, max_new_tokens: int, characters_per_token: float = _CHARACTERS_PER_TOKEN
) -> Work | None:
    """The work of a benchmark that is not loaded, from its size and typical lengths; None if its size is unknown.

    Args:
        benchmark: The benchmark.
        max_new_tokens: The recipe's longest generated answer, for tasks of ours.
        characters_per_token: Of the base's tokenizer.
    """
    if benchmark.items is None:
        return None
    read = benchmark.items * benchmark.characters / characters_per_token
    if benchmark.kind == "log-likelihood":
        return Work(benchmark.items, read)
    return Work(benchmark.items, read, benchmark.items, benchmark.new_tokens or max_new_tokens)
