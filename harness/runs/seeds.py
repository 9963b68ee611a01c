"""Several seeds: the recipe's adapter trained once for each, scored side by side, and pooled into one model by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.folder import RunFolder
from harness.planning.model_names import checkpoint_name, parse_models
from harness.runs.pooling import pool_name, seed_name
from harness.runs.stages import plan_stage, train_stage
from reports.errors import UserError
from reports.numbers import join_words
from training.models.model import OWN_ADAPTER

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.planning.model_names import ModelArgument
    from harness.planning.run_plan import Plan
    from training.models.model import Model
    from training.recipes.recipe import Recipe


def plan_seeds(
    recipe: Recipe,
    folder: RunFolder,
    models: str,
    tasks: Sequence[str] | None,
    seeds: Sequence[int],
    terminal: Terminal,
    stages: dict[str, float],
) -> Plan:
    """Train the recipe's adapter with each seed where it is not there yet, and plan to score all of them.

    Only the optimisation's seed changes: rows, splits and items stay those of the recipe's own, so that all adapters
    answer the same questions. Checkpoints are those of each seed's training; the steps that all seeds have are pooled.

    Raises:
        UserError: Fewer than two seeds, one twice, or neither the recipe's own adapter nor its checkpoints are among
            the models.
    """
    from harness.planning.run_plan import find_overlap

    where = f"--seeds {','.join(map(str, seeds))}"
    if len(set(seeds)) < max(2, len(seeds)):
        raise UserError("several different seeds are needed", where=where, fix="write them as --seeds 1,2,3")
    arguments = parse_models(models)
    own = [argument for argument in arguments if argument.is_own_adapter or argument.is_checkpoint]
    if not own:
        raise UserError(f"--models leaves {OWN_ADAPTER} out", where=where, fix=f"write --models base,{OWN_ADAPTER}")
    trained = [_train(recipe, folder.of_seed(seed), seed, own, tasks, terminal, stages) for seed in seeds]
    members = {model.name: model for of_seed in trained for model in of_seed}
    named = ",".join(f"{name}={model.folder}" for name, model in members.items())
    text = ",".join(named if argument is own[0] else str(argument) for argument in arguments if argument not in own[1:])
    plan = plan_stage(recipe, folder, text, tasks, terminal)
    scored = tuple(
        replace(model, rows=member.rows, unknown_rows=member.unknown_rows, step=member.step, seed=member.seed)
        if (member := members.get(model.name)) is not None
        else model
        for model in plan.models
    )
    pools, notes = _pools({seed: [model for model in scored if model.seed == seed] for seed in seeds})
    for note in notes:
        terminal.note(note)
    overlap = find_overlap(scored, plan.tasks, plan.base, pools)
    return replace(plan, models=scored, pools=pools, overlap=overlap, warnings=(*plan.warnings, *notes))


def _train(
    recipe: Recipe,
    folder: RunFolder,
    seed: int,
    own: Sequence[ModelArgument],
    tasks: Sequence[str] | None,
    terminal: Terminal,
    stages: dict[str, float],
) -> list[Model]:
    """Train the adapter of a seed if it is not there yet; returns it or its checkpoints under the seed's names."""
    from harness.planning.own_training import OwnTraining
    from harness.planning.validation_items import choosing_items

    folder.make()
    trainer = recipe.trainer.model_copy(update={"seed": seed})
    one = recipe.model_copy(update={"trainer": trainer})
    plan = plan_stage(one, folder, ",".join(map(str, own)), tasks, terminal)
    if plan.to_train is not None:
        seconds: dict[str, float] = {}
        train_stage(plan, plan.to_train, terminal, seconds)
        stages[f"train seed {seed}"] = seconds["train"]
    choosing = choosing_items(plan.validation, one)
    training = OwnTraining(one, folder, plan.base, plan.score_dtype, lambda: choosing)
    models = map(training.model, training.expand(own))
    return [replace(model, name=model.name.replace(OWN_ADAPTER, seed_name(seed), 1), seed=seed) for model in models]


def _pools(trained: Mapping[int, Sequence[Model]]) -> tuple[dict[str, tuple[Model, ...]], list[str]]:
    """The means over all seeds by name, and notes of the steps that only some seeds have.

    Args:
        trained: The models of each seed: its adapter, checkpoints or both.
    """
    pools: dict[str, tuple[Model, ...]] = {}
    notes = []
    adapters = [model for seed, models in trained.items() for model in models if model.name == seed_name(seed)]
    if adapters:
        pools[pool_name(OWN_ADAPTER)] = tuple(adapters)
    by_step: dict[int, list[Model]] = {}
    for models in trained.values():
        for step, model in sorted({model.step: model for model in reversed(models) if model.step is not None}.items()):
            by_step.setdefault(step, []).append(model)
    for step, members in sorted(by_step.items()):
        if len(members) == len(trained) and members != adapters:
            pools[pool_name(checkpoint_name(step))] = tuple(members)
    if any(len(models) > 1 for models in trained.values()) or not adapters:
        some = [
            f"step {step} ({len(members)} of {len(trained)})"
            for step, members in sorted(by_step.items())
            if len(members) < len(trained)
        ]
        if some:
            notes = [f"not all seeds have {join_words(some)}, so the means over the seeds leave these steps out"]
    return pools, notes
