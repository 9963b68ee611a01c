"""Which model of several runs is best by one metric, and which are on the Pareto front of quality, time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.comparison.members import Member
from reports.document.configurations import Configuration, RunsCompared
from reports.document.schema import MetricInfo, TaskInfo
from reports.errors import UserError


def quality_metric(tasks: Sequence[TaskInfo], by: str | None) -> tuple[TaskInfo, MetricInfo]:
    """The metric that the best is told by.

    Args:
        tasks: Of all runs.
        by: Its key; the first leading metric of a task if not given.

    Raises:
        UserError: No task has it, or no direction of it is better.
    """
    known = [(task, metric) for task in tasks for metric in task.metrics if metric.sign]
    wanted = next((pair for pair in known if pair[1].key == by), None)
    if wanted is not None:
        return wanted
    if by is not None or not known:
        raise UserError(
            f"no run has a metric {by!r} with a better direction",
            where="--by",
            fix=f"one of {', '.join(dict.fromkeys(metric.key for _, metric in known))}",
        )
    return next(((task, task.lead) for task in tasks if task.lead), known[0])


def ranked(
    members: Sequence[Member], task: TaskInfo, metric: MetricInfo, left_out: dict[str, list[str]]
) -> RunsCompared:
    """The comparison of the runs by one metric; `left_out` are the items, by task, that some pair does not share."""
    made = _configurations(members, task, metric)
    made = [each.model_copy(update={"on_front": _on_front(each, made, metric.sign)}) for each in made]
    trained = [
        each for each, member in zip(made, members, strict=True) if member.is_trained and each.quality is not None
    ]
    best = max(
        trained, key=lambda each: (metric.sign * (each.quality or 0.0), -(each.training_seconds or 0.0)), default=None
    )
    way = "highest" if metric.higher_is_better else "lowest"
    return RunsCompared(
        task=task.name,
        metric=metric.key,
        rule=f"the {way} {metric.title} on {task.title}; of equals the one that trained faster",
        best=best.model if best else None,
        configurations=made,
        left_out=left_out,
    )


def _configurations(members: Sequence[Member], task: TaskInfo, metric: MetricInfo) -> list[Configuration]:
    """Every model with its quality; where its run's recipe made it, the settings that differ and what training took."""
    recipes = {each.label: _flat(each.results.recipe) for each in members if each.of_recipe}
    keys = {key for settings in recipes.values() for key in settings}
    differing = sorted(key for key in keys if len({repr(settings.get(key)) for settings in recipes.values()}) > 1)
    made = []
    for each in members:
        score = each.results.scores_by_key().get((each.model.name, task.name, metric.key))
        training = each.results.training if each.of_recipe else None
        made.append(
            Configuration(
                model=each.name,
                run=each.label,
                settings={key: recipes[each.label].get(key) for key in differing} if each.of_recipe else {},
                quality=score.value if score else None,
                training_seconds=training.seconds if training else None,
                peak_memory_bytes=training.peak_memory_bytes if training else None,
            )
        )
    return made


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key; names and texts for people left out."""
    found: dict[str, Any] = {}
    for key, each in value.items():
        if isinstance(each, dict):
            found |= _flat(each, f"{prefix}{key}.")
        elif prefix or key == "seed":
            found[f"{prefix}{key}"] = each
    return {key: each for key, each in found.items() if not key.startswith("report.")}


def _costs(one: Configuration, sign: int) -> tuple[float, float, float] | None:
    if one.quality is None or one.training_seconds is None:
        return None
    return -sign * one.quality, one.training_seconds, float(one.peak_memory_bytes or 0)


def _on_front(one: Configuration, all_: Sequence[Configuration], sign: int) -> bool:
    """Whether no other is at least as good in everything and better in something."""
    mine = _costs(one, sign)
    others = [costs for each in all_ if each is not one and (costs := _costs(each, sign)) is not None]
    return mine is not None and not any(
        other != mine and all(left <= right for left, right in zip(other, mine, strict=True)) for other in others
    )
