"""Measures the numerical noise of a run: some items scored again in float32, or in other batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from harness.console import Terminal
from harness.folder import RunFolder
from harness.scoring.kept_answers import Scored
from harness.scoring.stage import score_models
from reports.comparison.noise import Pair, difference_noise, model_noise
from reports.document.evidence import ModelNoise, Noise, NoiseCheck
from reports.document.schema import Comparison, MetricInfo
from reports.files import sha256_value
from tasks.data import sample_indices
from training.models.architecture import architecture

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask
    from harness.planning.run_plan import Plan

_FLOAT32_BYTES = 4
_MEMORY_SHARE = 0.5
_OTHER_TOKENS = 512
_OTHER_ROWS = 3
_GENERATED_SHARE = 4  # one generated answer is measured for so many items that are only read


class NoiseMeter:
    """What a second scoring of some items says of the first.

    Args:
        plan: The run's.
        scored: All of the run.
        again: The items that were scored again.
        method: How, in words.
    """

    def __init__(self, plan: Plan, scored: Sequence[Scored], again: Sequence[Scored], method: str) -> None:
        self._seed = plan.recipe.seed
        self._metrics = {each.task.name: each.metrics for each in scored}
        first = {(each.model, each.task.name): each.samples for each in scored}
        self._pairs: dict[tuple[str, str], Pair] = {}
        for each in again:
            before = first[each.model, each.task.name]
            # Few-shot examples are drawn anew for a part of the items; then it is another question.
            prompts = {sample.id: sample.prompt_hash for sample in before}
            same = [sample for sample in each.samples if prompts[sample.id] == sample.prompt_hash]
            self._pairs[each.model, each.task.name] = (before, same)
        self._method = method

    def check(self) -> NoiseCheck:
        """The noise of every figure."""
        found = NoiseCheck(method=self._method)
        for (model, task), pair in self._pairs.items():
            for metric in self._metrics[task]:
                noise = model_noise(metric, *pair, seed=self._seed)
                if noise is not None:
                    found.figures.append(ModelNoise(model=model, task=task, metric=metric.key, noise=noise))
        return found

    def of_difference(self, comparison: Comparison, metric: MetricInfo, members: Sequence[str]) -> Noise | None:
        """The noise of a difference; of a pool the largest of its members'."""
        baseline = self._pairs[comparison.baseline, comparison.task]
        candidates = [self._pairs[name, comparison.task] for name in members or [comparison.candidate]]
        found = [difference_noise(metric, baseline, candidate, seed=self._seed) for candidate in candidates]
        return max((each for each in found if each is not None), key=lambda each: each.bound, default=None)


def with_noise(
    comparison: Comparison, metric: MetricInfo, meter: NoiseMeter | None, members: Sequence[str] = ()
) -> Comparison:
    """The comparison with the noise of its difference, where that was measured; `members` are those of a pool."""
    noise = None if meter is None else meter.of_difference(comparison, metric, members)
    return comparison.model_copy(update={"noise": noise})


def measure_noise(
    plan: Plan, scored: Sequence[Scored], terminal: Terminal, *, again: bool = False
) -> NoiseMeter | None:
    """Score some items of every task again, as every model; None where the recipe asks for none.

    In float32 where the run is in 16 bits and the memory allows it, else in batches of another shape: then the figures
    of a float32 run should not move at all. What an earlier such check answered is kept, unless `again`.
    """
    if not plan.recipe.scoring.noise_items:
        return None
    scoring = plan.recipe.scoring
    update: dict[str, object] = {"engine": "transformers"}
    if plan.score_dtype != "float32" and _fits_float32(plan):
        changed, method = replace(plan, score_dtype="float32"), f"in float32 instead of {plan.score_dtype}"
    else:
        update |= {"batch_tokens": _OTHER_TOKENS, "batch_rows": _OTHER_ROWS}
        changed, method = plan, f"in batches of {_OTHER_TOKENS} tokens and {_OTHER_ROWS} generated rows"
    terminal.say(f"  numerical noise: some items again, {method}")
    changed = replace(
        changed,
        recipe=plan.recipe.model_copy(update={"scoring": scoring.model_copy(update=update)}),
        folder=RunFolder(plan.folder.path / "noise"),
        tasks=[_part(plan, loaded) for loaded in plan.tasks],
        own_folder=plan.folder,
        is_noise_check=True,
    )
    second, _ = score_models(changed, Terminal(quiet=True), {}, again=again)
    return NoiseMeter(plan, scored, second, method)


def _part(plan: Plan, loaded: LoadedTask) -> LoadedTask:
    """Some items of a task."""
    wanted = plan.recipe.scoring.noise_items
    if loaded.task.OUTPUT_TYPE == "generate_until":
        wanted = max(1, wanted // _GENERATED_SHARE)
    indices = [loaded.indices[place] for place in sample_indices(len(loaded.indices), wanted, plan.recipe.seed)]
    return replace(loaded, indices=indices, items_hash=sha256_value([loaded.items_hash, indices]))


def _fits_float32(plan: Plan) -> bool:
    """Whether the base in float32 fills at most half of the device's memory."""
    size = _FLOAT32_BYTES * architecture(plan.base).parameters
    if plan.device == "cuda":
        import torch

        return bool(size <= _MEMORY_SHARE * torch.cuda.mem_get_info()[0])
    return bool(size <= _MEMORY_SHARE * psutil.virtual_memory().available)
