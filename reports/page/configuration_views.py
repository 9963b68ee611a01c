"""Views of a comparison of runs: a table, plots of quality by time and memory, and a heat map of two settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.document.configurations import Configuration
from reports.document.schema import MetricInfo, Results
from reports.numbers import GIB, MISSING, better_arrow, duration, gib_text, value_text
from reports.page.svg import GRID, INK, SERIES, Plot, draw_matrix, plot
from reports.tables import Table, table_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES = 16


def configurations_table(results: Results) -> Table | None:
    """All models with their settings, quality, time and memory, or None if runs are not compared."""
    compared, metric = results.compared, quality_metric(results)
    if compared is None or metric is None:
        return None
    keys = [*dict.fromkeys(key for configuration in compared.configurations for key in configuration.settings)]
    return table_of(
        {
            "Model": item.model,
            **{key: str(item.settings.get(key, "")) for key in keys},
            metric.title + better_arrow(metric): value_text(item.quality, metric),
            "Training time": MISSING if item.training_seconds is None else duration(item.training_seconds),
            "Peak memory": MISSING if item.peak_memory_bytes is None else gib_text(item.peak_memory_bytes),
            "Mark": ", ".join(["best"] * (item.model == compared.best) + ["Pareto front"] * item.on_front),
        }
        for item in compared.configurations
    )


def configuration_plots(results: Results) -> list[Plot]:
    """Plots of quality by training time and by memory with the Pareto front, and a heat map of two settings."""
    metric = quality_metric(results)
    if results.compared is None or metric is None:
        return []
    scored = [configuration for configuration in results.compared.configurations if configuration.quality is not None]
    times = [(item, item.training_seconds) for item in scored if item.training_seconds is not None]
    sizes = [(item, item.peak_memory_bytes / GIB) for item, _ in times if item.peak_memory_bytes]
    plots = [
        _scatter("time", "training time (s)", metric, times),
        _scatter("peak", "peak memory (GiB)", metric, sizes),
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


def _scatter(name: str, label: str, metric: MetricInfo, points: list[tuple[Configuration, float]]) -> Plot | None:
    if not points:
        return None
    scale = 100 if metric.percent else 1

    def draw(axes: Axes) -> None:
        for item, x in points:
            y = scale * (item.quality or 0.0)
            fill = SERIES[0] if item.on_front else "none"
            axes.plot([x], [y], "o", color=SERIES[0], markerfacecolor=fill)
            if len(points) <= _MOST_NAMES:
                axes.annotate(item.model, (x, y), (0, 6), textcoords="offset points", ha="center", color=INK, size=8)
        axes.margins(0.2)
        axes.set(xlabel=label, ylabel=metric.title + (" (%)" if metric.percent else "") + better_arrow(metric))

    words = "; ".join(f"{item.model}: {value_text(item.quality, metric)} at {x:.3g}" for item, x in points)
    title = f"{metric.title} by {label}; filled points are on the Pareto front of quality, time and memory"
    return plot(f"front-{name}", title, f"{words}.", draw)


def _heat_map(metric: MetricInfo, configurations: list[Configuration]) -> Plot | None:
    """Quality by two settings, if exactly two differ and both take several values."""
    keys = [*dict.fromkeys(key for item in configurations for key in item.settings)]
    if len(keys) != 2:  # noqa: PLR2004
        return None
    rows, columns = ([*dict.fromkeys(str(item.settings.get(key)) for item in configurations)] for key in keys)
    cells = {tuple(str(item.settings.get(key)) for key in keys): item.quality or 0.0 for item in configurations}
    if len(rows) == 1 or len(columns) == 1 or len(cells) < len(configurations):
        return None
    low, high = min(cells.values()), max(cells.values())

    def draw(axes: Axes) -> None:
        shaded = []
        for value in (cells.get((row, column)) for row in rows for column in columns):
            share = (value - low) / (high - low) if value is not None and high > low else 0.0
            shade = share if metric.higher_is_better else 1 - share
            shaded.append((value_text(value, metric), SERIES[0], shade))
        draw_matrix(axes, rows, columns, shaded, edgecolor=GRID)
        axes.set(xlabel=keys[1], ylabel=keys[0])

    words = "; ".join(f"{row} and {column}: {value_text(value, metric)}" for (row, column), value in cells.items())
    title = f"{metric.title} by {keys[0]} (rows) and {keys[1]} (columns), darker is better"
    return plot("interaction", title, f"{words}.", draw, height=1.2 + 0.5 * len(rows))
