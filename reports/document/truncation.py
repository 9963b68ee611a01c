"""The share of generated answers that the token limit cut, whichever metric of a task says it."""

from __future__ import annotations

from reports.document.schema import Results, TaskInfo

_TRUNCATED, _ENDED = "truncated", "ended"


def truncated_share(results: Results, task: TaskInfo, model: str) -> float | None:
    """Share of a model's answers to a reasoned task that the token limit cut; None if nothing says it.

    Other people's tasks have no metric of it; there the number of cut answers among the costs counts.
    """
    if not task.reasoned:
        return None
    key = (model, task.name)
    scores = {score.metric: score for score in results.scores if (score.model, score.task) == key}
    if (truncated := scores.get(_TRUNCATED)) is not None:
        return truncated.value
    if (ended := scores.get(_ENDED)) is not None:
        return None if ended.value is None else 1 - ended.value
    cut = next((cost.truncated for cost in results.costs if (cost.model, cost.task) == key), None)
    items = max((score.n for score in scores.values()), default=0)
    return None if cut is None or not items else min(cut / items, 1.0)
