"""The part of a results document that a README block shows: the models and metrics that its marker names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from reports.document.schema import Comparison, Results, Score
from reports.errors import UserError


def select(results: Results, models: Sequence[str], metrics: Sequence[str], where: str) -> Results:
    """Copy of the results with only some models, beside the baseline, and only some metrics.

    Args:
        results: The results document.
        models: Names of the models; all if empty.
        metrics: `METRIC`, for every task that has it, or `TASK/METRIC`; all if empty.
        where: File and line of the block, for messages.

    Raises:
        UserError: The run has no such model or metric.
    """
    names = [model.name for model in results.models]
    rows = [*results.metrics(), *results.suite_means()]
    keys = dict.fromkeys(metric for _, metric in rows)
    _check("models", models, names, names, where)
    _check("metrics", metrics, [*keys, *(f"{task}/{metric}" for task, metric in rows)], keys, where)
    shown_models = {results.baseline, *(models or names)}
    shown = {(task, metric) for task, metric in rows if not metrics or {metric, f"{task}/{metric}"} & {*metrics}}
    shown_tasks = {task for task, _ in shown} if metrics else {task.name for task in results.tasks}

    def scores_of(scores: Sequence[Score]) -> list[Score]:
        return [it for it in scores if it.model in shown_models and (it.task, it.metric) in shown]

    def comparisons_of(pairs: Sequence[Comparison]) -> list[Comparison]:
        return [it for it in pairs if it.candidate in shown_models and (it.task, it.metric) in shown]

    tasks = [
        task.model_copy(update={"metrics": [metric for metric in task.metrics if (task.name, metric.key) in shown]})
        for task in results.tasks
        if task.name in shown_tasks
    ]
    suites = [
        suite.model_copy(update={"scores": scores_of(suite.scores), "comparisons": comparisons_of(suite.comparisons)})
        for suite in results.suites
    ]
    return results.model_copy(
        update={
            "models": [model for model in results.models if model.name in shown_models],
            "tasks": tasks,
            "suites": suites,
            "scores": scores_of(results.scores),
            "comparisons": comparisons_of(results.comparisons),
            "label_use": [it for it in results.label_use if it.model in shown_models and it.task in shown_tasks],
            "costs": [it for it in results.costs if it.model in shown_models and it.task in shown_tasks],
        }
    )


def _check(option: str, wanted: Sequence[str], available: Collection[str], shown: Collection[str], where: str) -> None:
    """Refuse a name that the run does not have.

    Raises:
        UserError: There is one.
    """
    missing = next((name for name in wanted if name not in available), None)
    if missing is not None:
        fix = f"write {option}= with some of {', '.join(shown)[:600]}"
        raise UserError(f"the run has no {option.removesuffix('s')} {missing[:60]!r}", where=where, fix=fix)
