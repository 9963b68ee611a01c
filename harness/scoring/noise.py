"""Measures the numerical noise of a run: some items scored again in float32, or in other batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.engines.estimate import matmul_flops
from harness.engines.shared_engine import slowest_process
from harness.folder import RunFolder
from harness.scoring.kept_answers import Scored
from harness.scoring.noise_budget import SHARE, NoiseBudget, TaskTime, noise_budget
from harness.scoring.rescoring import Rescored, Samples, score_again
from harness.scoring.tally import Tally
from reports.comparison.noise import Pair, difference_noise, model_noise
from reports.comparison.noise_limits import fixed_noise
from reports.document.evidence import NOISE_ITEMS, Noise, NoiseCheck
from reports.document.schema import Comparison, MetricInfo
from training.models.architecture import architecture

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.planning.run_plan import Plan

_FLOAT32_BYTES = 4
_MEMORY_SHARE = 0.5  # of the device's memory that the float32 base may fill
_OTHER_TOKENS = 512
_OTHER_ROWS = 3
_LEAST_SLOWDOWN = 2.0  # float32 moves twice the bytes of 16 bits; small batches cost about as much
_UNKNOWN_START_SECONDS = 12.0  # where all answers came from the store, and no engine was started
_LOADING = 2.0  # float32 weights are twice as large


class NoiseMeter:
    """Compares a second scoring of some items with the first.

    Args:
        scored: The run's scores.
        samples: Samples of the items that were scored again, by model and task.
        check: What is reported of the measurement, without its scores.
    """

    def __init__(self, scored: Sequence[Scored], samples: Samples, check: NoiseCheck) -> None:
        self._metrics = {answers.task.name: answers.metrics for answers in scored}
        self._check = check
        self._pairs: dict[tuple[str, str], Pair] = {}
        for answers in scored:
            # A part of the items draws other few-shot examples; such a prompt is another question.
            prompts = {sample.id: sample.prompt_hash for sample in answers.samples}
            tally = Tally()
            for sample in samples.get((answers.model, answers.task.name), []):
                tally.add(sample)
            same = [values for values in tally.values if prompts.get(values.id) == values.prompt_hash]
            if same:
                self._pairs[answers.model, answers.task.name] = (answers.samples, same)

    def check(self) -> NoiseCheck:
        """The noise of every score."""
        noises = [
            model_noise(metric, pair) for (_, task), pair in self._pairs.items() for metric in self._metrics[task]
        ]
        return self._check.model_copy(update={"scores": [noise for noise in noises if noise is not None]})

    def of_difference(self, comparison: Comparison, metric: MetricInfo, members: Sequence[str]) -> Noise | None:
        """The noise of a difference; None if it was not measured."""
        names = [comparison.baseline, *(members or [comparison.candidate])]
        if any((name, comparison.task) not in self._pairs for name in names):
            return None
        baseline, *candidates = [self._pairs[name, comparison.task] for name in names]
        return difference_noise(metric, baseline, candidates)


def with_noise(
    comparison: Comparison, metric: MetricInfo, meter: NoiseMeter | None, members: Sequence[str] = ()
) -> Comparison:
    """The comparison with the noise of its difference, where that was measured; `members` are those of a pool."""
    noise = None if meter is None else meter.of_difference(comparison, metric, members)
    return comparison.model_copy(update={"noise": noise})


def measure_noise(
    plan: Plan, scored: Sequence[Scored], engine: Mapping[str, Any], terminal: Terminal, *, again: bool = False
) -> NoiseMeter:
    """Score some items again, as far as `scoring.noise_items` and a tenth of the scoring time allow.

    With all models on this machine, in float32 where the run is in 16 bits and the memory allows it, else in batches of
    another shape. Tasks that are not measured get the fixed limits of a committed benchmark.

    Args:
        plan: The plan of the run.
        scored: Its scores, whose costs say how long an item takes.
        engine: What `score_models` reports of the engine.
        terminal: Says what is measured.
        again: Reuse no earlier measurement.
    """
    if plan.is_served:
        unmeasured = {loaded.name: "not measured, since servers answered" for loaded in plan.tasks}
        return NoiseMeter(scored, {}, NoiseCheck(method="", unmeasured=unmeasured, seconds=0.0))
    changed, method = other_arithmetic(plan)
    is_float32 = changed.score_dtype != plan.score_dtype
    started = float(engine.get("start_seconds", _UNKNOWN_START_SECONDS))
    budget = noise_budget(
        plan.recipe.scoring.noise_items,
        _task_times(plan, scored, is_float32=is_float32),
        slowest_process(started * _LOADING if is_float32 else started),
        "" if engine["name"] == "transformers" else f"{engine['name']} answered, and transformers would score again",
    )
    rescored = Rescored({}, 0.0)
    if budget.items:
        terminal.say(f"  numerical noise: {sum(budget.items.values())} items again, {method}")
        rescored = score_again(changed, budget.items, budget.limit_seconds, terminal=terminal, again=again)
    check = _summary(method, budget, rescored)
    if check.seconds > SHARE * budget.scoring_seconds:
        terminal.say(f"  note: that took {check.seconds:.1f} s, more than a tenth of the scoring time")
    if check.unmeasured:
        check.fixed = fixed_noise(plan.score_dtype, plan.device.type, engine["name"])
    return NoiseMeter(scored, rescored.samples, check)


def _summary(method: str, budget: NoiseBudget, rescored: Rescored) -> NoiseCheck:
    """What is reported of a measurement before its scores."""
    unmeasured = dict(budget.unmeasured)
    for task, wanted in budget.items.items():
        count = min(len({row.id for row in rows}) for (_, name), rows in rescored.samples.items() if name == task)
        if count < wanted:
            unmeasured[task] = f"measured on {count} of {wanted} items, when the time limit was reached"
    seconds = round(rescored.seconds, 3)
    return NoiseCheck(method=method if budget.items else "", unmeasured=unmeasured, seconds=seconds)


def other_arithmetic(plan: Plan) -> tuple[Plan, str]:
    """The plan with everything that scoring again changes but the items, and the change in words."""
    update: dict[str, object] = {"engine": "transformers"}
    plan = replace(plan, models=tuple(model for model in plan.models if not model.is_served))
    float32_size = _FLOAT32_BYTES * max(architecture(part.base).parameters for part in plan.parts)
    if plan.score_dtype != "float32" and float32_size <= _MEMORY_SHARE * plan.device.available_memory():
        changed, method = replace(plan, score_dtype="float32"), f"in float32 instead of {plan.score_dtype}"
    else:
        update |= {"batch_tokens": _OTHER_TOKENS, "batch_rows": _OTHER_ROWS}
        changed, method = plan, f"in batches of {_OTHER_TOKENS} tokens and {_OTHER_ROWS} generated rows"
    changed = replace(
        changed,
        recipe=plan.recipe.model_copy(update={"scoring": plan.recipe.scoring.model_copy(update=update)}),
        folder=RunFolder(plan.folder.path / "noise"),
        is_noise_check=True,
    )
    return changed, method


def _task_times(plan: Plan, scored: Sequence[Scored], *, is_float32: bool) -> list[TaskTime]:
    """The run's engine time by task, and how much slower the other arithmetic is."""
    is_estimated = plan.recipe.scoring.noise_items == "auto" and any(
        len(loaded.indices) >= NOISE_ITEMS for loaded in plan.tasks
    )
    if not is_estimated:
        slower = dict.fromkeys(("loglikelihood", "generate_until"), 1.0)
    elif is_float32:
        speed = matmul_flops(plan.device, plan.score_dtype) / matmul_flops(plan.device, "float32")
        slower = dict.fromkeys(("loglikelihood", "generate_until"), slowest_process(max(_LEAST_SLOWDOWN, speed)))
    else:
        rows = plan.recipe.scoring.batch_rows or plan.device.batch_rows
        slower = {"loglikelihood": _LEAST_SLOWDOWN, "generate_until": max(_LEAST_SLOWDOWN, rows / _OTHER_ROWS)}
    seconds: defaultdict[str, float] = defaultdict(float)
    for answers in scored:
        seconds[answers.task.name] += answers.cost.seconds
    return [
        TaskTime(
            name=loaded.name,
            items=len(loaded.indices),
            seconds=seconds[loaded.name],
            slowdown=slower["generate_until" if loaded.task.OUTPUT_TYPE == "generate_until" else "loglikelihood"],
        )
        for loaded in plan.tasks
    ]
