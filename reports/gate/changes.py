"""The questions that a candidate answers better or worse than the baseline, with both answers, in all and by slice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean

from reports.comparison.slicing import CLASS, group_items
from reports.document.schema import MetricInfo, Sample, TaskInfo
from reports.gate.inputs import GateInput, ItemScore, slice_hash, slice_value
from reports.gate.outcome import ChangedItem, SliceChange, TaskChanges

EXCERPT = 200  # characters of a text
_MOST = 5  # questions that are better, and as many that are worse
_MOST_SLICES = 12  # of one column
_MOST_COLUMNS = 6


def task_changes(candidate: GateInput, baseline: GateInput) -> list[TaskChanges]:
    """The changes of every task whose answers can be compared one by one.

    Args:
        candidate: The candidate.
        baseline: The baseline; if it is stored without texts, its answers are empty.
    """
    changes = (_changes(task, task.lead, candidate, baseline) for task in candidate.scored_tasks if task.lead)
    return [change for change in changes if change is not None]


def _changes(task: TaskInfo, metric: MetricInfo, candidate: GateInput, baseline: GateInput) -> TaskChanges | None:
    ours, theirs = (_by_id(side.items.get(task.name, {}), metric.key) for side in (candidate, baseline))
    shared = [
        key
        for key, (item, _) in ours.items()
        if key in theirs and theirs[key][0].doc_hash == item.doc_hash and isinstance(item, Sample)
    ]
    gains = {key: metric.sign * (ours[key][1] - theirs[key][1]) for key in shared}
    if not gains:
        return None
    worst = sorted((key for key in shared if gains[key] < 0), key=gains.__getitem__)
    best = sorted((key for key in shared if gains[key] > 0), key=gains.__getitem__, reverse=True)
    return TaskChanges(
        task=task.name,
        title=(candidate.task(task.name) or task).short_title,
        metric=metric,
        items=len(shared),
        gained=len(best),
        lost=len(worst),
        changed=[_changed_item(ours[key], theirs[key]) for key in (*worst[:_MOST], *best[:_MOST])],
        slices=list(_slices({key: (ours[key][0], theirs[key][0]) for key in shared}, gains)),
    )


def _by_id(items: Mapping[str, ItemScore | Sample], metric: str) -> dict[str, tuple[ItemScore | Sample, float]]:
    """The first answer to every question that has values, with the mean value of all its answers."""
    answers: dict[str, list[tuple[ItemScore | Sample, float]]] = defaultdict(list)
    for item in items.values():
        value = item.metrics.get(metric)
        if isinstance(value, float):
            answers[item.id].append((item, value))
    return {key: (own[0][0], fmean(value for _, value in own)) for key, own in answers.items()}


def _changed_item(ours: tuple[ItemScore | Sample, float], theirs: tuple[ItemScore | Sample, float]) -> ChangedItem:
    item, value = ours
    other, before = theirs
    return ChangedItem(
        id=item.id,
        question=question_of(item),
        gold=item.gold[:EXCERPT] if isinstance(item, Sample) else "",
        baseline=before,
        candidate=value,
        baseline_answer=answer_of(other),
        candidate_answer=answer_of(item),
    )


def question_of(item: ItemScore | Sample) -> str:
    """Start of the question; empty if the item is stored without texts."""
    if not isinstance(item, Sample):
        return ""
    return (item.prompt if item.question is None else item.question)[:EXCERPT]


def answer_of(item: ItemScore | Sample | None) -> str:
    """Start of the answer; empty if there is none, or the item is stored without texts."""
    return item.output[:EXCERPT] if isinstance(item, Sample) else ""


def _slices(
    pairs: Mapping[str, tuple[ItemScore | Sample, ItemScore | Sample]], gains: Mapping[str, float]
) -> Iterator[SliceChange]:
    """Gains and losses by every column whose values are those of the baseline and that has a few of them."""
    fields = {name for item, _ in pairs.values() if isinstance(item, Sample) for name in item.fields}
    shown = 0
    for column in (CLASS, *sorted(fields - {CLASS})):
        if any(slice_hash(item, column) != slice_hash(other, column) for item, other in pairs.values()):
            continue
        grouping = group_items(column, {key: slice_value(item, column) for key, (item, _) in pairs.items()}, {})
        if grouping is None or not 1 < len(grouping.items) <= _MOST_SLICES or shown == _MOST_COLUMNS:
            continue
        shown += 1
        for value, keys in grouping.items.items():
            gained, lost = (sum(sign * gains[key] > 0 for key in keys) for sign in (1, -1))
            yield SliceChange(column=column, value=value or "none", items=len(keys), gained=gained, lost=lost)
