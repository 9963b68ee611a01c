"""Sets items aside for scoring during training and for choosing a checkpoint; reported scores leave them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.planning.item_hashes import source_hashes
from harness.planning.lm_tasks import load_tasks
from reports.errors import UserError
from tasks import catalog
from tasks.data.splits import seeded_order

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask
    from reports.errors import UnreachableError
    from training.models.model import Model
    from training.recipes.recipe import Recipe

_SHARE, _MOST, _LEAST = 5, 100, 10  # without validation_items: one item in five, at most 100, at least 10
_COMMON, _COMMON_SHARE = 10, 3  # a text that so many items, and one in so many, have in common is no source of theirs
_KEY = "trainer.validation_items"


def load_with_validation(
    names: Sequence[str], recipe: Recipe, base: Model, unreachable: dict[str, UnreachableError] | None = None
) -> tuple[list[LoadedTask], list[LoadedTask]]:
    """Load these tasks and that of `trainer.choose_by`: (the former with their items, tasks of the items set aside).

    Raises:
        UserError: As `load_tasks` and `set_aside`.
    """
    tasks = load_tasks(names, recipe, base, unreachable=unreachable)
    by, loaded = recipe.trainer.chooses_by, {task.name for task in tasks}
    further = load_tasks(by[:1], recipe, base) if by is not None and by[0] not in loaded else []
    reported, validation = set_aside([*tasks, *further], recipe)
    return reported[: len(tasks)], validation


def choosing_items(validation: Sequence[LoadedTask], recipe: Recipe) -> str:
    """Hash of the items that choose a checkpoint; empty if none does."""
    by = recipe.trainer.chooses_by
    return "" if by is None else next(loaded.items_hash for loaded in validation if loaded.name == by[0])


def validation_lines(validation: Sequence[LoadedTask], recipe: Recipe) -> list[str]:
    """Lines on how many items of each task are set aside, and what for."""
    by, steps = recipe.trainer.choose_by, recipe.trainer.score_steps
    lines = []
    for loaded in validation:
        uses = [f"choose the checkpoint by {by}"] if by and by.startswith(f"{loaded.name}/") else []
        uses += [f"are scored every {steps} steps"] if steps and is_scored_by_likelihood(loaded) else []
        lines.append(f"set aside: {len(loaded.indices)} items of {loaded.name} {' and '.join(uses)}")
    return lines


def is_scored_by_likelihood(loaded: LoadedTask) -> bool:
    """Whether a task compares log-likelihoods, so that nothing is generated."""
    return loaded.task.OUTPUT_TYPE in ("multiple_choice", "loglikelihood", "loglikelihood_rolling")


def check_scored_while_training(validation: Sequence[LoadedTask], recipe: Recipe) -> None:
    """Check that a training can be scored while it runs, and stopped by these scores if the recipe says so.

    Raises:
        UserError: Nothing, or nothing that stops it, compares log-likelihoods.
    """
    trainer = recipe.trainer
    names = [loaded.name for loaded in validation if is_scored_by_likelihood(loaded)]
    if trainer.score_steps is not None and not names:
        raise UserError(
            "none of the tasks compares log-likelihoods, and while training nothing is generated",
            where="trainer.score_steps",
            fix="leave it out, or add a task such as medbench_perplexity to scoring.tasks",
        )
    by = trainer.chooses_by
    if trainer.early_stopping_patience is not None and by is not None and by[0] not in names:
        raise UserError(
            f"while training nothing is generated, so there are no scores in {trainer.choose_by} to stop by",
            where="trainer.early_stopping_patience",
            fix="leave it out, or choose by a task that compares log-likelihoods",
        )


def set_aside(tasks: Sequence[LoadedTask], recipe: Recipe) -> tuple[list[LoadedTask], list[LoadedTask]]:
    """(the tasks with the items to report, the tasks with the items set aside); the latter is empty if there are none.

    Items are set aside of the task of `trainer.choose_by` and, with `trainer.score_steps`, of every task that compares
    log-likelihoods: the last ones of the seeded order whose first ones `scoring.limit` takes, so that a limit which
    leaves enough items reports the same ones as without. Items with a text in common (a question, a context) are on the
    same side, in whichever task they are; a text of more than a third of a task's items does not count. Items that
    choose are drawn first: which they are does not depend on the other tasks.

    Args:
        tasks: All tasks, that of `trainer.choose_by` among them.
        recipe: The recipe.

    Raises:
        UserError: A task has no such metric, or too few items.
    """
    trainer = recipe.trainer
    if not trainer.sets_items_aside:
        return list(tasks), []
    by = trainer.chooses_by
    if by is not None:
        _check_metric(next((loaded for loaded in tasks if loaded.name == by[0]), None), by)
    drawn = [
        loaded
        for loaded in tasks
        if (by is not None and loaded.name == by[0]) or (trainer.score_steps and is_scored_by_likelihood(loaded))
    ]
    hashes = {loaded.name: _item_sources(loaded) for loaded in tasks}
    taken: set[str] = set()
    aside: dict[str, set[int]] = {}
    for loaded in sorted(drawn, key=lambda it: by is None or it.name != by[0]):
        sources, wanted = hashes[loaded.name], _wanted(loaded, trainer.validation_items)
        places = {place for place, texts in enumerate(sources) if texts & taken}
        for place in reversed(seeded_order(len(sources), recipe.seed)):
            if len(places) >= wanted:
                break
            if place not in places:
                places |= {place} | {other for other, texts in enumerate(sources) if texts & sources[place]}
        aside[loaded.name] = places
        taken |= frozenset().union(*(sources[place] for place in places))
    reported = [_without(loaded, aside.get(loaded.name, set()), hashes[loaded.name], taken, recipe) for loaded in tasks]
    return reported, [loaded.remade(sorted(aside[loaded.name])) for loaded in drawn]


def _check_metric(loaded: LoadedTask | None, by: tuple[str, str]) -> None:
    """Check that a checkpoint can be chosen by a metric of a task.

    Raises:
        UserError: It is a group of tasks, the task has no such metric, or neither direction of it is better.
    """
    name, key = by
    if loaded is None:
        what, fix = f"{name} is a group of tasks", "name one of its tasks, and a metric of that"
        raise UserError(what, where="trainer.choose_by", fix=fix)
    if loaded.name in catalog.METRICS:
        keys = [metric.key for metric in catalog.metrics_of(loaded.name) if metric.sign and not metric.descriptive]
    else:
        keys = [name for name, better in loaded.task.higher_is_better().items() if better is not None]
    if key.partition(",")[0] not in keys:
        raise UserError(
            f"{name} has no metric {key!r} in which one direction is better",
            where="trainer.choose_by",
            fix=f"choose by {' or '.join(f'{name}/{one}' for one in keys) or 'another task'}",
        )


def item_sources(loaded: LoadedTask) -> list[str]:
    """Hashes of the texts of a task's items, sorted, without those that many items have in common."""
    sources = _item_sources(loaded)
    return sorted({source for index in loaded.indices for source in sources[index]})


def _item_sources(loaded: LoadedTask) -> list[frozenset[str]]:
    """Hashes of the texts of each item that others may have in common with it."""
    total = len(loaded.task.eval_docs)
    sources = [source_hashes(document) for document in loaded.documents(range(total))]
    counts = Counter(source for texts in sources for source in texts)
    common = {source for source, count in counts.items() if count > max(_COMMON, total / _COMMON_SHARE)}
    return [texts - common for texts in sources]


def _wanted(loaded: LoadedTask, given: int | None) -> int:
    """Number of items of a task to set aside.

    Raises:
        UserError: The task has too few items.
    """
    total = len(loaded.task.eval_docs)
    wanted = min(total // _SHARE, _MOST) if given is None else given
    if given is None and wanted < _LEAST:
        raise UserError(
            f"a fifth of the {total} items of {loaded.name} is too few to choose by",
            where=_KEY,
            fix=f"set how many of them to set aside, such as --set {_KEY}={max(2, total // 2)}, or use a larger task",
        )
    if wanted > total - 2:
        raise UserError(
            f"setting {wanted} of the {total} items of {loaded.name} aside leaves too few to report",
            where=_KEY,
            fix=f"set fewer aside, such as --set {_KEY}={max(2, total // _SHARE)}",
        )
    return wanted


def _without(
    loaded: LoadedTask, aside: set[int], sources: Sequence[frozenset[str]], taken: set[str], recipe: Recipe
) -> LoadedTask:
    """A task without the items set aside, and without those that share a text with one set aside in any task.

    Raises:
        UserError: Fewer than two items are left.
    """
    left = [
        place for place in seeded_order(len(sources), recipe.seed) if place not in aside and not sources[place] & taken
    ]
    if len(left) < 2:  # noqa: PLR2004 - one item is no sample
        raise UserError(
            f"all items of {loaded.name} are among those set aside, or share texts with them",
            where=_KEY,
            fix="set fewer aside, or leave the task out",
        )
    excluded = len(sources) - len(left)
    if not excluded:
        return loaded
    reported = loaded.remade(sorted(left[: recipe.scoring.limit_of(loaded.name)]))
    reported.info.setting += f", {excluded} others set aside for the training's own scores"
    return replace(reported, set_aside=excluded)
