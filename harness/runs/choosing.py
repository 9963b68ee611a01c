"""Scores a training on items that are set aside: while it runs, and at its end to choose a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.folder import RunFolder
from harness.planning.model_names import checkpoint_name
from harness.planning.own_training import with_weights
from harness.planning.validation_items import choosing_items, item_sources
from reports.document.learning_curve import CheckpointChoice
from reports.errors import UserError
from training.finetune import Selection

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.planning.run_plan import Plan
    from harness.scoring.kept_answers import Scored

_FOLDER = "choosing"


def selection(plan: Plan, terminal: Terminal) -> Selection:
    """What a plan's training needs to score itself and to choose its checkpoint."""
    from harness.scoring.while_training import WhileTraining

    trainer = plan.recipe.trainer

    def choose(folders: Mapping[int, Path], work: Path) -> CheckpointChoice:
        return choose_checkpoint(plan, folders, work / _FOLDER, terminal)

    return Selection(
        items=choosing_items(plan.validation, plan.recipe),
        scorer=WhileTraining(plan) if trainer.score_steps is not None else None,
        choose=choose if trainer.choose_by is not None else None,
    )


def choose_checkpoint(plan: Plan, folders: Mapping[int, Path], work: Path, terminal: Terminal) -> CheckpointChoice:
    """Choose the checkpoint with the best score in `trainer.choose_by` on the items set aside.

    Of equal scores the earliest wins. All are scored in one pass. Items that were scored before a kill are not scored
    again.

    Args:
        plan: The plan of the run, whose adapter is trained.
        folders: The checkpoints by step.
        work: Folder for their samples.
        terminal: Shows the progress.

    Raises:
        UserError: No checkpoint has a score.
    """
    from harness.engines.interface import NotFiniteError
    from harness.scoring.stage import score_models

    task, metric = plan.recipe.trainer.chooses_by or ("", "")
    loaded = next(loaded for loaded in plan.validation if loaded.name == task)
    own = next(model for model in plan.models if not model.sha256)
    models = {
        checkpoint_name(step): with_weights(
            replace(own, name=checkpoint_name(step), folder=folder), plan.base, plan.score_dtype
        )
        for step, folder in folders.items()
    }
    dialogues = {plan.base.name: plan.dialogues[plan.base.name]} | dict.fromkeys(models, plan.dialogues[own.name])
    part = replace(
        plan, folder=RunFolder(work), models=(*models.values(),), tasks=[loaded], validation=(), dialogues=dialogues
    )
    terminal.say(f"  choosing the checkpoint by {task}/{metric} on {len(loaded.indices)} items that are set aside")
    while True:
        try:
            scored, _ = score_models(part, terminal, {})
            break
        except NotFiniteError as error:
            part = part.without(error.model)
            terminal.note(part.warnings[-1])
    by_model = {answers.model: _score(answers, metric, plan.recipe.seed) for answers in scored}
    scores = {step: by_model.get(checkpoint_name(step)) for step in folders}
    sign = next(info.sign for info in scored[0].metrics if info.key == metric)
    step = best_step(scores, sign)
    if step is None:
        raise UserError(
            "no checkpoint has a score",
            where=f"trainer.choose_by: {task}/{metric}",
            fix="choose by another metric, or set aside more items with trainer.validation_items",
        )
    terminal.say(f"  chosen: step {step} of {', '.join(map(str, folders))}")
    return CheckpointChoice(
        task=task,
        metric=metric,
        items=len(loaded.indices),
        sources=item_sources(loaded),
        steps=[*scores],
        scores=[*scores.values()],
        step=step,
    )


def best_step(scores: Mapping[int, float | None], sign: int) -> int | None:
    """The first step with the best score; None if none has any.

    Args:
        scores: Scores by step, in order.
        sign: 1 if a higher score is better, -1 if a lower one is.
    """
    signed = {step: sign * score for step, score in scores.items() if score is not None}
    return max(signed, key=signed.__getitem__) if signed else None


def _score(answers: Scored, metric: str, seed: int) -> float | None:
    """Score of a model on a task by the key of a metric.

    Raises:
        UserError: lm-eval computes no such metric.
    """
    info = next((info for info in answers.metrics if info.key == metric), None)
    if info is None:
        keys = ", ".join(f"{answers.task.name}/{one.key}" for one in answers.metrics)
        what = f"{answers.task.name} has no metric {metric!r}"
        raise UserError(what, where="trainer.choose_by", fix=f"choose by one of {keys}")
    return answers.score(info, seed).value
