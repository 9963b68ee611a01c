"""Agreement of raters who rated the same answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from reports.rating_sheet import MARKS, Rating


def agreement(ratings: Sequence[Rating], aspect: str) -> float | None:
    """Krippendorff's alpha of one aspect for ordinal marks (Krippendorff 2011); None with fewer than two raters.

    1 is full agreement, 0 chance level.
    """
    by_code: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for rating in ratings:
        if aspect in rating.marks:
            by_code[rating.code].append((rating.rater, rating.marks[aspect]))
    data = [(rater, code, mark) for code, marks in by_code.items() if len(marks) > 1 for rater, mark in marks]
    if not data:
        return None
    from nltk.metrics.agreement import AnnotationTask

    counts = {mark: sum(given == mark for _, _, given in data) for mark in MARKS}

    def distance(one: int, other: int) -> float:
        low, high = sorted((one, other))
        between = sum(counts[mark] for mark in range(low, high + 1))
        return float((between - (counts[low] + counts[high]) / 2) ** 2)

    return float(AnnotationTask(data, distance=distance).alpha())
