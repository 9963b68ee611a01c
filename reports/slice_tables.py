"""The table of scores and differences by slice, and a note on the slices that it leaves out."""

from __future__ import annotations

import math
from collections.abc import Iterator

from reports.comparison.slice_sentences import slice_name
from reports.comparison.slices import MIN_ITEMS
from reports.document.schema import Comparison, MetricInfo, Results
from reports.document.slices import Slice
from reports.numbers import (
    MISSING,
    difference_text,
    join_words,
    level_text,
    outcome_text,
    p_text,
    score_text,
)
from reports.tables import Table, metric_title, table_of

_ROWS = 60
_SMALL = 8  # small slices that are named in the note
_COMPARED = ("Model", "Score", "Difference", "Confidence", "p", "Outcome")


def slices_table(results: Results) -> Table | None:
    """Scores and differences by slice, column and metric, without slices of fewer than ten items; None without any.

    Of more than sixty rows those with the smallest p are shown.
    """
    rows = sorted(_rows(results), key=lambda row: row[0])[:_ROWS]
    return table_of(cells for _, _, cells in sorted(rows, key=lambda row: row[1]))


def slices_note(results: Results) -> str:
    """Which slices are not in the table: small ones, tasks without the column, and rows beyond the sixtieth."""
    titles = {task.name: task.short_title for task in results.tasks}
    sentences = []
    for one in results.slices:
        where = f"{one.column} in {titles.get(one.task, one.task)}"
        if one.missing:
            sentences.append(f"{where}: no slices, since {one.missing}.")
        elif small := [part for part in one.slices if part.n < MIN_ITEMS]:
            named = [f"{slice_name(part.value)} ({part.n})" for part in small[:_SMALL]]
            count, items = len(small) + one.unlisted, sum(part.n for part in small) + one.unlisted_items
            named += [f"{count - len(named)} more"] if count > len(named) else []
            verb = "slices have" if count > 1 else "slice has"
            sentences.append(
                f"{where}: {count} {verb} fewer than {MIN_ITEMS} items and no test, {items} items together:"
                f" {join_words(named)}."
            )
    count = sum(1 for _ in _rows(results))
    if count > _ROWS:
        sentences.append(f"Of {count} rows those with the smallest p are shown; all are in results.json.")
    return " ".join(sentences)


def _rows(results: Results) -> Iterator[tuple[tuple[float, int], int, dict[str, str]]]:
    """Each row with the order in which rows are kept, and its place."""
    metrics = results.metrics()
    place = 0
    for one in results.slices:
        for part in one.slices:
            keys = dict.fromkeys(score.metric for score in part.scores) if part.n >= MIN_ITEMS else ()
            for key in keys:
                pairs = [pair for pair in part.comparisons if pair.metric == key]
                for pair in pairs or (None,):
                    p_value = math.inf if pair is None or pair.p_value is None else pair.p_value
                    start = {"Slice": f"{one.column}: {slice_name(part.value)}"}
                    task, metric = metrics[one.task, key]
                    cells = {"Metric": metric_title(task, metric), **_cells(results.baseline, part, key, pair, metric)}
                    yield (p_value, place), place, start | cells
                    place += 1


def _cells(baseline: str, part: Slice, key: str, pair: Comparison | None, metric: MetricInfo) -> dict[str, str]:
    scores = {score.model: score for score in part.scores if score.metric == key}
    cells = {"n": f"{part.n:,}", "Baseline": score_text(scores.get(baseline), metric)}
    if pair is None:
        return cells | dict.fromkeys(_COMPARED, MISSING)
    is_tested = pair.outcome not in ("not tested", "not compared")
    values = (
        pair.candidate,
        score_text(scores.get(pair.candidate), metric),
        difference_text(pair, metric, interval=True),
        level_text(pair),
        p_text(pair.p_adjusted),
        outcome_text(pair) if is_tested else f"{pair.outcome}: {pair.caution}",
    )
    return cells | dict(zip(_COMPARED, values, strict=True))
