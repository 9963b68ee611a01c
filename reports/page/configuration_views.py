"""How a comparison of runs is shown: its table, quality against time and memory, and two settings as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.document.configurations import Configuration
from reports.document.schema import MetricInfo, Results
from reports.numbers import GIB, MISSING, better_arrow, duration, gib_text, value_text
from reports.page.svg import GRID, INK, SERIES, Picture, picture
from reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES = 16


def configurations_table(results: Results) -> Table | None:
    """Every model with its settings, quality, time and memory; None where runs are not compared."""
    compared, metric = results.compared, quality_metric(results)
    if compared is None or metric is None:
        return None
    keys = [*dict.fromkeys(key for each in compared.configurations for key in each.settings)]
    rows = []
    for each in compared.configurations:
        time = MISSING if each.training_seconds is None else duration(each.training_seconds)
        memory = MISSING if each.peak_memory_bytes is None else gib_text(each.peak_memory_bytes)
        marks = [*(["best"] if each.model == compared.best else []), *(["Pareto front"] if each.on_front else [])]
        settings = [str(each.settings.get(key, "")) for key in keys]
        rows.append((each.model, *settings, value_text(each.quality, metric), time, memory, ", ".join(marks)))
    columns = ("Model", *keys, metric.title + better_arrow(metric), "Training time", "Peak memory", "Mark")
    return Table(columns, tuple(rows))


def configuration_pictures(results: Results) -> list[Picture]:
    """Quality against training time and against memory with the Pareto front, and a heat map of two settings."""
    metric = quality_metric(results)
    if results.compared is None or metric is None:
        return []
    known = [each for each in results.compared.configurations if each.quality is not None]
    trained = [each for each in known if each.training_seconds is not None]
    made = [
        _scatter("time", "training time (s)", metric, [(each, float(each.training_seconds or 0)) for each in trained]),
        _scatter(
            "peak",
            "peak memory (GiB)",
            metric,
            [(each, each.peak_memory_bytes / GIB) for each in trained if each.peak_memory_bytes],
        ),
        _heat_map(metric, [each for each in known if each.settings]),
    ]
    return [each for each in made if each is not None]


def quality_metric(results: Results) -> MetricInfo | None:
    """The metric that a comparison of runs goes by."""
    compared = results.compared
    if compared is None:
        return None
    _, metric = results.metrics().get((compared.task, compared.metric), (None, None))
    return metric


def _scatter(name: str, label: str, metric: MetricInfo, points: list[tuple[Configuration, float]]) -> Picture | None:
    if not points:
        return None
    scale = 100 if metric.percent else 1

    def draw(axes: Axes) -> None:
        for each, x in points:
            y = scale * (each.quality or 0.0)
            inside = SERIES[0] if each.on_front else "none"
            axes.plot([x], [y], "o", color=SERIES[0], markerfacecolor=inside)
            if len(points) <= _MOST_NAMES:
                axes.annotate(each.model, (x, y), (0, 6), textcoords="offset points", ha="center", color=INK, size=8)
        axes.margins(0.2)
        axes.set(xlabel=label, ylabel=metric.title + (" (%)" if metric.percent else "") + better_arrow(metric))

    words = "; ".join(f"{each.model}: {value_text(each.quality, metric)} at {x:.3g}" for each, x in points)
    title = f"{metric.title} against {label}, the Pareto front of quality, time and memory filled"
    return picture(f"front-{name}", title, f"{words}.", draw)


def _heat_map(metric: MetricInfo, known: list[Configuration]) -> Picture | None:
    """Quality by two settings, where just two differ and each takes several values."""
    keys = [*dict.fromkeys(key for each in known for key in each.settings)]
    if len(keys) != 2:  # noqa: PLR2004
        return None
    rows, columns = ([*dict.fromkeys(str(each.settings.get(key)) for each in known)] for key in keys)
    cells = {tuple(str(each.settings.get(key)) for key in keys): each.quality or 0.0 for each in known}
    if len(rows) == 1 or len(columns) == 1 or len(cells) < len(known):
        return None
    low, high = min(cells.values()), max(cells.values())

    def draw(axes: Axes) -> None:
        from matplotlib.patches import Rectangle

        for y, row in enumerate(rows):
            for x, column in enumerate(columns):
                value = cells.get((row, column))
                share = (value - low) / (high - low) if value is not None and high > low else 0.0
                share = share if metric.higher_is_better else 1 - share
                corner = (x - 0.5, y - 0.5)
                axes.add_patch(Rectangle(corner, 1, 1, facecolor=SERIES[0], alpha=0.05 + 0.45 * share, edgecolor=GRID))
                axes.text(x, y, value_text(value, metric), ha="center", va="center", color=INK)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel=keys[1], ylabel=keys[0])
        axes.grid(visible=False)

    words = "; ".join(f"{row} and {column}: {value_text(value, metric)}" for (row, column), value in cells.items())
    title = f"{metric.title} by {keys[0]} (rows) and {keys[1]} (columns), darker is better"
    return picture("interaction", title, f"{words}.", draw, height=1.2 + 0.5 * len(rows))
