"""What a report lacks, and what its numbers cannot say, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from reports.document.schema import Results
from reports.page.digest import Digest

LIMITS = (
    "The statistics see the items, not the world: few or unrepresentative ones give an uncertain or wrong answer.",
    "Overlap with a gold answer and its likelihood say nothing about medical correctness.",
    "No metric here replaces review by a clinician.",
    "One training is one draw: another seed gives another adapter. Only intervals of a mean of seeds hold that spread.",
    "In 16-bit arithmetic, figures move a little with batch shape, software and hardware.",
    "What a base model saw before its release is not known, so items that are public may be in it.",
)


def missing(results: Results, digests: Sequence[Digest]) -> list[str]:
    """What a reader might look for and does not find, with the reason where it is known."""
    found = []
    scored = {(each.model, each.task) for each in results.scores if each.value is not None}
    told = {(each.model, each.task) for each in digests}
    for task in results.tasks:
        unscored = [model.name for model in results.models if (model.name, task.name) not in scored]
        if unscored:
            found.append(
                f"{task.title}: there are no figures of {', '.join(unscored)}; the task failed or was not run."
            )
        silent = [
            each.name for each in results.models if each.name not in unscored and (each.name, task.name) not in told
        ]
        if silent:
            found.append(f"{task.title}: the samples of {', '.join(silent)} are not in the run folder.")
    if not results.tasks:
        found.append("No task was scored.")
    if len(results.models) == 1:
        found.append(f"Only {results.models[0].name} was scored, so nothing is compared.")
    if results.training is None and results.compared is None:
        found.append("Nothing was trained in this run, so there is no section on training.")
    return found
