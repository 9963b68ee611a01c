"""The tables that reports, READMEs and the terminal show, as plain rows of text made from a results document.

Longer than other files: templates, also those that users write, call all of it as `tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from reports.document.evidence import OverlapCheck
from reports.document.schema import Comparison, MetricInfo, Results, Score, TaskInfo
from reports.numbers import (
    MISSING,
    TRAINED_ON,
    amount_text,
    better_arrow,
    difference_text,
    join_words,
    level_text,
    outcome_text,
    p_text,
    percent_text,
    score_text,
    value_text,
)
from reports.text import Markdown, plain_markdown

_HEADINGS = ("Difference", "Confidence", "p", "Outcome")
_MOST_BESIDE = 4  # models beside the baseline that have columns of their own
_SHOWN_MATCHES = 50
_SHOWN_UNSEARCHED = 10
NOT_MEDICAL_ADVICE = "Research output of a language model. Not medical advice."


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        columns: Headings.
        rows: A cell for each column per row.
        figures: Whether all columns but the first are right-aligned, as for numbers.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: bool = True

    def markdown(self, escape: Callable[[str], str] = plain_markdown) -> Markdown:
        """Format as GitHub-flavoured Markdown; `escape` is applied to each cell."""
        marks = ["---", *["---:" if self.figures else "---"] * (len(self.columns) - 1)]
        lines = [map(escape, self.columns), marks, *(map(escape, row) for row in self.rows)]
        return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def table_of(rows: Iterable[dict[str, str]], *, figures: bool = True) -> Table | None:
    """Make a table of rows with the same keys, which become its columns; None if there are no rows."""
    cells = list(rows)
    return Table(tuple(cells[0]), tuple(tuple(row.values()) for row in cells), figures) if cells else None


def scores_table(results: Results) -> Table:
    """Metrics by model with intervals, and each other model's difference from the baseline."""
    names = results.shown_models()
    others = [name for name in names if name != results.baseline]
    if len(others) > _MOST_BESIDE:
        return _long_scores_table(results, names)
    scores, pairs = results.scores_by_key(), results.comparisons_by_key()
    rows = []
    for shown in shown_rows(results):
        row, metric = [shown.title], shown.metric
        row += [_score_cell(results, scores, name, shown) for name in names]
        row.append(_items(scores.values(), shown.key))
        for name in others:
            row += _comparison_cells(pairs.get((name, *shown.key)), metric)
        rows.append(tuple(row))
    differences = [f"{heading} ({name})" if len(others) > 1 else heading for name in others for heading in _HEADINGS]
    return Table(("Metric", *names, "n", *differences), tuple(rows))


def _long_scores_table(results: Results, names: Sequence[str]) -> Table:
    """The scores with a row for each metric and model, since so many models do not fit beside each other."""
    scores, pairs = results.scores_by_key(), results.comparisons_by_key()
    rows = []
    for shown in shown_rows(results):
        items = _items(scores.values(), shown.key)
        for name in names:
            cells = [shown.title, name, _score_cell(results, scores, name, shown), items]
            rows.append((*cells, *_comparison_cells(pairs.get((name, *shown.key)), shown.metric)))
    return Table(("Metric", "Model", "Score", "n", *_HEADINGS), tuple(rows))


@dataclass(frozen=True)
class ShownRow:
    """A row of scores: a metric of a task, or the mean of a suite.

    Attributes:
        title: What stands in its first cell.
        metric: The metric.
        key: Task or suite, and metric, by which scores and comparisons are looked up.
        tasks: The tasks that it is computed from.
    """

    title: str
    metric: MetricInfo
    key: tuple[str, str]
    tasks: Sequence[str]


def _score_cell(results: Results, scores: Mapping[tuple[str, str, str], Score], name: str, shown: ShownRow) -> str:
    """A model's score with its interval, and the mark of items that it was trained on."""
    return score_text(scores.get((name, *shown.key)), shown.metric) + _trained_on(results, name, shown.tasks)


def shown_rows(results: Results) -> list[ShownRow]:
    """The rows of the scores: all metrics of the tasks, then the means of the suites."""
    rows = [
        ShownRow(metric_title(task, metric), metric, key, [task.name])
        for key, (task, metric) in results.metrics().items()
    ]
    return rows + [
        ShownRow(metric.title + better_arrow(metric), metric, key, suite.tasks)
        for key, (suite, metric) in results.suite_means().items()
    ]


def suites_note(results: Results) -> str:
    """Which suites have no mean since parts are missing, and which parts; empty if nothing is missing."""
    return " ".join(
        f"{suite.title}: no value, since parts of the suite {suite.name} are missing:"
        f" {'; '.join(f'{task} ({why})' for task, why in suite.missing.items())}."
        for suite in results.suites
        if suite.missing
    )


def metric_title(task: TaskInfo, metric: MetricInfo) -> str:
    """A metric's name with the arrow of its better direction, and the task's label if it has one."""
    return metric.title + better_arrow(metric) + (f" ({task.label})" if task.label else "")


def readme_table(results: Results, candidate: str) -> Table:
    """Metric | Baseline | Fine-tuned | Change, for the README of an adapter."""
    scores, pairs = results.scores_by_key(), results.comparisons_by_key()
    rows = []
    for shown in shown_rows(results):
        metric = shown.metric
        base, own = (scores.get((name, *shown.key)) for name in (results.baseline, candidate))
        difference, level, _, outcome = _comparison_cells(pairs.get((candidate, *shown.key)), metric)
        mark = _trained_on(results, candidate, shown.tasks)
        title, n = shown.title, _items(scores.values(), shown.key)
        rows.append((title, score_text(base, metric), score_text(own, metric) + mark, difference, level, outcome, n))
    models = (f"Baseline ({results.baseline})", f"Fine-tuned ({candidate})")
    return Table(("Metric", *models, "Change", "Confidence", "Outcome", "n"), tuple(rows))


def power_table(results: Results) -> Table | None:
    """Effect sizes, and the items needed where the outcome is inconclusive; None without comparisons."""
    metrics, rows = results.metrics(), []
    for pair in results.comparisons:
        if pair.effect_size is None or pair.relevant is None:
            continue
        task, metric = metrics[pair.task, pair.metric]
        needed = MISSING if pair.outcome == "inconclusive" else ""
        rows.append(
            {
                "Difference": f"{pair.candidate}: {metric_title(task, metric)}",
                "Effect size": f"Cohen's {'d' if pair.discordant is None else 'g'} {pair.effect_size:+.2f}",
                "Items that differ": MISSING if pair.differing is None else str(pair.differing),
                "Relevant from": amount_text(pair.relevant, metric),
                "Items needed": needed if pair.items_needed is None else f"{pair.items_needed:,}",
                "Items here": str(pair.n) + ("" if pair.units in (None, pair.n) else f" in {pair.units} groups"),
            }
        )
    return table_of(rows)


def label_use_table(results: Results) -> Table | None:
    """The label that each model gives most, and its accuracy against the majority label; None without labels."""
    return table_of(
        {
            "Model and items": _model_and_items(results, use.model, use.task),
            "Most given label": use.label,
            "Share": percent_text(use.share),
            "Its share in gold": percent_text(use.gold_share),
            "Always the majority label": f"{use.majority}: {percent_text(use.majority_accuracy)}",
            "Accuracy against that": (
                f"{100 * use.difference:+.1f} pp [{100 * use.difference_low:+.1f}, {100 * use.difference_high:+.1f}]"
            ),
            "Outcome": use.outcome,
        }
        for use in results.label_use
    )


def settings_table(results: Results) -> Table:
    """Items of each task."""
    rows = [(task.title, task.setting, "synthetic, no benchmark" if task.synthetic else "") for task in results.tasks]
    return Table(("Task", "Items", "Note"), tuple(rows), figures=False)


def ratings_table(results: Results) -> Table | None:
    """Agreement of raters by aspect, or None if there are no ratings."""
    if results.ratings is None:
        return None
    titles = {metric.key: metric.title for _, metric in results.metrics().values()}
    rows = [
        (titles.get(aspect, aspect), MISSING if alpha is None else f"{alpha:.2f}")
        for aspect, alpha in results.ratings.agreement.items()
    ]
    return Table(("Aspect", "Krippendorff's alpha"), tuple(rows))


def references_table(results: Results) -> Table | None:
    """Reference values of the metrics, such as the majority label's, or None if there are none."""
    rows = []
    for task in results.tasks:
        for line in task.references:
            metrics = [metric for metric in task.metrics if metric.key in line.values]
            values = ", ".join(f"{metric.title} {value_text(line.values[metric.key], metric)}" for metric in metrics)
            rows.append(
                {"For comparison": f"{line.title} ({task.short_title})", "Figures": values, "Source": line.source}
            )
    return table_of(rows, figures=False)


def classes_table(results: Results) -> Table | None:
    """Precision, recall and F1 of each label, by model and task, or None if no task has labels."""
    from reports.frames import classes_frame

    counts: Iterable[Any] = classes_frame(results).itertuples()
    return table_of(
        {
            "Model and items": _model_and_items(results, count.model, count.task),
            "Label": count.label,
            **{
                title: MISSING if isnan(share) else percent_text(share)
                for title, share in (("Precision", count.precision), ("Recall", count.recall), ("F1", count.f1))
            },
            "Gold": str(count.gold),
            "Given": str(count.predicted),
            "Right": str(count.correct),
        }
        for count in counts
    )


def problems_table(results: Results) -> Table | None:
    """Format problems of answers by model and task, or None if there are none."""
    return table_of(
        (
            {
                "Model and items": _model_and_items(results, problem.model, problem.task),
                "Problem": problem.problem,
                "Answers": str(problem.count),
            }
            for problem in results.problems
        ),
        figures=False,
    )


def overlap_table(results: Results) -> Table | None:
    """Test items that share text with training rows, with both texts, or None if there are none."""
    matches = results.overlap.matches[:_SHOWN_MATCHES] if results.overlap else []
    return table_of(
        (
            {
                "Task": match.task,
                "Test item": f"{match.item}; {match.item_source}" if match.item_source else match.item,
                "Row that shares most": f"{match.row_source or match.row} ({match.role})",
                "How": f"{match.kind}, {match.share:.0%} of its {match.part}",
                "Rows": str(match.rows),
                "Text of the item": match.item_text,
                "Text of the row": match.row_text,
            }
            for match in matches
        ),
        figures=False,
    )


def overlap_count(check: OverlapCheck) -> str:
    """How many items share text with how many training rows, in words; an item counts in every task that has it."""
    tasks = f"{len(check.items)} task{'s' if len(check.items) > 1 else ''}"
    return (
        f"{check.affected():,} of the {sum(check.items.values()):,} items of {tasks} share text with the {check.rows:,}"
        f" training rows of {join_words(check.models)}"
    )


def overlap_note(results: Results) -> str:
    """What could not be searched for overlap, and how many matches the table leaves out; empty if nothing."""
    check = results.overlap
    if check is None:
        return ""
    notes = [
        f"{len(items)} items of {task} have text that cannot be split into words, so it is not known whether they are"
        f" among the rows: {', '.join(items[:_SHOWN_UNSEARCHED])}."
        for task, items in check.unsearched.items()
    ]
    if check.unsearched_rows:
        rows = "; ".join(check.unsearched_rows[:_SHOWN_UNSEARCHED])
        notes.append(f"Rows whose question cannot be split into words: {rows}.")
    if len(check.matches) > _SHOWN_MATCHES:
        notes.append(f"The first {_SHOWN_MATCHES} of {len(check.matches)} are shown; all are in results.json.")
    return " ".join(notes)


def costs_table(results: Results) -> Table:
    """Time and tokens of scoring, by model and task."""
    rows = [
        (
            cost.model,
            cost.task,
            f"{cost.seconds:.1f}",
            f"{cost.prompt_tokens:,}",
            f"{cost.output_tokens:,}",
            "kept from an earlier run"
            if cost.reused
            else f"{cost.reused_answers} answers kept from an earlier run"
            if cost.reused_answers
            else "",
        )
        for cost in results.costs
    ]
    return Table(("Model", "Task", "Seconds", "Prompt tokens", "Scored or generated tokens", ""), tuple(rows))


def provenance_table(results: Results) -> Table:
    """Provenance of the results: models, data, machine and versions."""
    rows = [
        (f"model {model.name}", f"{model.source}; {model.weights}; sha256 {model.sha256[:16]}")
        for model in results.models
    ]
    rows += [
        (
            f"data {source.role}",
            f"{source.source}; {source.selection}; {source.rows} rows; sha256 {source.sha256[:16]}"
            + (f"; {source.account.summary()}" if source.account else ""),
        )
        for source in results.data
    ]
    environment = results.environment
    machine = [str(environment[key]) for key in ("gpu", "cpu", "system") if environment.get(key)]
    rows.append(("machine", f"{', '.join(machine)}; {environment.get('cpu_count')} cores"))
    packages = environment.get("packages") or {}
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in packages.items())))
    rows.append(("medbench", f"{results.medbench_version}, seed {results.seed}, {results.created}"))
    return Table(("What", "Which"), tuple(rows), figures=False)


def _model_and_items(results: Results, model: str, task: str) -> str:
    """Heading of the rows of a model on a task."""
    return f"{model}, {next((info.short_title for info in results.tasks if info.name == task), task)}"


def _comparison_cells(pair: Comparison | None, metric: MetricInfo) -> list[str]:
    """Difference with its interval, level, p and outcome; empty texts without a pair."""
    if pair is None:
        return [""] * len(_HEADINGS)
    difference = difference_text(pair, metric, interval=True)
    return [difference, level_text(pair), p_text(pair.p_adjusted), outcome_text(pair)]


def _trained_on(results: Results, model: str, tasks: Iterable[str]) -> str:
    """The mark of a model's scores on tasks some of whose items it was trained on; empty for all others."""
    return f" {TRAINED_ON}" if any(results.learned_from(task, model) for task in tasks) else ""


def _items(scores: Iterable[Score], key: tuple[str, str]) -> str:
    """The smallest number of items that a model was scored on."""
    return str(min((score.n for score in scores if (score.task, score.metric) == key), default=0))
