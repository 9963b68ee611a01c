"""Results as rows: one metric of one model with its outcome, change and interval, main metrics first.

Both reports show these rows; the page also draws the interval of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.document.schema import Comparison, MetricInfo, Outcome, Purpose, Results, Score
from reports.numbers import (
    MISSING,
    OUTCOME_MARKS,
    TRAINED_ON,
    difference_text,
    interval_text,
    level_text,
    p_text,
    value_text,
)
from reports.tables import ShownRow, Table, shown_rows, table_of

_MAIN_TITLES: dict[Purpose, str] = {
    "target": "Main metrics",
    "retention": "General knowledge",
    "languages": "Other languages",
    "control": "Controls",
}
_THEMES = {
    "Probabilities and calibration": ("accuracy_calibrated", "brier", "log_score", "ece"),
    "Likelihood of the gold texts": ("bits_per_byte", "perplexity_with_markers"),
    "Form of the answers": ("ended", "distinct_trigrams", "empty", "copied", "answered", "truncated"),
    "Length of the answers": ("reasoning_tokens", "reasoning_words", "reasoning_characters", "tokens_per_word"),
}
_THEME_OF = {key: theme for theme, keys in _THEMES.items() for key in keys}
_FURTHER = "Further metrics"


@dataclass(frozen=True)
class ResultRow:
    """One metric of one model beside the baseline's.

    Attributes:
        title: Metric, arrow of its better direction, and the task's label.
        model: Name of the model; the baseline's if nothing is compared.
        outcome: Outcome of the comparison; None without one.
        remark: Reservation about the outcome, or what would decide it; may be empty.
        change: Difference with its sign.
        interval: Interval of the difference in brackets.
        confidence: Confidence of that interval.
        p: Adjusted p-value; empty without a test.
        n: Number of items.
        base: Baseline's value and interval.
        own: Model's value and interval.
        ends: Difference and ends of its interval in smallest relevant differences, signed so that larger is better
            (as it is for metrics without a better direction); None without an interval.
        has_direction: Whether a direction is better.
        is_main: Whether the metric decides.
    """

    title: str
    model: str
    outcome: Outcome | None
    remark: str
    change: str
    interval: str
    confidence: str
    p: str
    n: str
    base: tuple[str, str]
    own: tuple[str, str]
    ends: tuple[float, float, float] | None
    has_direction: bool
    is_main: bool

    @property
    def outcome_text(self) -> str:
        """The outcome with its mark and remark; empty without one."""
        if self.outcome is None:
            return ""
        return f"{OUTCOME_MARKS[self.outcome]} {self.outcome}" + (f" ({self.remark})" if self.remark else "")


@dataclass(frozen=True)
class RowGroup:
    """Rows on one theme; those of main metrics are never folded."""

    title: str
    rows: list[ResultRow]
    is_main: bool

    @property
    def counts(self) -> list[tuple[Outcome, int]]:
        """How many rows have which outcome, in the order of `OUTCOME_MARKS`; outcomes without rows are left out."""
        counted = Counter(row.outcome for row in self.rows)
        return [(outcome, counted[outcome]) for outcome in OUTCOME_MARKS if counted[outcome]]


def row_groups(results: Results) -> list[RowGroup]:
    """All rows of a run: main metrics by purpose of their tasks, then the others by theme."""
    purposes = {task.name: task.purpose for task in results.tasks}
    groups: dict[tuple[str, bool], list[ResultRow]] = {(title, True): [] for title in _MAIN_TITLES.values()}
    for shown in shown_rows(results):
        is_main = shown.metric.is_main
        purpose = purposes.get(next(iter(shown.tasks), ""), "target")
        title = _MAIN_TITLES[purpose] if is_main else _THEME_OF.get(shown.metric.key, _FURTHER)
        groups.setdefault((title, is_main), []).extend(_rows_of(results, shown))
    return [RowGroup(title, rows, is_main) for (title, is_main), rows in groups.items() if rows]


def make_row(
    title: str, metric: MetricInfo, scores: tuple[Score | None, Score | None], pair: Comparison | None, **more: str
) -> ResultRow:
    """A row from the scores of the baseline and a model, and their comparison.

    Args:
        title: What the row is about.
        metric: The metric.
        scores: The baseline's score and the model's.
        pair: The comparison of the two, if there is one.
        more: `model`, else the one of the comparison; `base_mark` and `mark`, which are added to the values.
    """
    base, own = scores
    counted = [score.n for score in scores if score is not None]
    return ResultRow(
        title=title,
        model=more.get("model") or (pair.candidate if pair else ""),
        outcome=pair.outcome if pair else None,
        remark=_remark(pair),
        change=difference_text(pair, metric) if pair else "",
        interval=interval_text(pair.low, pair.high, metric, signed=True) if pair else "",
        confidence=level_text(pair) if pair else "",
        p=p_text(pair.p_adjusted) if pair and pair.p_adjusted is not None else "",
        n=f"{min(counted, default=0):,}",
        base=_score(base, metric, more.get("base_mark", "")),
        own=_score(own, metric, more.get("mark", "")),
        ends=_ends(pair, metric, base),
        has_direction=metric.sign != 0,
        is_main=metric.is_main,
    )


def rows_table(rows: Sequence[ResultRow], baseline: str, first: str = "Metric") -> Table | None:
    """Rows as a table of text, without columns that all rows leave empty; None without rows.

    Args:
        rows: The rows.
        baseline: Name of the baseline, which heads the column of its scores.
        first: Heading of the first column.
    """
    models = [*dict.fromkeys(row.model for row in rows)]
    is_compared = any(row.outcome for row in rows)
    own = models[0] if len(models) == 1 else "Score"

    def cells(row: ResultRow) -> dict[str, str]:
        named = {first: row.title} | ({"Model": row.model} if len(models) > 1 else {})
        if not is_compared:
            return named | {own: " ".join(filter(None, row.own)), "n": row.n}
        return named | {
            "Outcome": row.outcome_text,
            "Change": f"{row.change} {row.interval}".strip(),
            baseline: " ".join(filter(None, row.base)),
            own: " ".join(filter(None, row.own)),
            "Confidence": row.confidence,
            "p": row.p,
            "n": row.n,
        }

    return table_of(map(cells, rows))


def _rows_of(results: Results, shown: ShownRow) -> Iterable[ResultRow]:
    scores, pairs = results.scores_by_key(), results.comparisons_by_key()
    names = results.shown_models()
    others = [name for name in names if name != results.baseline]
    base = scores.get((results.baseline, *shown.key))

    def mark(name: str) -> str:
        return TRAINED_ON if any(results.learned_from(task, name) for task in shown.tasks) else ""

    for name in others or names:
        own, pair = scores.get((name, *shown.key)), pairs.get((name, *shown.key))
        marks = {"base_mark": mark(results.baseline), "mark": mark(name)}
        yield make_row(shown.title, shown.metric, (base, own), pair, model=name, **marks)


def _score(score: Score | None, metric: MetricInfo, mark: str) -> tuple[str, str]:
    """Value with the mark, and interval."""
    if score is None:
        return MISSING, ""
    value = " ".join(filter(None, (value_text(score.value, metric), mark)))
    return value, interval_text(score.low, score.high, metric)


def _remark(pair: Comparison | None) -> str:
    if pair is None:
        return ""
    if pair.outcome == "identical":
        return f"on all {pair.n:,} items"
    if pair.caution:
        return pair.caution if pair.outcome in ("not tested", "not compared") else f"unreliable: {pair.caution}"
    if pair.outcome == "inconclusive" and pair.items_needed is not None:
        return f"about {pair.items_needed:,} items needed"
    return ""


def _ends(pair: Comparison | None, metric: MetricInfo, base: Score | None) -> tuple[float, float, float] | None:
    """Difference and interval in smallest relevant differences, so that rows of all metrics share an axis."""
    if pair is None or pair.difference is None or pair.low is None or pair.high is None:
        return None
    size = 1.0 if metric.is_share or base is None else abs(base.value or 0.0)
    unit = (metric.sign or 1) * (pair.relevant or metric.relevant * size or 1.0)
    low, high = sorted((pair.low / unit, pair.high / unit))
    return pair.difference / unit, low, high
