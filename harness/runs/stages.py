"""The stages of a run that compute, each saying on the terminal what it does: plan, train, score."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.console import Terminal
from harness.folder import RunFolder
from harness.planning.row_accounts import altered_line, source_accounts
from harness.planning.validation_items import validation_lines
from reports.document.reading import write_results
from reports.files import write_text
from reports.numbers import duration
from reports.secrets import redact
from training.processes import is_main
from training.recipes.recipe_file import recipe_yaml

if TYPE_CHECKING:
    from harness.planning.run_plan import Plan
    from reports.document.schema import Results
    from training.log import TrainingLog
    from training.recipes.recipe import Recipe, TrainerSection
    from training.splits import TrainingRows

_log = logging.getLogger("medbench")


def plan_stage(
    recipe: Recipe,
    folder: RunFolder,
    models: str,
    tasks: Sequence[str] | None,
    terminal: Terminal,
    *,
    trains_only: bool = False,
) -> Plan:
    """Check the run, say what it will do and how long roughly, and keep the resolved recipe."""
    terminal.heading("Plan")
    from harness.engines import estimate
    from harness.engines.choice import choose_engine
    from harness.planning.run_plan import make_plan
    from training.models.weight_format import weight_format

    plan = make_plan(recipe, folder, models, tasks, lambda line: terminal.say(f"  {line}"), trains_only=trains_only)
    if not plan.loads_base:
        terminal.say(f"  base {plan.base.source}: its prompts only, since neither it nor an adapter is scored")
    for part in plan.parts:
        what = f"{', '.join(m.name for m in part.models)}: " if part.base.has_own_weights or part.is_served else "base "
        what += ", ".join(m.source for m in part.models) if part.is_served else f"{part.base.source} on {plan.device}"
        terminal.say(f"  {what}, scored as {part.weights}")
    if plan.to_train is not None:
        trainer = recipe.trainer
        steps = f"{trainer.max_steps} steps" if trainer.max_steps else f"{trainer.epochs:g} epochs"
        effective = trainer.batch_size * trainer.gradient_accumulation
        held = weight_format(plan.base, recipe.quantization)
        seconds = estimate.train_seconds(recipe, plan.base, plan.to_train, plan.device, plan.train_dtype)
        terminal.say(
            f"  train: {steps} of {effective} rows out of {len(plan.to_train.train)}, {held.summary},"
            f" LoRA r {recipe.lora.r}, format {recipe.format.name}: about {duration(seconds)}"
        )
    if plan.tasks:
        choice = choose_engine(plan)
        names = ", ".join(model.name for model in plan.models)
        terminal.say(
            f"  score: {names}: about {duration(choice.seconds)} if nothing is answered yet;"
            f" engine {choice.name} ({choice.why})"
        )
    for loaded in plan.tasks:
        terminal.say(f"    {loaded.name}: {loaded.info.setting}{' (synthetic)' if loaded.info.synthetic else ''}")
    for line in validation_lines(plan.validation, recipe):
        terminal.say(f"    {line}")
    for source in source_accounts(recipe, plan.to_train, plan.tasks):
        terminal.say(f"    {source.role}: {source.source}, {source.account.summary()}")
    for warning in plan.warnings:
        terminal.note(warning)
    if is_main():
        write_text(folder.recipe, recipe_yaml(recipe))
    return plan


def train_stage(plan: Plan, rows: TrainingRows, terminal: Terminal, stages: dict[str, float]) -> TrainingLog:
    """Train the recipe's adapter into the run folder; notes the seconds in `stages`."""
    from harness.runs.choosing import selection
    from training.finetune import finetune

    terminal.heading("Train")
    started = time.perf_counter()
    with terminal.progress("training", _steps(plan.recipe.trainer, len(rows.train))) as advance:
        before = 0

        def progress(done: int, total: int, note: str) -> None:
            nonlocal before
            if not total:
                terminal.say(f"  {note}")
            advance(done - before, note if total else "")
            before = done

        log = finetune(plan.recipe, plan.base, rows, plan.folder.adapter, progress, selection=selection(plan, terminal))
    stages["train"] = round(time.perf_counter() - started, 3)
    share = 100 * log.trainable_parameters / log.total_parameters
    losses = [entry["loss"] for entry in log.losses if "loss" in entry]
    terminal.say(
        f"  {log.trainable_parameters:,} trainable parameters ({share:.2f} %), {log.steps} steps in"
        f" {duration(log.seconds)}, loss {losses[0]:.3f} -> {losses[-1]:.3f}"
    )
    if log.truncated_rows or log.dropped_rows:
        terminal.note(
            f"{log.truncated_rows} rows were cut at {plan.recipe.trainer.max_length} tokens,"
            f" {len(log.dropped_rows)} dropped whose prompt alone is longer; raise trainer.max_length"
        )
    if log.altered_turns:
        terminal.note(altered_line(log.altered_turns))
    _log.info("trained: %s", log.model_dump(exclude={"losses", "settings"}))
    return log


def _steps(trainer: TrainerSection, rows: int) -> int:
    """Optimizer steps, as the trainer will count them."""
    if trainer.max_steps:
        return trainer.max_steps
    batches = -(-rows // trainer.batch_size)
    return max(1, round((trainer.epochs or 0) * -(-batches // trainer.gradient_accumulation)))


def score_stage(plan: Plan, terminal: Terminal, stages: dict[str, float], *, again: bool) -> Results:
    """Score and compare all models, and write `results.json`; notes the seconds in `stages`.

    A model that answers with NaN or infinity is left out and named in the results' notes.

    Raises:
        UserError: No other model is left.
    """
    from harness.engines.interface import NotFiniteError
    from harness.runs.judged_answers import add_judging
    from harness.runs.rating import add_ratings
    from harness.runs.results import assemble
    from harness.runs.tracking import report_scores
    from harness.scoring.noise import measure_noise
    from harness.scoring.stage import score_models, write_predictions

    terminal.heading("Score")
    while True:
        try:
            started = time.perf_counter()
            scored, engine = score_models(plan, terminal, stages, again=again)
            stages["score"] = round(time.perf_counter() - started, 3)
            started = time.perf_counter()
            noise = measure_noise(plan, scored, engine, terminal, again=again)
            stages["noise"] = round(time.perf_counter() - started, 3)
            break
        except NotFiniteError as error:
            plan = plan.without(error.model)
            terminal.note(plan.warnings[-1])
    started = time.perf_counter()
    results = assemble(plan, scored, noise, command=command_line(), stages=stages, engine=engine)
    results = add_judging(add_ratings(results, plan.folder), plan.folder)
    stages["compare"] = round(time.perf_counter() - started, 3)
    if is_main():
        write_predictions(plan, scored)
        write_results(plan.folder.path, results)
        notes = report_scores(plan, results)
        for note in notes:
            terminal.note(note)
        if notes:
            results = results.model_copy(update={"notes": [*results.notes, *notes]})
            write_results(plan.folder.path, results)
    return results


def command_line() -> str:
    """The command line, with the program's own path left out."""
    words: list[Any] = sys.argv[1:] if Path(sys.argv[0]).name in ("medbench", "__main__.py") else []
    return redact(" ".join(["medbench", *words])) if words else "Python API"
