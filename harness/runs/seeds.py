"""Several seeds: the recipe's adapter trained once for each, scored side by side, and pooled into one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.folder import RunFolder
from harness.planning.model_names import parse_models
from harness.runs.stages import plan_stage, train_stage
from reports.errors import UserError
from training.models.model import OWN_ADAPTER
from training.splits import training_rows

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.planning.run_plan import Plan
    from training.recipes.recipe import Recipe

POOL = f"{OWN_ADAPTER}-mean"


def seed_folder(folder: RunFolder, seed: int | str) -> RunFolder:
    """Where the adapter of one seed is trained."""
    return RunFolder(folder.path / "seeds" / str(seed))


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
    answer the same questions.

    Raises:
        UserError: Fewer than two seeds, one twice, or the recipe's own adapter is not among the models.
    """
    from harness.planning.run_plan import find_overlap

    where = f"--seeds {','.join(map(str, seeds))}"
    if len(set(seeds)) < max(2, len(seeds)):
        raise UserError("several different seeds are needed", where=where, fix="write them as --seeds 1,2,3")
    arguments = parse_models(models)
    if not any(argument.is_own_adapter for argument in arguments):
        raise UserError(f"--models leaves {OWN_ADAPTER} out", where=where, fix=f"write --models base,{OWN_ADAPTER}")
    if any(argument.is_checkpoint for argument in arguments):
        what = "checkpoints belong to a single training, and every seed has one of its own"
        raise UserError(what, where=where, fix=f"write --models base,{OWN_ADAPTER}, or leave --seeds out")
    for seed in seeds:
        part = seed_folder(folder, seed)
        part.make()
        one = recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update={"seed": seed})})
        plan = plan_stage(one, part, OWN_ADAPTER, tasks, terminal)
        if plan.to_train is not None:
            seconds: dict[str, float] = {}
            train_stage(plan, plan.to_train, terminal, seconds)
            stages[f"train seed {seed}"] = seconds["train"]
    names = {seed: f"seed-{seed}" for seed in seeds}
    own = ",".join(f"{names[seed]}={seed_folder(folder, seed).adapter}" for seed in seeds)
    text = ",".join(own if argument.is_own_adapter else str(argument) for argument in arguments)
    plan = plan_stage(recipe, folder, text, tasks, terminal)
    rows = training_rows(recipe)
    scored = tuple(replace(model, rows=rows) if model.name in names.values() else model for model in plan.models)
    pools = {POOL: tuple(model for model in scored if model.name in names.values())}
    return replace(plan, models=scored, pools=pools, overlap=find_overlap(scored, plan.tasks, plan.base, pools))
