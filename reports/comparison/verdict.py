"""The verdict in plain sentences, made from the paired comparisons alone."""

from __future__ import annotations

from reports.document.schema import Comparison, MetricInfo, Results, TaskInfo
from reports.numbers import TRAINED_ON, amount_text, difference_text, join_words

_Metrics = dict[tuple[str, str], MetricInfo]


def sentences(results: Results) -> list[str]:
    """One sentence for each model that was compared with the baseline, the most important first."""
    metrics = _metrics(results)
    others = [model.name for model in results.models if model.name != results.baseline]
    found = _trained_on(results)
    if not others:
        return [*found, f"Only {results.baseline} was scored, so there is nothing to compare it with."]
    for model in others:
        pair = [each for each in results.comparisons if each.candidate == model]
        found.append(_sentence(model, results.baseline, pair, metrics))
    if any(task.synthetic for task in results.tasks):
        found.append(
            "The sample data that ships with medbench is synthetic: its scores are a demonstration, not a benchmark"
            " result."
        )
    return found


def _metrics(results: Results) -> _Metrics:
    """Metrics by task and key; those of one title that several tasks have are told apart by the task."""
    having: dict[str, list[list[str]]] = {}
    for task in results.tasks:
        for metric in task.metrics:
            having.setdefault(metric.title, []).append(task.short_title.split(", "))
    ends = {title: _common_end(labels) for title, labels in having.items()}

    def told_apart(task: TaskInfo, metric: MetricInfo) -> MetricInfo:
        if len(having[metric.title]) == 1:
            return metric
        parts = task.short_title.split(", ")
        label = ", ".join(parts[: len(parts) - ends[metric.title]])
        return metric.model_copy(update={"title": f"{metric.title} [{label}]"})

    return {(task.name, metric.key): told_apart(task, metric) for task in results.tasks for metric in task.metrics}


def _common_end(labels: list[list[str]]) -> int:
    """1 where all labels end alike, in the items that they name, and say something before that."""
    return int(min(map(len, labels)) > 1 and len({label[-1] for label in labels}) == 1)


def _trained_on(results: Results) -> list[str]:
    """A warning for each task some of whose items were trained on."""
    check = results.overlap
    if check is None:
        return []
    found = []
    for task, items in check.items.items():
        models = [model for model in check.models if check.affected(task, model)]
        if models:
            found.append(
                f"Trained on test items: {check.affected(task)} of the {items} items of {task} share text with rows"
                f" that {join_words(models)} learned from, so the scores there, marked {TRAINED_ON}, are no fair"
                " measure."
            )
    return found


def _sentence(model: str, baseline: str, comparisons: list[Comparison], metrics: _Metrics) -> str:
    def clauses(*, secondary: bool) -> list[str]:
        named: dict[str, list[str]] = {"better": [], "worse": []}
        for each in comparisons:
            metric = metrics[each.task, each.metric]
            if each.outcome in named and metric.secondary == secondary:
                named[each.outcome].append(f"{metric.title} ({difference_text(each, metric)})")
        return [f"{outcome} in {join_words(found)}" for outcome, found in named.items() if found]

    first = f"Against {baseline}, {model} is better or worse in no main metric, as far as these items can tell"
    if all(each.difference is None for each in comparisons):
        first = f"Against {baseline}, nothing can be told of {model}: the two have no values of the same items"
    if main := clauses(secondary=False):
        first = f"Against {baseline}, {model} is {' and '.join(main)}"
    unclear = (_in_noise(comparisons, metrics), _equal(comparisons, metrics), _too_few(comparisons, metrics))
    also = clauses(secondary=True)
    beside = f" Of the further metrics it is {' and '.join(also)}." if also else ""
    return "; ".join(filter(None, (first, *unclear))) + "." + beside


def _in_noise(comparisons: list[Comparison], metrics: _Metrics) -> str:
    """Main metrics whose difference is no larger than what another arithmetic makes of it."""
    titles = [
        metrics[each.task, each.metric].title
        for each in comparisons
        if each.is_within_noise and not metrics[each.task, each.metric].secondary
    ]
    return f"the difference in {join_words(titles)} is within the numerical noise" if titles else ""


def _equal(comparisons: list[Comparison], metrics: _Metrics) -> str:
    """Main metrics in which these items would have shown a relevant difference and did not."""
    equal = _main(comparisons, metrics, "no detectable difference")
    titles = [metrics[each.task, each.metric].title for each in equal if not each.is_within_noise]
    return f"no difference could be detected in {join_words(titles)}" if titles else ""


def _too_few(comparisons: list[Comparison], metrics: _Metrics) -> str:
    """Main metrics that these items are too few for, with the number that a relevant difference takes."""
    named = []
    for each in _main(comparisons, metrics, "too few items"):
        metric = metrics[each.task, each.metric]
        needs = ""
        if each.items_needed is not None and each.relevant is not None:
            needs = f" ({each.items_needed:,} would show a difference of {amount_text(each.relevant, metric)})"
        named.append(f"{metric.title}{needs}")
    return f"these items are too few to tell for {join_words(named)}" if named else ""


def _main(comparisons: list[Comparison], metrics: _Metrics, outcome: str) -> list[Comparison]:
    return [each for each in comparisons if each.outcome == outcome and not metrics[each.task, each.metric].secondary]
