"""One model beside the baseline, for the terminal: main metrics first, an outcome in words and with a mark."""

from __future__ import annotations

from reports.comparison.verdict import labelled_metrics
from reports.document.evidence import HUMAN_RATING
from reports.document.schema import MetricInfo, Outcome, Results
from reports.numbers import (
    MISSING,
    OUTCOME_MARKS,
    TRAINED_ON,
    better_arrow,
    difference_text,
    outcome_text,
    score_text,
    value_text,
)
from reports.tables import Table


def candidate_table(results: Results, candidate: str, *, intervals: bool = True) -> tuple[Table, list[Outcome | None]]:
    """The scores of a model and the baseline, or of the baseline alone.

    Args:
        results: The results document.
        candidate: The model; the baseline for its own scores alone.
        intervals: Whether differences have their interval, and the baseline alone has those of its scores.

    Returns:
        Columns metric, the two values, their difference, n and outcome, or metric, score and n; and the outcome of each
        row, which is None without a comparison.
    """
    scores, pairs = results.scores_by_key(), results.comparisons_by_key()
    shown = [(key, _of_people(key[0], metric), [key[0]]) for key, metric in labelled_metrics(results).items()]
    shown += [(key, metric, suite.tasks) for key, (suite, metric) in results.suite_means().items()]
    rows: list[tuple[str, ...]] = []
    outcomes: list[Outcome | None] = []
    for key, metric, tasks in sorted(shown, key=lambda row: not row[1].is_main):
        own = scores.get((candidate, *key))
        mark = f" {TRAINED_ON}" if any(results.learned_from(task, candidate) for task in tasks) else ""
        title, n = metric.title + better_arrow(metric), str(own.n) if own else MISSING
        if candidate == results.baseline:
            score = score_text(own, metric) if intervals else value_text(own.value if own else None, metric)
            rows.append((title, score + mark, n))
            outcomes.append(None)
            continue
        base, pair = scores.get((results.baseline, *key)), pairs.get((candidate, *key))
        values = [value_text(score.value if score else None, metric) for score in (base, own)]
        difference = MISSING if pair is None else difference_text(pair, metric, interval=intervals)
        outcome = "" if pair is None else f"{OUTCOME_MARKS[pair.outcome]} {outcome_text(pair)}"
        rows.append((title, values[0], values[1] + mark, difference, n, outcome))
        outcomes.append(pair.outcome if pair else None)
    if candidate == results.baseline:
        return Table(("Metric", candidate, "n"), tuple(rows)), outcomes
    return Table(("Metric", results.baseline, candidate, "Difference", "n", "Outcome"), tuple(rows)), outcomes


def _of_people(task: str, metric: MetricInfo) -> MetricInfo:
    """A metric whose title says so if people rated it."""
    return metric.model_copy(update={"title": f"{metric.title} (human rating)"}) if task == HUMAN_RATING else metric
