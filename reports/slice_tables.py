"""The rows of scores and differences by slice, and a note on the slices that they leave out."""

from __future__ import annotations

import math
from collections.abc import Iterator

from reports.comparison.slice_sentences import slice_name
from reports.comparison.slices import MIN_ITEMS
from reports.document.schema import Results
from reports.numbers import join_words
from reports.result_rows import ResultRow, make_row
from reports.tables import metric_title

_ROWS = 60
_SMALL = 8  # small slices that are named in the note


def slice_rows(results: Results) -> list[ResultRow]:
    """Scores and differences by slice, column and metric, without slices of fewer than ten items.

    Of more than sixty rows those with the smallest p are shown.
    """
    rows = sorted(_rows(results), key=lambda row: row[0])[:_ROWS]
    return [row for _, _, row in sorted(rows, key=lambda row: row[1])]


def slices_note(results: Results) -> str:
    """Which slices are not in the rows: small ones, tasks without the column, and rows beyond the sixtieth."""
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


def _rows(results: Results) -> Iterator[tuple[tuple[float, int], int, ResultRow]]:
    """Each row with the order in which rows are kept, and its place."""
    metrics = results.metrics()
    place = 0
    for one in results.slices:
        for part in one.slices:
            keys = dict.fromkeys(score.metric for score in part.scores) if part.n >= MIN_ITEMS else ()
            for key in keys:
                task, metric = metrics[one.task, key]
                title = f"{one.column}: {slice_name(part.value)}, {metric_title(task, metric)}"
                scores = {score.model: score for score in part.scores if score.metric == key}
                pairs = [pair for pair in part.comparisons if pair.metric == key]
                for pair in pairs or (None,):
                    p_value = math.inf if pair is None or pair.p_value is None else pair.p_value
                    model = pair.candidate if pair else results.baseline
                    both = scores.get(results.baseline), scores.get(model)
                    yield (p_value, place), place, make_row(title, metric, both, pair, model=model)
                    place += 1
