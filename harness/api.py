"""The Python API behind the command: the stages of a run, singly and in a row.

Every function takes what its command takes, prints progress unless `quiet`, and raises `reports.errors.UserError` where
the command would exit with code 2.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.console import Terminal, duration
from harness.engine import DEFAULT_MODELS, OWN_ADAPTER
from harness.folder import RunFolder
from harness.logs import log_to
from reports.errors import UserError
from training.recipe_file import QUICKSTART, check_recipe, load_recipe, recipe_yaml

if TYPE_CHECKING:
    from harness.run_plan import Plan
    from reports.schema import Results
    from training.division import TrainingRows
    from training.log import TrainingLog
    from training.preflight import Preflight
    from training.recipe import Recipe, TrainerSection

RUNS = Path("runs")
_log = logging.getLogger("medbench")


def open_run(
    recipe: str | None = None,
    *,
    out: str | Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
) -> tuple[Recipe, RunFolder]:
    """The resolved recipe and the folder of a run.

    Args:
        recipe: Name or file; without it the recipe that `out` already holds, else the quickstart.
        out: The run folder; `runs/NAME-OF-THE-RECIPE` where it is not given.
        limit: Items for each task.
        seed: Instead of the recipe's.
        settings: `key.path=value` overrides.
    """
    if recipe is None and out is not None and RunFolder(Path(out)).recipe.is_file():
        recipe = str(RunFolder(Path(out)).recipe)
    loaded = load_recipe(recipe or QUICKSTART, settings)
    value = loaded.model_dump(mode="json")
    if seed is not None:
        value["seed"] = seed
    if limit is not None:
        value["scoring"]["limit"] = limit
    resolved = check_recipe(value, "--limit or --seed")
    return resolved, RunFolder(Path(out) if out is not None else RUNS / resolved.name)


def run(  # noqa: PLR0913 - one for each flag of the command
    recipe: str | None = None,
    *,
    models: str = DEFAULT_MODELS,
    tasks: Sequence[str] | None = None,
    out: str | Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    again: bool = False,
    quiet: bool = False,
) -> Results:
    """Plan, train where needed, score, report.

    Args:
        recipe: As in `open_run`, like out, limit, seed and settings.
        models: `base`, `adapter`, `NAME=folder-or-hub-id`, separated by commas, in any order.
        tasks: lm-eval task names instead of the recipe's.
        out: The run folder.
        limit: Items for each task.
        seed: Instead of the recipe's.
        settings: `key.path=value` overrides.
        again: Ask everything anew, also what this folder already holds answers to.
        quiet: Print nothing.

    Returns:
        The results document, as written to `results.json`.
    """
    terminal = Terminal(quiet=quiet)
    resolved, folder = open_run(recipe, out=out, limit=limit, seed=seed, settings=settings)
    if recipe is None:
        terminal.say(f"recipe: {resolved.name} (choose another with --recipe; see `medbench list recipes`)")
    folder.make()
    with folder.lock():
        log_to(folder.log)
        plan = _plan(resolved, folder, models, tasks, terminal)
        stages: dict[str, float] = {}
        if plan.to_train is not None:
            _train(plan, plan.to_train, terminal, stages)
        results = _score(plan, terminal, stages, again=again)
        _report(folder, results, terminal)
    return results


def train(
    recipe: str | None = None,
    *,
    out: str | Path | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    quiet: bool = False,
) -> TrainingLog:
    """Train the recipe's adapter into `OUT/adapter`, unless it is there already."""
    from training.log import read_log

    terminal = Terminal(quiet=quiet)
    resolved, folder = open_run(recipe, out=out, seed=seed, settings=settings)
    folder.make()
    with folder.lock():
        log_to(folder.log)
        plan = _plan(resolved, folder, OWN_ADAPTER, None, terminal)
        if plan.to_train is not None:
            return _train(plan, plan.to_train, terminal, {})
        terminal.say(f"the adapter in {folder.adapter} is of this recipe, data and base: nothing to train")
        log = read_log(folder.adapter)
        if log is None:
            raise UserError(
                "the adapter has no training log", where=str(folder.adapter), fix="remove it to train again"
            )
        return log


def score(  # noqa: PLR0913 - one for each flag of the command
    recipe: str | None = None,
    *,
    models: str = DEFAULT_MODELS,
    tasks: Sequence[str] | None = None,
    out: str | Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    again: bool = False,
    quiet: bool = False,
) -> Results:
    """Score and compare models without training.

    Raises:
        UserError: The recipe's own adapter is asked for and not trained yet.
    """
    terminal = Terminal(quiet=quiet)
    resolved, folder = open_run(recipe, out=out, limit=limit, seed=seed, settings=settings)
    folder.make()
    with folder.lock():
        log_to(folder.log)
        plan = _plan(resolved, folder, models, tasks, terminal)
        if plan.to_train is not None:
            raise UserError(
                "it holds no adapter of this recipe, data and base",
                where=str(folder.path),
                fix="train first with `medbench train`, or use `medbench run`, or leave adapter out of --models",
            )
        return _score(plan, terminal, {}, again=again)


def plan(recipe: str | None = None, *, settings: Sequence[str] = (), quiet: bool = False) -> Preflight:
    """Say what a recipe's training will do, without loading weights; returns what it rests on."""
    from harness.training_plan import print_plan

    log_to(None)
    resolved, _ = open_run(recipe, settings=settings)
    return print_plan(resolved, Terminal(quiet=quiet))


def report(run: str | Path, *, quiet: bool = False) -> tuple[Path, Path]:
    """Write `report.md` and `report.html` of a run folder; returns their paths."""
    from reports.render import render

    paths = render(Path(run))
    for path in paths:
        Terminal(quiet=quiet).say(str(path))
    return paths


def ask(
    question: str,
    recipe: str | None = None,
    *,
    models: str = DEFAULT_MODELS,
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    max_new_tokens: int | None = None,
) -> dict[str, str]:
    """Answers of several models to one question, by model; nothing is trained or written.

    Whoever shows them to a person adds `reports.tables.NOT_MEDICAL_ADVICE`.
    """
    from harness.answering import answers

    log_to(None)
    if not question.strip():
        raise UserError("the question is empty", where="medbench ask", fix='write it in quotes: medbench ask "..."')
    resolved, folder = open_run(recipe, out=out, settings=settings)
    return answers(question, resolved, folder, models, max_new_tokens)


def _plan(recipe: Recipe, folder: RunFolder, models: str, tasks: Sequence[str] | None, terminal: Terminal) -> Plan:
    terminal.heading("Plan")
    from harness import estimate
    from harness.run_plan import make_plan

    plan = make_plan(recipe, folder, models, tasks, lambda line: terminal.say(f"  {line}"))
    terminal.say(f"  base {plan.base.name} on {plan.device}, scored as {plan.weights}")
    if plan.to_train is not None:
        trainer = recipe.trainer
        steps = f"{trainer.max_steps} steps" if trainer.max_steps else f"{trainer.epochs:g} epochs"
        effective = trainer.batch_size * trainer.gradient_accumulation
        seconds = estimate.train_seconds(recipe, plan.base, plan.to_train, plan.device, plan.train_dtype)
        terminal.say(
            f"  train: {steps} of {effective} rows out of {len(plan.to_train.train)}, {recipe.quantization.method},"
            f" LoRA r {recipe.lora.r}, format {recipe.format.name}: about {duration(seconds)}"
        )
    answering = duration(estimate.score_seconds(plan))
    terminal.say(f"  score: {', '.join(plan.models)}: about {answering} if nothing is answered yet")
    for loaded in plan.tasks:
        terminal.say(f"    {loaded.name}: {loaded.info.setting}{' (synthetic)' if loaded.info.synthetic else ''}")
    for warning in plan.warnings:
        terminal.say(f"  note: {warning}", style="yellow")
    from reports.files import write_text

    write_text(folder.recipe, recipe_yaml(recipe))
    return plan


def _train(plan: Plan, rows: TrainingRows, terminal: Terminal, stages: dict[str, float]) -> TrainingLog:
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

        log = finetune(plan.recipe, plan.base, rows, plan.folder.adapter, progress)
    stages["train"] = round(time.perf_counter() - started, 3)
    share = 100 * log.trainable_parameters / log.total_parameters
    losses = [each["loss"] for each in log.losses if "loss" in each]
    terminal.say(
        f"  {log.trainable_parameters:,} trainable parameters ({share:.2f} %), {log.steps} steps in"
        f" {duration(log.seconds)}, loss {losses[0]:.3f} -> {losses[-1]:.3f}"
    )
    if log.truncated_rows or log.dropped_rows:
        terminal.say(
            f"  note: {log.truncated_rows} rows were cut at {plan.recipe.trainer.max_length} tokens,"
            f" {len(log.dropped_rows)} dropped whose prompt alone is longer; raise trainer.max_length",
            style="yellow",
        )
    _log.info("trained: %s", log.model_dump(exclude={"losses", "settings"}))
    return log


def _steps(trainer: TrainerSection, rows: int) -> int:
    """Optimizer steps, as the trainer will count them."""
    if trainer.max_steps:
        return trainer.max_steps
    batches = -(-rows // trainer.batch_size)
    return max(1, round((trainer.epochs or 0) * -(-batches // trainer.gradient_accumulation)))


def _score(plan: Plan, terminal: Terminal, stages: dict[str, float], *, again: bool) -> Results:
    from harness.results import assemble
    from harness.scoring import score_models
    from reports.files import write_json

    terminal.heading("Score")
    started = time.perf_counter()
    scored = score_models(plan, terminal, again=again)
    stages["score"] = round(time.perf_counter() - started, 3)
    started = time.perf_counter()
    results = assemble(plan, scored, command=_command(), stages=stages)
    stages["compare"] = round(time.perf_counter() - started, 3)
    write_json(plan.folder.results, results.model_dump(mode="json"))
    return results


def _report(folder: RunFolder, results: Results, terminal: Terminal) -> None:
    from reports.render import render
    from reports.tables import NOT_MEDICAL_ADVICE, scores_table

    markdown, html = render(folder.path)
    terminal.heading("Result")
    table = scores_table(results, brief=True)
    terminal.table(table.columns, table.rows)
    terminal.say()
    for sentence in results.verdict:
        terminal.say(sentence)
    terminal.say(NOT_MEDICAL_ADVICE)
    terminal.say(f"\nreport: {html}\n        {markdown}\nfigures: {folder.results}")


def _command() -> str:
    """The command line, with the program's own path left out."""
    words: list[Any] = sys.argv[1:] if Path(sys.argv[0]).name in ("medbench", "__main__.py") else []
    return " ".join(["medbench", *words]) if words else "Python API"
