"""The verdict in plain sentences, made from the paired comparisons alone."""

from __future__ import annotations

from reports.document.label_use import NO_LABEL
from reports.document.schema import Comparison, MetricInfo, Results, TaskInfo
from reports.numbers import TRAINED_ON, amount_text, difference_text, join_words, percent_text

_AGAINST = {
    "better": "is still better than",
    "worse": "is worse than",
    "equivalent": "is equivalent to",
    "identical": "is that of",
}
_Metrics = dict[tuple[str, str], MetricInfo]


def sentences(results: Results) -> list[str]:
    """One sentence for each model that was compared with the baseline, the most important first."""
    metrics = _metrics(results)
    others = [model.name for model in results.models if model.name != results.baseline]
    found = [*label_collapses(results), *_trained_on(results)]
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


def label_collapses(results: Results) -> list[str]:
    """A warning for each model that gives one label to nearly all items of a task."""
    titles = {task.name: task.short_title for task in results.tasks}
    warnings = []
    for use in results.label_use:
        if use.is_collapsed:
            against = _AGAINST.get(use.outcome, "is not shown to differ from")
            warnings.append(
                f"Label collapse: {use.model} gives {_label(use.label)} to {percent_text(use.share)} of the {use.items}"
                f" items of {titles.get(use.task, use.task)}, where {percent_text(use.gold_share)} have it in gold;"
                f" its accuracy {against} always giving {use.majority!r} ({percent_text(use.majority_accuracy)})."
            )
    return warnings


def _label(label: str) -> str:
    return "no label" if label == NO_LABEL else repr(label)


def _sentence(model: str, baseline: str, comparisons: list[Comparison], metrics: _Metrics) -> str:
    main = [each for each in comparisons if not metrics[each.task, each.metric].secondary]
    if all(each.difference is None for each in comparisons):
        return f"Compared with {baseline}, nothing is known of {model}: the two have no values of the same items."
    clauses = _directions(main, metrics)
    first = f"Compared with {baseline}, {model} is {' and '.join(clauses)}"
    if not clauses:
        first = f"Compared with {baseline}, {model} is shown to be better or worse in no main metric"
    rest = (_equivalent(main, metrics), _identical(main, metrics), _inconclusive(main, metrics), _noise(main, metrics))
    also = _directions([each for each in comparisons if metrics[each.task, each.metric].secondary], metrics)
    beside = f" Of the further metrics it is {' and '.join(also)}." if also else ""
    return "; ".join(filter(None, (first, *rest))) + "." + beside


def _directions(comparisons: list[Comparison], metrics: _Metrics) -> list[str]:
    """Where a model is better and where worse, with the differences."""
    clauses = []
    for outcome in ("better", "worse"):
        named = [
            f"{metrics[each.task, each.metric].title} ({_details(each, metrics[each.task, each.metric])})"
            for each in comparisons
            if each.outcome == outcome
        ]
        if named:
            clauses.append(f"{outcome} in {join_words(named)}")
    return clauses


def _details(comparison: Comparison, metric: MetricInfo) -> str:
    """A difference, with what takes away from it."""
    parts = [difference_text(comparison, metric)]
    ends = (comparison.low, comparison.high)
    if comparison.relevant and all(end is not None and abs(end) < comparison.relevant for end in ends):
        parts.append(f"below the relevant {amount_text(comparison.relevant, metric)}")
    if comparison.caution:
        parts.append(f"unreliable: {comparison.caution}")
    return ", ".join(parts)


def _equivalent(comparisons: list[Comparison], metrics: _Metrics) -> str:
    titles = [metrics[each.task, each.metric].title for each in comparisons if each.outcome == "equivalent"]
    return f"equivalent within the relevant difference in {join_words(titles)}" if titles else ""


def _identical(comparisons: list[Comparison], metrics: _Metrics) -> str:
    same = [each for each in comparisons if each.outcome == "identical"]
    return "; ".join(f"identical on all {each.n} items in {metrics[each.task, each.metric].title}" for each in same)


def _inconclusive(comparisons: list[Comparison], metrics: _Metrics) -> str:
    """Main metrics that these items do not decide, with the number of items that a relevant difference takes."""
    named = []
    for each in comparisons:
        if each.outcome == "inconclusive":
            metric, needs = metrics[each.task, each.metric], ""
            if each.items_needed is not None and each.relevant is not None:
                needs = f" (about {each.items_needed:,} items decide {amount_text(each.relevant, metric)})"
            named.append(f"{metric.title}{needs}")
    return f"inconclusive in {join_words(named)}" if named else ""


def _noise(comparisons: list[Comparison], metrics: _Metrics) -> str:
    """Main metrics whose difference another arithmetic explains: an annotation beside the outcome."""
    titles = [
        metrics[each.task, each.metric].title
        for each in comparisons
        if each.noise is not None and each.noise.explains(each.difference)
    ]
    return f"not distinguishable from numerical noise in {join_words(titles)}" if titles else ""
