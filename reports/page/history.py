"""A metric over many runs: its plot over time or over releases, and the table of what is plotted."""

from __future__ import annotations

import textwrap
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from reports.numbers import MISSING, value_text
from reports.page.run_list import ListedRun, MainScore, MetricKey
from reports.page.run_query import Query
from reports.page.svg import INK, OUTCOME_COLOURS, OUTCOME_MARKERS, SERIES, Plot, on_hover, plot
from reports.tables import Table, table_of
from reports.text import cut, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 300  # of a plot; more are neither readable nor small
_MOST_LABELS = 8  # names of releases below a plot
_LABEL = 24  # characters of such a name, and of a line beside the axis
_LARGEST = 1e12  # larger values make an axis on which nothing else can be read
_DAY = 1.0  # matplotlib's unit of dates
_DRAWING = threading.Lock()  # matplotlib's settings are the process's
_BESIDE = 0.008  # of the axis
_LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class _Point:
    """A score or a change in a plot.

    Attributes:
        day: Days since 1970-01-01 UTC.
        label: Name of the release or run.
        series: Name of the line that it belongs to.
        is_base: Whether it is a run's baseline.
        ends: Value, lower and upper end of its interval, in the plot's unit; the ends may be None.
        text: The value as text.
        outcome: Outcome of the comparison with the run's baseline; empty without one.
        questions: As in `MainScore`.
    """

    day: float
    label: str
    series: str
    is_base: bool
    ends: tuple[float, float | None, float | None]
    text: str
    outcome: str
    questions: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """A metric over many runs.

    Attributes:
        plot: The plot, or None if there is nothing to plot.
        table: The plotted values, latest first; None likewise.
        notes: What is left out, and why there is no plot.
        caption: How to read the plot.
    """

    plot: Plot | None
    table: Table | None
    notes: tuple[str, ...]
    caption: str = ""


def history(runs: Sequence[ListedRun], key: MetricKey, title: str, query: Query) -> History:
    """Plot a main metric of runs, or its change against each run's baseline, over time or releases.

    Lines connect points of the same model and the same questions only, since scores on other questions differ for that
    reason alone. A release that is also there as the run that it was made of is one point.

    Args:
        runs: The runs, latest first.
        key: Task or suite, and metric.
        title: Title of the metric.
        query: Selects a model, the axis, and whether scores or changes are plotted.
    """
    over_releases = query.along == "releases"
    chosen = [run for run in runs if run.release] if over_releases else _once(runs)
    if over_releases and not chosen:
        hint = "There are no releases below this folder: store one with medbench baseline set RUN --name NAME."
        return History(None, None, (hint,))
    pairs = [
        (run, score)
        for run in chosen
        for score in (run.summary.scores if run.summary else ())
        if score.key == key and (score.is_baseline or query.model in ("", score.model))
    ]
    names = _series(pairs)
    points = [(run, score, point) for run, score in pairs if (point := _point(run, score, names, query))]
    kept = {name for name, _ in Counter(point.series for *_, point in points).most_common(len(SERIES))}
    notes = []
    if len({point.series for *_, point in points}) > len(kept):
        notes.append(f"Only the {len(kept)} models with the most runs are plotted: select a model to see another one.")
    points = [entry for entry in points if entry[2].series in kept]
    if len(points) > MOST_POINTS:
        notes.append(f"The latest {MOST_POINTS} of {len(points)} values are plotted.")
        points = points[:MOST_POINTS]
    if not points:
        return History(None, None, (*notes, "No run that is shown has a value to plot."))
    drawn = _draw(tuple(point for *_, point in points), title, query.show, over_releases, pairs[0][1].metric.percent)
    if drawn is None:
        notes.append("These values cannot be drawn on one axis.")
    caption = _caption(query.show, compared=any(point.outcome for *_, point in points))
    return History(drawn, _values_table([entry[:2] for entry in points]), tuple(notes), caption)


def _once(runs: Sequence[ListedRun]) -> list[ListedRun]:
    """The runs without the stored baselines whose own run is among them."""
    scored = {
        (run.summary.created, sha256)
        for run in runs
        if run.summary and not run.release
        for sha256 in run.summary.weights
    }
    return [
        run
        for run in runs
        if not (run.release and run.summary and {(run.summary.created, it) for it in run.summary.weights} <= scored)
    ]


def _series(pairs: Iterable[tuple[ListedRun, MainScore]]) -> dict[tuple[str, str], str]:
    """Names of lines by base and model: the model's, with its base where there are several."""
    keys = dict.fromkeys((run.summary.base, score.model) for run, score in pairs if run.summary)
    several = len({base for base, _ in keys}) > 1
    return {(base, model): f"{model} ({base})" if several else model for base, model in keys}


def _point(run: ListedRun, score: MainScore, names: dict[tuple[str, str], str], query: Query) -> _Point | None:
    """The point of a score or of its change; None without a value that can be drawn."""
    pair = score.comparison
    if query.show == "change":
        ends = (pair.difference, pair.low, pair.high) if pair else (None, None, None)
        text = score.change()
    else:
        ends = (score.score.value, score.score.low, score.score.high)
        text = value_text(score.score.value, score.metric)
    value, low, high = (end if end is None or abs(end) < _LARGEST else None for end in ends)
    if value is None or run.summary is None:
        return None
    scale = 100.0 if score.metric.percent else 1.0
    return _Point(
        day=run.created.timestamp() / 86400,
        label=visible(cut(run.release or run.summary.title, _LABEL)),
        series=visible(cut(names[run.summary.base, score.model], 2 * _LABEL)),
        is_base=score.is_baseline and not run.release,
        ends=(value * scale, None if low is None else low * scale, None if high is None else high * scale),
        text=text,
        outcome=score.outcome,
        questions=score.questions,
    )


@lru_cache(maxsize=16)
def _draw(points: tuple[_Point, ...], title: str, show: str, over_releases: bool, percent: bool) -> Plot | None:  # noqa: FBT001 - cached by position
    """Draw the points; None if matplotlib has no axis for them."""
    oldest_first = sorted(points, key=lambda point: point.day)
    days = [point.day for point in oldest_first]
    places = [float(place) for place in range(len(days))] if over_releases else days
    unit = ("pp" if show == "change" else "%") if percent else ""
    axis = " over releases" if over_releases else " over time"
    name = f"{'Change in ' if show == 'change' else ''}{visible(title)}"

    def draw(axes: Axes) -> None:
        series = dict.fromkeys(point.series for point in oldest_first)
        colours = dict(zip(series, SERIES, strict=False))
        beside = _BESIDE * (max(places) - min(places) or 1.0)  # so that intervals of one run do not cover each other
        for number, (line, (key, colour)) in enumerate(zip(_LINES, colours.items(), strict=False)):
            shift = beside * (number - (len(colours) - 1) / 2)
            entries = zip(places, oldest_first, strict=True)
            own = [(place + shift, point) for place, point in entries if point.series == key]
            _draw_series(axes, own, key, INK if own[0][1].is_base else colour, line)
        if show == "change":
            axes.axhline(0, color=INK, linewidth=0.8)
        if over_releases:
            _label_releases(axes, [point.label for point in oldest_first])
        else:
            _label_days(axes, days)
        axes.set_ylabel(textwrap.fill(f"{name} ({unit})" if unit else name, _LABEL))
        axes.figure.legend(loc="outside lower center", ncols=2)

    try:
        with _DRAWING:
            return plot("history", f"{name}{axis}", _describe(oldest_first, f"{name}{axis}"), draw)
    except (ValueError, OverflowError, ArithmeticError):  # matplotlib's, for values from strangers
        return None


def _draw_series(axes: Axes, own: Sequence[tuple[float, _Point]], name: str, colour: str, line: str) -> None:
    """Draw the points of one line with their intervals; only points on the same questions are connected."""
    for questions in dict.fromkeys(point.questions for _, point in own if point.questions):
        same = [(place, point.ends[0]) for place, point in own if point.questions == questions]
        axes.plot([place for place, _ in same], [value for _, value in same], line, color=colour, linewidth=1.2)
    for place, point in own:
        value, low, high = point.ends
        if low is not None and high is not None:
            axes.plot([place, place], [low, high], color=colour, linewidth=1.2, alpha=0.55)
        marker = "s" if point.is_base else OUTCOME_MARKERS.get(point.outcome, "o")
        shade = colour if point.is_base else OUTCOME_COLOURS.get(point.outcome, colour)
        (drawn,) = axes.plot([place], [value], marker, color=shade, markersize=6)
        on_hover(drawn, f"{point.label}, {name}: {point.text} {point.outcome}".rstrip())
    axes.plot([], [], line, color=colour, marker="s" if own[0][1].is_base else "o", label=name)


def _label_releases(axes: Axes, labels: Sequence[str]) -> None:
    step = -(-len(labels) // _MOST_LABELS)
    shown = range(len(labels) - 1, -1, -step)
    axes.set_xticks([*shown], [labels[place] for place in shown], rotation=20, ha="right")
    axes.set_xlim(-0.5, len(labels) - 0.5)


def _label_days(axes: Axes, days: Sequence[float]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    margin = max(0.04 * (days[-1] - days[0]), _DAY / 2)
    axes.set_xlim(min(days) - margin, max(days) + margin)


def _describe(points: Sequence[_Point], title: str) -> str:
    """The text alternative: of each line its first and last value."""
    lines = []
    for series in dict.fromkeys(point.series for point in points):
        texts = [point.text for point in points if point.series == series]
        lines.append(f"{series}: {texts[0]}" + (f" to {texts[-1]} in {len(texts)} runs." if texts[1:] else "."))
    return f"{title}. {' '.join(lines)} All values are in the table below."


def _caption(show: str, *, compared: bool) -> str:
    corrected, usual = "Intervals are corrected for the other comparisons of the run.", "Intervals are at 95 %."
    marks = (
        " Triangles point up where a model is better than its base, and down where it is worse; circles are neither,"
        " squares the base."
    )
    intervals = corrected if show == "change" else usual
    return f"{intervals}{marks if compared else ''} Lines connect runs on the same questions."


def _values_table(entries: Sequence[tuple[ListedRun, MainScore]]) -> Table | None:
    """The values with the date, run, model, change and outcome; equal questions have the same number."""
    different = dict.fromkeys(score.questions for _, score in entries if score.questions)
    sets = {questions: number for number, questions in enumerate(different, 1)}
    return table_of(
        {
            "Run": run.release or run.path,
            "Date": run.created.date().isoformat(),
            "Model": score.model,
            "Score": score.text,
            "Change": score.change(interval=True),
            "Outcome": score.outcome_text,
            "n": str(score.score.n),
            "Questions": f"set {sets[score.questions]}" if score.questions else MISSING,
        }
        for run, score in entries
    )
