"""The share of generated answers that the token limit cut, whichever metric of a task says it."""

from __future__ import annotations

from reports.document.schema import Results, TaskInfo

_TRUNCATED, _ENDED = "truncated", "ended"


def truncated_share(results: Results, task: TaskInfo, model: str) -> float | None:
    """Share of a model's answers to a task that the token limit cut; None if the task has no such metric."""
    scores = {score.metric: score.value for score in results.scores if (score.model, score.task) == (model, task.name)}
    if (truncated := scores.get(_TRUNCATED)) is not None:
        return truncated
    ended = scores.get(_ENDED)
    return None if ended is None else 1 - ended
