"""Missing parts of a report and limits of its numbers, as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from reports.document.schema import Results
from reports.page.digest import Digest

LIMITS = (
    "The statistics cover these items only: few or unrepresentative items give an uncertain or wrong answer.",
    "Overlap with a gold answer and its likelihood say nothing about medical correctness.",
    "No metric here replaces review by a clinician.",
    "One training run is one draw: another seed gives another adapter. Only intervals over several seeds cover that.",
    "In 16-bit arithmetic, scores vary slightly with batch shape, software and hardware.",
    "The training data of a base model is unknown, so it may have seen public items.",
)


def missing(results: Results, digests: Sequence[Digest]) -> list[str]:
    """List what a reader might expect but the report lacks, with the reason if it is known."""
    sentences = []
    scored = {(score.model, score.task) for score in results.scores if score.value is not None}
    sampled = {(digest.model, digest.task) for digest in digests}
    for task in results.tasks:
        unscored = [model.name for model in results.models if (model.name, task.name) not in scored]
        if unscored:
            reason = "the task failed or was not run"
            sentences.append(f"{task.title}: there are no scores of {', '.join(unscored)}; {reason}.")
        others = [model.name for model in results.models if model.name not in unscored]
        silent = [name for name in others if (name, task.name) not in sampled]
        if silent:
            sentences.append(f"{task.title}: the samples of {', '.join(silent)} are not in the run folder.")
    if not results.tasks:
        sentences.append("No task was scored.")
    if len(results.models) == 1:
        sentences.append(f"Only {results.models[0].name} was scored, so nothing is compared.")
    if results.training is None and results.compared is None:
        sentences.append("Nothing was trained in this run, so there is no section on training.")
    return sentences
