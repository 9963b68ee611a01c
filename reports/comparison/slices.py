"""Scores and paired differences by slice of the items, corrected for their number, and the slice that is worst."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reports.comparison import compare_models
from reports.comparison.compare_models import Tested, finite_ends, judge_at
from reports.comparison.inference import LEVEL
from reports.comparison.multiplicity import false_discovery
from reports.comparison.slicing import Grouping
from reports.comparison.sums import ItemValues, ScoredItem, with_value
from reports.document.schema import Comparison, MetricInfo, Score
from reports.document.slices import Slice, TaskSlices, WorstSlice

MIN_ITEMS = 10  # independent ones; smaller slices are not tested
_LISTED = 100  # slices of a column that are listed even if they are too small


@dataclass(frozen=True)
class SlicedTask:
    """A task whose items are grouped by columns.

    Attributes:
        name: Name of the task.
        metrics: Its metrics; the main ones that have a better direction are compared.
        samples: Every model's samples; the baseline is among them.
        groupings: The slices by column; None for a column that the task does not have.
    """

    name: str
    metrics: Sequence[MetricInfo]
    samples: Mapping[str, Sequence[ScoredItem]]
    groupings: Mapping[str, Grouping | None]


@dataclass(frozen=True)
class _Cell:
    """One comparison within a slice, before the correction.

    Attributes:
        place: Index of the slices of the task and column.
        value: The slice.
        tested: The comparison.
        why_not: Why it is not tested; empty if it is.
    """

    place: int
    value: str | None
    tested: Tested
    why_not: str = ""


@dataclass
class SliceResults:
    """The slices of all tasks, and the worst ones by candidate, task and metric."""

    slices: list[TaskSlices] = field(default_factory=list)
    worst: list[WorstSlice] = field(default_factory=list)


def compare_slices(tasks: Sequence[SlicedTask], baseline: str, *, seed: int) -> SliceResults:
    """Score and compare all models by slice.

    The tests are those of `compare_models.compare`. The slices of all tasks, columns, main metrics and compared models
    are one family, corrected by Benjamini and Hochberg. A slice is named the worst only if its corrected p-value shows
    a loss and the interval at the level that is corrected for choosing it (Bonferroni) excludes 0; of several such
    slices it is the one whose interval lies farthest from 0.

    Args:
        tasks: The tasks with their slices.
        baseline: The model that all others are compared with.
        seed: Seed of the bootstrap.
    """
    results, cells = SliceResults(), list[_Cell]()
    for task in tasks:
        for column, grouping in task.groupings.items():
            if grouping is None:
                missing = f"no item has a value of {column}"
                results.slices.append(TaskSlices(task=task.name, column=column, missing=missing))
                continue
            cells += _cells(task, grouping, baseline, len(results.slices), seed)
            results.slices.append(_scored(task, column, grouping, seed))
    judged, family = _judge(cells)
    for cell, comparison in judged:
        for one in results.slices[cell.place].slices:
            if one.value == cell.value:
                one.comparisons.append(comparison)
    results.worst.extend(_worst(judged, family, results.slices))
    return results


def is_sliced(metric: MetricInfo) -> bool:
    """Whether a metric is scored by slice: the main ones with a better direction and a value for each item."""
    return metric.is_main and bool(metric.sign) and metric.kind not in ("other", "ece")


def _listed(grouping: Grouping) -> dict[str | None, list[str]]:
    """The slices that results list: all that may be large enough for a test, and some small ones."""
    return {
        value: items
        for place, (value, items) in enumerate(grouping.items.items())
        if len(items) >= MIN_ITEMS or place < _LISTED or value is None
    }


def _scored(task: SlicedTask, column: str, grouping: Grouping, seed: int) -> TaskSlices:
    listed = _listed(grouping)
    unlisted = [items for value, items in grouping.items.items() if value not in listed]
    by_item = {model: _by_item(samples) for model, samples in task.samples.items()}
    return TaskSlices(
        task=task.name,
        column=column,
        kind=grouping.kind,
        slices=[
            Slice(value=value, n=len(items), scores=list(_scores(task, by_item, items, seed)))
            for value, items in listed.items()
        ],
        unlisted=len(unlisted),
        unlisted_items=sum(map(len, unlisted)),
    )


def _scores(
    task: SlicedTask, by_item: Mapping[str, Mapping[str, list[ScoredItem]]], items: Sequence[str], seed: int
) -> Iterator[Score]:
    for metric in filter(is_sliced, task.metrics):
        for model, samples in by_item.items():
            chosen = _chosen(samples, items)
            if not with_value(metric, chosen):
                continue
            if lacking := lacking_labels(metric, task.samples[model], chosen):
                n = len({sample.id for sample in chosen})
                yield Score(model=model, task=task.name, metric=metric.key, value=None, n=n, caution=lacking)
            else:
                yield compare_models.score(metric, chosen, None, seed=seed)


def _cells(task: SlicedTask, grouping: Grouping, baseline: str, place: int, seed: int) -> Iterator[_Cell]:
    before = task.samples[baseline]
    by_item = {model: _by_item(samples) for model, samples in task.samples.items()}
    for value, items in _listed(grouping).items():
        left = _chosen(by_item[baseline], items)
        for model, samples in by_item.items():
            right = _chosen(samples, items)
            if model == baseline or not left or not right:
                continue
            for metric in filter(is_sliced, task.metrics):
                tested, _ = compare_models.compare(metric, left, right, seed=seed)
                if lacking := lacking_labels(metric, before, left):
                    undefined = tested.comparison.model_copy(update={"difference": None})
                    tested = replace(tested, comparison=undefined)
                yield _Cell(place, value, tested, _why_not(tested, lacking))


def _why_not(tested: Tested, lacking: str) -> str:
    if tested.comparison.outcome == "not compared":
        return "no item has a value of both models"
    if tested.comparison.n < MIN_ITEMS:
        return f"fewer than {MIN_ITEMS} items"
    if (tested.comparison.units or 0) < MIN_ITEMS:
        return f"fewer than {MIN_ITEMS} independent groups of items"
    return lacking or ("" if tested.inference is not None else "no interval can be computed")


def lacking_labels(metric: MetricInfo, everything: Sequence[ItemValues], chosen: Sequence[ItemValues]) -> str:
    """Why a slice has no macro-F1 that compares with that of all items: gold labels without any item in it."""
    if metric.kind != "macro_f1":
        return ""
    every, here = ({_gold(metric, sample) for sample in side} - {None} for side in (everything, chosen))
    return "" if here == every else f"{len(every - here)} of the {len(every)} gold labels do not occur"


def _gold(metric: MetricInfo, sample: ItemValues) -> float | None:
    value = sample.metrics.get(metric.key)
    return value[0] if isinstance(value, tuple) else None


def _by_item(samples: Sequence[ScoredItem]) -> dict[str, list[ScoredItem]]:
    by_item: dict[str, list[ScoredItem]] = defaultdict(list)
    for sample in samples:
        by_item[sample.id].append(sample)
    return dict(by_item)


def _chosen(samples: Mapping[str, list[ScoredItem]], items: Sequence[str]) -> list[ScoredItem]:
    return [sample for item in items for sample in samples.get(item, ())]


def _judge(cells: Sequence[_Cell]) -> tuple[list[tuple[_Cell, Comparison]], int]:
    """Every comparison with its corrected p-value, and the number of tests."""
    family = [cell for cell in cells if not cell.why_not]
    p_values = [cell.tested.inference.p_value() for cell in family if cell.tested.inference is not None]
    adjusted, level = false_discovery(p_values)
    corrected = iter(zip(p_values, adjusted, strict=True))
    judged = []
    for cell in cells:
        if cell.why_not:
            outcome = "not compared" if cell.tested.comparison.outcome == "not compared" else "not tested"
            update = {"outcome": outcome, "caution": cell.why_not}
            judged.append((cell, cell.tested.comparison.model_copy(update=update)))
        else:
            judged.append((cell, judge_at(cell.tested, level, next(corrected), plan=False)))
    return judged, len(family)


def _worst(
    judged: Sequence[tuple[_Cell, Comparison]], family: int, slices: Sequence[TaskSlices]
) -> Iterator[WorstSlice]:
    """The worst slice of each candidate, task and metric that is shown to have one."""
    losses: dict[tuple[str, str, str], list[tuple[_Cell, Comparison]]] = defaultdict(list)
    for cell, pair in judged:
        if pair.outcome == "worse" and pair.p_adjusted is not None and pair.p_adjusted <= LEVEL:
            losses[pair.candidate, pair.task, pair.metric].append((cell, pair))
    level = LEVEL / max(family, 1)
    for several in losses.values():
        cell, pair, (low, high) = min(
            ((cell, pair, finite_ends(cell.tested.inference, level)) for cell, pair in several),
            key=lambda one: _least_loss(one[0].tested.metric, one[2]),
        )
        if low is None or high is None or _least_loss(cell.tested.metric, (low, high)) >= 0:
            continue
        yield WorstSlice(
            task=pair.task,
            metric=pair.metric,
            baseline=pair.baseline,
            candidate=pair.candidate,
            column=slices[cell.place].column,
            value=cell.value,
            n=pair.n,
            difference=pair.difference or 0.0,
            low=low,
            high=high,
            level=level,
            p_adjusted=pair.p_adjusted or 0.0,
            worse=len(several),
            tested=family,
        )


def _least_loss(metric: MetricInfo, ends: tuple[float | None, float | None]) -> float:
    """The end of an interval nearest to 0, below 0 where a loss is certain; 0 if there is no interval."""
    low, high = ends
    if low is None or high is None:
        return 0.0
    return high if metric.sign > 0 else -low
