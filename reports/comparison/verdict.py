"""The verdict in sentences, derived from the paired comparisons alone."""

from __future__ import annotations

from reports.comparison.adapter_cost import cost_sentences
from reports.comparison.slice_sentences import slice_sentences
from reports.document.label_use import NO_LABEL
from reports.document.schema import Comparison, MetricInfo, Results, TaskInfo
from reports.document.truncation import truncated_share
from reports.numbers import TRAINED_ON, amount_text, difference_text, join_words, percent_text

_AGAINST = {
    "better": "is still better than",
    "worse": "is worse than",
    "equivalent": "is equivalent to",
    "identical": "is that of",
}
TRUNCATED = 0.05  # share of reasoned answers from which the report warns
_Metrics = dict[tuple[str, str], MetricInfo]


def sentences(results: Results) -> list[str]:
    """Write warnings, what each model gains and loses beside its target, one sentence per model, and its slices."""
    metrics = labelled_metrics(results)
    others = [model.name for model in results.models if model.name != results.baseline]
    lines = [*truncations(results), *label_collapses(results), *trained_on(results)]
    if not others:
        return [*lines, f"Only {results.baseline} was scored, so there is nothing to compare it with."]
    lines += cost_sentences(results)
    lines += turn_sentences(results)
    for model in (name for name in results.shown_models() if name != results.baseline):
        pairs = [pair for pair in results.comparisons if pair.candidate == model]
        lines.append(_sentence(model, results.baseline, pairs, metrics))
    lines += slice_sentences(results, metrics)
    if any(task.synthetic for task in results.tasks):
        lines.append(
            "The sample data that ships with medbench is synthetic: its scores are a demonstration, not a benchmark"
            " result."
        )
    return lines


def findings(results: Results) -> list[str]:
    """Sentences on gain and cost, on turning points and on slices, as in `sentences`."""
    return [*cost_sentences(results), *turn_sentences(results), *slice_sentences(results, labelled_metrics(results))]


def turn_sentences(results: Results) -> list[str]:
    """A sentence for each turning point of the learning curve, or one that there is none; empty without a curve."""
    curve, metrics = results.learning_curve, labelled_metrics(results)
    if curve is None:
        return []
    steps = f"steps {curve.steps[0]} to {curve.steps[-1]}"
    steps += f", means over {len(curve.seeds)} seeds" if curve.seeds else ""
    purposes = {task.name: task.purpose for task in results.tasks}
    lines = []
    for turn in curve.turns:
        metric = metrics[turn.task, turn.metric]
        name = "Forgetting" if purposes[turn.task] == "retention" else "Overfitting"
        line = f"{name} in {metric.title}: step {curve.step_of(turn.candidate)} is worse than step"
        line += f" {curve.step_of(turn.baseline)} ({_details(turn, metric)})"
        end = curve.worse_than(curve.models[curve.steps.index(curve.compared[-1])], turn.task, turn.metric)
        if end is not None and end.candidate != turn.candidate:
            line += f", and the last step, {curve.step_of(end.candidate)}, worse than step"
            line += f" {curve.step_of(end.baseline)} ({_details(end, metric)})"
        lines.append(f"{line}, after correction for {curve.tests} tests of {steps}.")
    none = f"Learning curve, {steps}: no later step is shown to be worse than an earlier one in a main metric"
    lines = lines or [f"{none} ({curve.tests} tests, corrected)."]
    some = [f"step {step} ({len(seeds)} of {len(curve.seeds)})" for step, seeds in curve.left_out.items()]
    return [
        *lines,
        *([f"Not all seeds have {join_words(some)}: no mean over the seeds is shown there."] if some else []),
    ]


def labelled_metrics(results: Results) -> _Metrics:
    """Metrics by task and key; a title that several tasks share gets the task's label."""
    labels_of: dict[str, list[list[str]]] = {}
    for task in results.tasks:
        for metric in task.metrics:
            labels_of.setdefault(metric.title, []).append(task.short_title.split(", "))
    ends = {title: _common_end(labels) for title, labels in labels_of.items()}

    def labelled(task: TaskInfo, metric: MetricInfo) -> MetricInfo:
        if len(labels_of[metric.title]) == 1:
            return metric
        parts = task.short_title.split(", ")
        label = ", ".join(parts[: len(parts) - ends[metric.title]])
        return metric.model_copy(update={"title": f"{metric.title} [{label}]"})

    return {(task.name, metric.key): labelled(task, metric) for task in results.tasks for metric in task.metrics}


def _common_end(labels: list[list[str]]) -> int:
    """1 if all labels end with the same part, the items, and have something before it; else 0."""
    return int(min(map(len, labels)) > 1 and len({label[-1] for label in labels}) == 1)


def trained_on(results: Results) -> list[str]:
    """A warning for each task with items that a model was trained on."""
    check = results.overlap
    if check is None:
        return []
    warnings = []
    for task, items in check.items.items():
        models = [model for model in check.models if check.affected(task, model)]
        if models:
            warnings.append(
                f"Trained on test items: {check.affected(task)} of the {items} items of {task} share text with rows"
                f" that {join_words(models)} trained on, so the scores there, marked {TRAINED_ON}, are not a fair"
                " measure."
            )
    return warnings


def truncations(results: Results) -> list[str]:
    """A warning for each model whose reasoning the token limit cut too often, where a label comes after it."""
    recipes = results.recipe.get("scoring", {}).get("max_new_tokens")
    warnings = []
    for task in results.tasks:
        shares = {model.name: truncated_share(results, task, model.name) for model in results.models}
        limit, fix = recipes, "so raise scoring.max_new_tokens"
        if task.own_token_limit is not None:
            limit, fix = task.own_token_limit, "and the task's own file sets the limit"
        warnings += [
            f"Truncated reasoning: the limit of {limit} new tokens cut {percent_text(share)} of the answers of"
            f" {model} to {task.short_title}; those without a final answer count as wrong, {fix}."
            for model, share in shares.items()
            if share is not None and share > TRUNCATED
        ]
    return warnings


def label_collapses(results: Results) -> list[str]:
    """A warning for models that give one label to nearly all items of a task; one for all of which the same is true."""
    titles = {task.name: task.short_title for task in results.tasks}
    models: dict[tuple[str, str], list[str]] = {}
    for use in results.label_use:
        if use.is_collapsed:
            against = _AGAINST.get(use.outcome, "is not shown to differ from")
            given = (
                f"{_label(use.label)} to {percent_text(use.share)} of the {use.items} items of"
                f" {titles.get(use.task, use.task)}, where {percent_text(use.gold_share)} have it in gold"
            )
            majority = f"{against} always giving {use.majority!r} ({percent_text(use.majority_accuracy)})"
            models.setdefault((given, majority), []).append(use.model)
    return [
        f"Label collapse: {names[0]} gives {given}; its accuracy {majority}."
        if len(names) == 1
        else f"Label collapse: {join_words(names)} give {given}; their accuracy {majority}."
        for (given, majority), names in models.items()
    ]


def _label(label: str) -> str:
    return "no label" if label == NO_LABEL else repr(label)


def _sentence(model: str, baseline: str, comparisons: list[Comparison], metrics: _Metrics) -> str:
    main = [pair for pair in comparisons if not metrics[pair.task, pair.metric].secondary]
    if all(pair.difference is None for pair in comparisons):
        return f"{model} cannot be compared with {baseline}: the two have no values of the same items."
    clauses = _directions(main, metrics)
    first = f"Compared with {baseline}, {model} is {' and '.join(clauses)}"
    if not clauses:
        first = f"Compared with {baseline}, {model} is shown to be better or worse in no main metric"
    rest = (_equivalent(main, metrics), _identical(main, metrics), _inconclusive(main, metrics), _noise(main, metrics))
    secondary = _directions([pair for pair in comparisons if metrics[pair.task, pair.metric].secondary], metrics)
    further = f" In the secondary metrics it is {' and '.join(secondary)}." if secondary else ""
    return "; ".join(filter(None, (first, *rest))) + "." + further


def _directions(comparisons: list[Comparison], metrics: _Metrics) -> list[str]:
    """The metrics in which a model is better and those in which it is worse, with the differences."""
    clauses = []
    for outcome in ("better", "worse"):
        named = [
            f"{metrics[pair.task, pair.metric].title} ({_details(pair, metrics[pair.task, pair.metric])})"
            for pair in comparisons
            if pair.outcome == outcome
        ]
        if named:
            clauses.append(f"{outcome} in {join_words(named)}")
    return clauses


def _details(comparison: Comparison, metric: MetricInfo) -> str:
    """A difference with its reservations."""
    parts = [difference_text(comparison, metric)]
    ends = (comparison.low, comparison.high)
    if comparison.relevant and all(end is not None and abs(end) < comparison.relevant for end in ends):
        parts.append(f"below the relevant {amount_text(comparison.relevant, metric)}")
    if comparison.caution:
        parts.append(f"unreliable: {comparison.caution}")
    return ", ".join(parts)


def _equivalent(comparisons: list[Comparison], metrics: _Metrics) -> str:
    titles = [metrics[pair.task, pair.metric].title for pair in comparisons if pair.outcome == "equivalent"]
    return f"equivalent within the relevant difference in {join_words(titles)}" if titles else ""


def _identical(comparisons: list[Comparison], metrics: _Metrics) -> str:
    same = [pair for pair in comparisons if pair.outcome == "identical"]
    return "; ".join(f"identical on all {pair.n} items in {metrics[pair.task, pair.metric].title}" for pair in same)


def _inconclusive(comparisons: list[Comparison], metrics: _Metrics) -> str:
    """Main metrics without a conclusion, with the number of items that would decide a relevant difference."""
    named = []
    for pair in comparisons:
        if pair.outcome == "inconclusive":
            metric, needs = metrics[pair.task, pair.metric], ""
            if pair.items_needed is not None and pair.relevant is not None:
                needs = f" (about {pair.items_needed:,} items decide {amount_text(pair.relevant, metric)})"
            named.append(f"{metric.title}{needs}")
    return f"inconclusive in {join_words(named)}" if named else ""


def _noise(comparisons: list[Comparison], metrics: _Metrics) -> str:
    """Main metrics whose difference numerical noise explains: an annotation that changes no outcome."""
    titles = [
        metrics[pair.task, pair.metric].title
        for pair in comparisons
        if pair.noise is not None and pair.noise.explains(pair.difference)
    ]
    return f"not distinguishable from numerical noise in {join_words(titles)}" if titles else ""
