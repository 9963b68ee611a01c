"""The Python API behind the command: the stages of a run, singly and in a row.

Every function takes what its command takes, prints progress unless `quiet`, and raises `reports.errors.UserError` where
the command would exit with code 2.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console import Terminal
from harness.logs import log_to
from harness.opening import open_run
from harness.runs.showing import kept_stage, report_stage
from harness.runs.unchanged import is_unchanged, remember, signature
from reports.bundles.active import using_bundle
from reports.errors import UserError
from training.machine_failures import raise_machine_errors
from training.models.model import DEFAULT_MODELS, OWN_ADAPTER
from training.processes import is_main, process_count

if TYPE_CHECKING:
    from harness.folder import RunFolder
    from reports.document.schema import Results
    from training.log import TrainingLog
    from training.preflight import Preflight
    from training.recipes.recipe import Recipe


@contextlib.contextmanager
def _reading(from_bundle: str | Path | None, terminal: Terminal) -> Iterator[None]:
    """Read from a bundle meanwhile if one is given or set, and say which."""
    with using_bundle(from_bundle) as bundle:
        if bundle is not None:
            about = bundle.manifest
            terminal.say(f"bundle: {bundle.path}, {len(about.pieces)} data sets and models, made {about.created[:10]}")
        yield


@contextlib.contextmanager
def _working_in(folder: RunFolder) -> Iterator[None]:
    """Make a run folder, keep other processes out, and say what the machine does wrong meanwhile."""
    folder.make()
    with raise_machine_errors(), folder.lock() if is_main() else contextlib.nullcontext():
        yield


def run(  # noqa: PLR0913 - one for each flag of the command
    recipe: str | None = None,
    *,
    models: str = DEFAULT_MODELS,
    tasks: Sequence[str] | None = None,
    out: str | Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    seeds: Sequence[int] | None = None,
    settings: Sequence[str] = (),
    again: bool = False,
    quiet: bool = False,
    data: str | Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    base: str | None = None,
    questions: str | Sequence[str] = (),
    from_bundle: str | Path | None = None,
) -> Results:
    """Plan, train where needed, score, report.

    Args:
        recipe: As in `open_run`, like out, limit, seed, settings, data, columns, base and questions.
        models: `base`, `adapter`, `adapter@STEP` (`adapter@*` for all checkpoints that its training has kept),
            `NAME=SOURCE`, separated by commas, in any order. A source is a folder or hub id of
            an adapter or a whole model, a GGUF file, or `http://HOST/v1#MODEL`; `NAME=KIND:SOURCE` says which it is.
        tasks: lm-eval task names, or paths of your own task files or folders of them, instead of the recipe's.
        out: The run folder.
        limit: Items for each task.
        seed: Instead of the recipe's.
        seeds: Train the adapter once with each and report their mean as one more model; rows and items stay the same.
        settings: `key.path=value` overrides.
        again: Score everything again, also items whose answers the folder holds.
        quiet: Print nothing.
        data: Your own rows instead of the recipe's.
        columns: Columns of `data`, such as `{"question": "Prompt", "answer": "Answer"}`.
        base: The base model.
        questions: Your own multiple-choice questions, which are scored too.
        from_bundle: A folder of `medbench bundle` to read data sets and models from, instead of the hub; without it the
            one that MEDBENCH_BUNDLE names, if any.

    Returns:
        The results document, as written to `results.json`.
    """
    if process_count() > 1:
        raise UserError(
            f"`medbench run` runs in one process, and a launcher started {process_count()}",
            where="WORLD_SIZE",
            fix="start `medbench train` with the launcher, then this command without it",
        )
    terminal = Terminal(quiet=quiet)
    with _reading(from_bundle, terminal):
        resolved, folder = open_run(
            recipe,
            out=out,
            limit=limit,
            seed=seed,
            settings=settings,
            data=data,
            columns=columns,
            base=base,
            questions=questions,
            tasks=tasks,
            say=terminal.say,
        )
        if recipe is None and not data:
            terminal.say(f"recipe: {resolved.name} (choose another with --recipe; see `medbench list recipes`)")
        with _working_in(folder):
            if not (again or seeds) and is_unchanged(folder, signature(resolved, folder, models, tasks)):
                return kept_stage(folder, terminal)
            log_to(folder.log)
            results = _run_stages(resolved, folder, models, tasks, seeds, terminal, again=again)
            if not seeds:
                remember(folder, signature(resolved, folder, models, tasks))
        return results


def _run_stages(
    recipe: Recipe,
    folder: RunFolder,
    models: str,
    tasks: Sequence[str] | None,
    seeds: Sequence[int] | None,
    terminal: Terminal,
    *,
    again: bool,
) -> Results:
    """Plan, train where needed, score and report in the run folder."""
    from harness.runs.stages import plan_stage, score_stage, train_stage  # a finished run is shown without them

    stages: dict[str, float] = {}
    if seeds:
        from harness.runs.seeds import plan_seeds

        plan = plan_seeds(recipe, folder, models, tasks, seeds, terminal, stages)
    else:
        plan = plan_stage(recipe, folder, models, tasks, terminal)
        if plan.to_train is not None:
            train_stage(plan, plan.to_train, terminal, stages)
            from harness.planning.run_plan import with_trained_adapter

            if plan.awaits_checkpoints:
                plan = plan_stage(recipe, folder, models, tasks, terminal)
            else:
                plan = with_trained_adapter(plan)
    results = score_stage(plan, terminal, stages, again=again)
    report_stage(folder, results, terminal)
    return results


def train(  # noqa: PLR0913 - one for each flag of the command
    recipe: str | None = None,
    *,
    out: str | Path | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    quiet: bool = False,
    data: str | Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    base: str | None = None,
    from_bundle: str | Path | None = None,
) -> TrainingLog:
    """Train the recipe's adapter into `OUT/adapter`, unless it is there already.

    Started by `torchrun` or `accelerate launch`, the processes train one adapter together.
    """
    from harness.runs.stages import plan_stage, train_stage
    from training.log import read_log

    terminal = Terminal(quiet=quiet or not is_main())
    with _reading(from_bundle, terminal):
        resolved, folder = open_run(
            recipe, out=out, seed=seed, settings=settings, data=data, columns=columns, base=base, say=terminal.say
        )
        with _working_in(folder):
            log_to(folder.log if is_main() else None)
            plan = plan_stage(resolved, folder, OWN_ADAPTER, None, terminal, trains_only=True)
            if plan.to_train is not None:
                return train_stage(plan, plan.to_train, terminal, {})
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
    questions: str | Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    from_bundle: str | Path | None = None,
) -> Results:
    """Score and compare models without training.

    Started by `torchrun` or `accelerate launch`, the processes share the questions.

    Raises:
        UserError: The recipe's own adapter is asked for and not trained yet.
    """
    from harness.runs.stages import plan_stage, score_stage

    terminal = Terminal(quiet=quiet or not is_main())
    with _reading(from_bundle, terminal):
        resolved, folder = open_run(
            recipe,
            out=out,
            limit=limit,
            seed=seed,
            settings=settings,
            columns=columns,
            questions=questions,
            tasks=tasks,
            say=terminal.say,
        )
        with _working_in(folder):
            log_to(folder.log if is_main() else None)
            plan = plan_stage(resolved, folder, models, tasks, terminal)
            if plan.to_train is not None:
                raise UserError(
                    "it holds no adapter of this recipe, data and base",
                    where=str(folder.path),
                    fix="train first with `medbench train`, or use `medbench run`, or leave adapter out of --models",
                )
            results = score_stage(plan, terminal, {}, again=again)
            terminal.say(f"for the report: medbench report {shlex.quote(str(folder.path))}")
            return results


def plan(  # noqa: PLR0913 - one for each flag of the command
    recipe: str | None = None,
    *,
    seed: int | None = None,
    settings: Sequence[str] = (),
    quiet: bool = False,
    data: str | Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    base: str | None = None,
    questions: str | Sequence[str] = (),
    from_bundle: str | Path | None = None,
    power: bool = False,
    detect: float | None = None,
    discordance: float | None = None,
) -> Preflight:
    """Say what a recipe's training will do, without loading weights; returns what it rests on.

    Args:
        recipe: Name or file; the quickstart if not given.
        seed: Instead of the recipe's.
        settings: `key.path=value` overrides.
        quiet: Print nothing.
        data: As for `run`.
        columns: As for `run`.
        base: As for `run`.
        questions: As for `run`.
        from_bundle: As for `run`.
        power: Print how many items it takes to call a difference better, worse or equivalent, metric by metric.
        detect: Difference to detect with `power`, instead of each metric's smallest relevant one.
        discordance: Share of the items that only one model gets right, instead of that of earlier answers.
    """
    from harness.runs.power_plan import Assumptions
    from harness.runs.training_plan import print_plan

    log_to(None)
    terminal = Terminal(quiet=quiet)
    with _reading(from_bundle, terminal):
        resolved, folder = open_run(
            recipe,
            seed=seed,
            settings=settings,
            data=data,
            columns=columns,
            base=base,
            questions=questions,
            say=terminal.say,
        )
        wants_table = power or detect is not None or discordance is not None
        return print_plan(resolved, terminal, folder, Assumptions(detect, discordance) if wants_table else None)


def report(
    run: str | Path,
    *,
    templates: str | Path | None = None,
    redact: str | Path | None = None,
    quiet: bool = False,
) -> tuple[Path, Path]:
    """Write `report.md` and `report.html` of a run folder; returns their paths.

    Args:
        run: The run folder.
        templates: A folder of templates to use instead of ours (`docs/reports.md`).
        redact: A new folder for a copy of the run without the texts of questions and answers, with reports of its own.
        quiet: Print nothing.
    """
    from reports.page.render import render
    from reports.redaction import emptied_on_failure
    from reports.redaction import redact as write_redacted

    own_templates = None if templates is None else Path(templates)
    if redact is None:
        paths = render(Path(run), own_templates)
    else:
        with emptied_on_failure(Path(redact)) as out:
            paths = render(write_redacted(Path(run), out), own_templates)
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

    Callers that show them to people add `reports.tables.NOT_MEDICAL_ADVICE`.
    """
    from harness.scoring.answering import answers

    log_to(None)
    if not question.strip():
        raise UserError("the question is empty", where="medbench ask", fix='write it in quotes: medbench ask "..."')
    resolved, folder = open_run(recipe, out=out, settings=settings)
    return answers(question, resolved, folder, models, max_new_tokens)
