"""Views of a comparison of runs: a table, plots of quality by time and memory, and a heat map of two settings."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from reports.document.configurations import Configuration
from reports.document.schema import MetricInfo, Results
from reports.numbers import GIB, MISSING, better_arrow, duration, gib_text, join_words, outcome_text, value_text
from reports.page.svg import SERIES, Plot, draw_matrix, label_points, on_hover, plot
from reports.tables import Table, table_of
from reports.text import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES = 16
_LABEL = 24  # characters of a name beside its point


def configurations_table(results: Results) -> Table | None:
    """All models from the best by quality to the worst, with settings, time and memory; None if nothing is compared."""
    compared, metric = results.compared, quality_metric(results)
    if compared is None or metric is None:
        return None
    sign, pairs = metric.sign, results.comparisons_by_key()
    keys = [*dict.fromkeys(key for configuration in compared.configurations for key in configuration.settings)]
    ranked = sorted(
        compared.configurations,
        key=lambda item: (item.quality is None, -sign * (item.quality or 0.0), item.training_seconds or 0.0),
    )

    tied = ties(results)

    def outcome(item: Configuration) -> str:
        pair = pairs.get((item.model, compared.task, compared.metric))
        return "baseline" if item.model == results.baseline else outcome_text(pair) if pair else MISSING

    return table_of(
        {
            "Model": f"{item.model} ({marks})" if (marks := _marks(item, compared.best, tied)) else item.model,
            metric.title + better_arrow(metric): value_text(item.quality, metric),
            f"Against {results.baseline}": outcome(item),
            **{key: str(item.settings.get(key, "")) for key in keys},
            "Training time": MISSING if item.training_seconds is None else duration(item.training_seconds),
            "Peak memory": MISSING if item.peak_memory_bytes is None else gib_text(item.peak_memory_bytes),
        }
        for item in ranked
    )


def _marks(item: Configuration, best: str | None, tied: list[str]) -> str:
    """What is special about a configuration, in words."""
    marks = {"best": item.model == best, "tied": item.model in tied, "Pareto front": item.on_front}
    return ", ".join(mark for mark, holds in marks.items() if holds)


def best_sentences(results: Results) -> list[str]:
    """Which model is the best by which rule, what it ties with, and what it is and is not shown to be better than."""
    compared, metric = results.compared, quality_metric(results)
    best = next((item for item in compared.configurations if item.model == compared.best), None) if compared else None
    if compared is None or metric is None or best is None:
        return []
    tied = ties(results)
    claims = (
        ("Tied with it, with the same score", tied),
        ("Shown to be worse", compared.better_than),
        ("Not distinguishable from it", [name for name in compared.not_distinguished if name not in tied]),
    )
    return [
        f"The best model is {best.model}, with {metric.title} {value_text(best.quality, metric)}.",
        f"Rule: {compared.rule}.",
        *(f"{text}: {join_words(names)}." for text, names in claims if names),
        "It was chosen among several models, so its score is slightly optimistic: confirm it on other items.",
    ]


def ties(results: Results) -> list[str]:
    """Trained models with the same quality as the best of compared runs."""
    compared = results.compared
    if compared is None:
        return []
    quality = next((item.quality for item in compared.configurations if item.model == compared.best), None)
    trained = {*compared.better_than, *compared.not_distinguished}
    return [item.model for item in compared.configurations if item.model in trained and item.quality == quality]


def configuration_plots(results: Results) -> list[Plot]:
    """Plots of quality by training time and by memory with the Pareto front, and a heat map of two settings."""
    metric = quality_metric(results)
    if results.compared is None or metric is None:
        return []
    scored = [configuration for configuration in results.compared.configurations if configuration.quality is not None]
    times = [(item, item.training_seconds) for item in scored if item.training_seconds is not None]
    sizes = [(item, item.peak_memory_bytes / GIB) for item, _ in times if item.peak_memory_bytes]
    plots = [
        _scatter("time", "training time (s)", metric, times, results.compared.best),
        _scatter("peak", "peak memory (GiB)", metric, sizes, results.compared.best),
        _heat_map(metric, [configuration for configuration in scored if configuration.settings]),
    ]
    return [drawn for drawn in plots if drawn is not None]


def quality_metric(results: Results) -> MetricInfo | None:
    """The metric that ranks the compared runs, or None if runs are not compared."""
    compared = results.compared
    if compared is None:
        return None
    _, metric = results.metrics().get((compared.task, compared.metric), (None, None))
    return metric


def _scatter(
    name: str, label: str, metric: MetricInfo, points: list[tuple[Configuration, float]], best: str | None
) -> Plot | None:
    """Quality by a cost: right is cheaper and up is better; models of the Pareto front have their names."""
    if not points:
        return None
    scale = 100 if metric.percent else 1

    def draw(axes: Axes) -> None:
        placed = []
        for item, x in points:
            y = scale * (item.quality or 0.0)
            marker, size = ("*", 13) if item.model == best else ("o", 7)
            fill = SERIES[0] if item.on_front else "none"
            (dot,) = axes.plot([x], [y], marker, color=SERIES[0], markerfacecolor=fill, markersize=size)
            on_hover(dot, _point_words(item, x, metric, best))
            placed.append((x, y, cut(item.model, _LABEL) if item.on_front or item.model == best else ""))
        axes.margins(0.25)
        if metric.sign < 0:
            axes.invert_yaxis()
        axes.invert_xaxis()
        axes.grid(visible=True, axis="both")
        unit = " (%)" if metric.percent else ""
        axes.set(xlabel=f"{label}, cheaper to the right", ylabel=f"{metric.title}{unit}, better upwards")
        label_points(axes, placed[:_MOST_NAMES])

    words = "; ".join(_point_words(item, x, metric, best) for item, x in points)
    title = f"{metric.title} by {label}: filled points are on the Pareto front of quality, time and memory; star: best"
    return plot(f"front-{name}", title, f"{words}.", draw)


def _point_words(item: Configuration, x: float, metric: MetricInfo, best: str | None) -> str:
    marks = ", the best" * (item.model == best) + ", on the Pareto front" * item.on_front
    return f"{item.model}: {value_text(item.quality, metric)} at {x:.3g}{marks}"


def _heat_map(metric: MetricInfo, configurations: list[Configuration]) -> Plot | None:
    """Quality by two settings, if exactly two differ and both take several values."""
    keys = [*dict.fromkeys(key for item in configurations for key in item.settings)]
    if len(keys) != 2:  # noqa: PLR2004
        return None
    rows, columns = ([*dict.fromkeys(str(item.settings.get(key)) for item in configurations)] for key in keys)
    values = {tuple(str(item.settings.get(key)) for key in keys): item.quality or 0.0 for item in configurations}
    if len(rows) == 1 or len(columns) == 1 or len(values) < len(configurations):
        return None
    worst, best = sorted((min(values.values()), max(values.values())), reverse=metric.sign < 0)

    def draw(axes: Axes) -> None:
        cells: list[tuple[str, str, float | None]] = []
        for place in product(rows, columns):
            value = values.get(place)
            shade = None if value is None else (value - worst) / (best - worst) if best != worst else 0.0
            text = value_text(value, metric)
            cells.append((text, f"{keys[0]} {place[0]}, {keys[1]} {place[1]}: {text}", shade))
        ends = (value_text(worst, metric), value_text(best, metric))
        draw_matrix(axes, rows, columns, cells, (f"{metric.title}, darker is better", *ends))
        axes.set(xlabel=keys[1], ylabel=keys[0])

    words = "; ".join(f"{row} and {column}: {value_text(value, metric)}" for (row, column), value in values.items())
    title = f"{metric.title} by {keys[0]} (rows) and {keys[1]} (columns)"
    return plot("interaction", title, f"{words}.", draw, height=1.2 + 0.5 * len(rows))
