"""The best model of several runs by one metric, and the Pareto front of quality, time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.comparison.members import Member
from reports.document.configurations import Configuration, RunsCompared
from reports.document.schema import MetricInfo, TaskInfo
from reports.errors import UserError


def quality_metric(tasks: Sequence[TaskInfo], by: str | None) -> tuple[TaskInfo, MetricInfo]:
    """The metric that ranks the models.

    Args:
        tasks: Tasks of all runs.
        by: Key of the metric; by default the first leading metric of a task.

    Raises:
        UserError: No task has the metric, or it has no better direction.
    """
    directed = [(task, metric) for task in tasks for metric in task.metrics if metric.sign]
    wanted = next((pair for pair in directed if pair[1].key == by), None)
    if wanted is not None:
        return wanted
    if by is not None or not directed:
        raise UserError(
            f"no run has a metric {by!r} with a better direction",
            where="--by",
            fix=f"one of {', '.join(dict.fromkeys(metric.key for _, metric in directed))}",
        )
    return next(((task, task.lead) for task in tasks if task.lead), directed[0])


def ranked(
    members: Sequence[Member], task: TaskInfo, metric: MetricInfo, left_out: dict[str, list[str]]
) -> RunsCompared:
    """Rank the models of several runs by one metric; `left_out` are the items, by task, that some pair lacks."""
    unmarked = _configurations(members, task, metric)
    configurations = [item.model_copy(update={"on_front": _on_front(item, unmarked, metric.sign)}) for item in unmarked]
    trained = [
        item
        for item, member in zip(configurations, members, strict=True)
        if member.is_trained and item.quality is not None
    ]
    best = max(
        trained, key=lambda item: (metric.sign * (item.quality or 0.0), -(item.training_seconds or 0.0)), default=None
    )
    direction = "highest" if metric.higher_is_better else "lowest"
    return RunsCompared(
        task=task.name,
        metric=metric.key,
        rule=f"the one with the {direction} {metric.title} on {task.title}; ties go to the faster training",
        best=best.model if best else None,
        configurations=configurations,
        left_out=left_out,
    )


def _configurations(members: Sequence[Member], task: TaskInfo, metric: MetricInfo) -> list[Configuration]:
    """All models with their quality; for those that their run trained, also differing settings, time and memory."""
    recipes = {member.label: _flat(member.results.recipe) for member in members if member.of_recipe}
    keys = {key for settings in recipes.values() for key in settings}
    differing = sorted(key for key in keys if len({repr(settings.get(key)) for settings in recipes.values()}) > 1)
    configurations = []
    for member in members:
        score = member.results.scores_by_key().get((member.model.name, task.name, metric.key))
        training = member.results.training if member.of_recipe else None
        configurations.append(
            Configuration(
                model=member.name,
                run=member.label,
                settings={key: recipes[member.label].get(key) for key in differing} if member.of_recipe else {},
                quality=score.value if score else None,
                training_seconds=training.seconds if training else None,
                peak_memory_bytes=training.peak_memory_bytes if training else None,
            )
        )
    return configurations


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted keys, without names and display texts."""
    settings: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            settings |= _flat(inner, f"{prefix}{key}.")
        elif prefix or key == "seed":
            settings[f"{prefix}{key}"] = inner
    return {key: inner for key, inner in settings.items() if not key.startswith("report.")}


def _costs(one: Configuration, sign: int) -> tuple[float, float, float] | None:
    if one.quality is None or one.training_seconds is None:
        return None
    return -sign * one.quality, one.training_seconds, float(one.peak_memory_bytes or 0)


def _on_front(one: Configuration, all_: Sequence[Configuration], sign: int) -> bool:
    """Whether no other is at least as good in everything and better in something."""
    own = _costs(one, sign)
    others = [costs for other in all_ if other is not one and (costs := _costs(other, sign)) is not None]
    return own is not None and not any(
        other != own and all(left <= right for left, right in zip(other, own, strict=True)) for other in others
    )
