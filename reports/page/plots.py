"""Plots of a report that need only the results document."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports.document.schema import Results
from reports.numbers import DOWN, GIB, UP, outcome_text
from reports.page.svg import INK, SERIES, Plot, plot
from reports.tables import metric_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 400
_MOST_BARS = 24
_LABEL_WIDTH = 28  # characters of an axis label, after which it wraps


def losses_plot(results: Results) -> Plot | None:
    """Training and validation loss by step, or None if none were logged."""
    if results.training is None:
        return None
    both = {"training": results.training.loss_by_step("loss"), "validation": results.training.loss_by_step("eval_loss")}
    named = {name: losses for name, losses in both.items() if losses}
    if not named:
        return None

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for (name, losses), colour in zip(named.items(), SERIES, strict=False):
            dots = "o" if name == "validation" or len(losses) == 1 else ""
            points = [_thinned([*losses]), _thinned([*losses.values()])]
            axes.plot(*points, color=colour, label=name, marker=dots, markersize=4)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set(xlabel="step", ylabel="loss (nats a token)")
        axes.legend()

    alternative = " ".join(_describe(name, losses) for name, losses in named.items())
    title = f"{' and '.join(named)} loss by step".capitalize()
    if any(len(losses) > _POINTS for losses in named.values()):
        title += f", drawn as means over {_POINTS} equal intervals"
    return plot("losses", title, alternative, draw)


def differences_plots(results: Results) -> list[Plot]:
    """Forest plots of all differences from the baseline: shares in percentage points, others in percent."""
    metrics = results.metrics()
    scores = {(score.task, score.metric): score.value for score in results.scores if score.model == results.baseline}
    points: list[_Point] = []
    relative: list[_Point] = []
    shown = results.shown_models()
    for pair in results.comparisons:
        if pair.candidate not in shown:
            continue
        (task, metric), base = metrics[pair.task, pair.metric], scores.get((pair.task, pair.metric))
        if pair.difference is None or pair.low is None or pair.high is None:
            continue
        scale = 100.0 if metric.percent else 100.0 / abs(base) if base else None
        if scale is not None:
            values = (pair.difference * scale, pair.low * scale, pair.high * scale)
            point = _Point(pair.candidate, metric_title(task, metric), *values, outcome_text(pair))
            (points if metric.percent else relative).append(point)
    title = f"Differences from {results.baseline} with corrected intervals,"
    forests = (("differences", "percentage points", points), ("relative", f"% of {results.baseline}", relative))
    return [_forest(name, f"{title} {unit}", shown) for name, unit, shown in forests if shown]


def memory_plot(results: Results) -> Plot | None:
    """Computed memory of this training and of full fine-tuning by component, or None if it was not estimated."""
    training = results.training
    if training is None or not training.estimated_memory or not training.full_finetuning_memory:
        return None
    both = {"full fine-tuning": training.full_finetuning_memory, "this training": training.estimated_memory}
    parts = [*dict.fromkeys([*training.estimated_memory, *training.full_finetuning_memory])]

    def draw(axes: Axes) -> None:
        left = [0.0, 0.0]
        for number, part in enumerate(parts):
            sizes = [memory.get(part, 0) / GIB for memory in both.values()]
            colour, alpha = SERIES[number % len(SERIES)], 1.0 if number < len(SERIES) else 0.45
            axes.barh([*both], sizes, left=left, label=part, height=0.6, color=colour, alpha=alpha)
            left = [before + size for before, size in zip(left, sizes, strict=True)]
        axes.set(xlabel="GiB, computed for a GPU")
        _vertical_grid(axes)
        axes.figure.legend(loc="outside lower center", ncols=3)

    words = "; ".join(
        f"{name} {sum(sizes.values()) / GIB:.2f} GiB, most of it {max(sizes, key=sizes.__getitem__)}"
        for name, sizes in reversed(both.items())
    )
    return plot("memory", "Memory by component, computed", f"{words}.", draw)


def throughput_plot(results: Results) -> Plot | None:
    """Tokens per second of scoring by task and model, and of training, or None if no time was recorded."""
    bars = [
        (
            f"{cost.model}, {cost.task.removeprefix('medbench_')}",
            (cost.prompt_tokens + cost.output_tokens) / cost.seconds,
        )
        for cost in results.costs
        if cost.seconds > 0
    ]
    if results.training is not None and results.training.tokens_per_second:
        bars.append(("training", results.training.tokens_per_second))
    bars = [(name, value) for name, value in bars if value > 0][:_MOST_BARS]
    if not bars:
        return None

    def draw(axes: Axes) -> None:
        names, values = zip(*reversed(bars), strict=True)
        drawn = axes.barh(range(len(bars)), values, color=SERIES[0], height=0.6)
        axes.set_yticks(range(len(bars)), [textwrap.fill(name, _LABEL_WIDTH) for name in names])
        axes.bar_label(drawn, fmt="{:,.0f}", padding=3, color=INK)
        axes.margins(x=0.15)
        axes.set(xlabel="tokens per second, prompt tokens included")
        _vertical_grid(axes)

    words = "; ".join(f"{name} {value:,.0f}" for name, value in bars)
    return plot("throughput", "Throughput", f"Tokens per second: {words}.", draw, height=0.9 + 0.28 * len(bars))


@dataclass(frozen=True)
class _Point:
    """A difference with its interval, in the unit of its plot."""

    model: str
    metric: str
    value: float
    low: float
    high: float
    outcome: str


def _forest(name: str, title: str, points: list[_Point]) -> Plot:
    models = [*dict.fromkeys(point.model for point in points)]
    metrics = [*dict.fromkeys(point.metric for point in points)]
    names = [textwrap.fill(metric, _LABEL_WIDTH) for metric in metrics]
    lines = sum(name.count("\n") + 1 for name in names)
    decided = ("better", "worse", "different")

    def draw(axes: Axes) -> None:
        for number, model in enumerate(models):
            colour, shift = SERIES[number % len(SERIES)], 0.6 * ((number + 0.5) / len(models) - 0.5)
            for place, point in enumerate(point for point in points if point.model == model):
                y = metrics.index(point.metric) + shift
                axes.plot([point.low, point.high], [y, y], color=colour)
                fill = colour if point.outcome.startswith(decided) else "none"
                label = model if place == 0 else None
                marker = "osD^v"[number // len(SERIES) % 5]
                axes.plot([point.value], [y], marker, color=colour, label=label, markerfacecolor=fill)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(metrics)), names)
        axes.set_ylim(len(metrics) - 0.5, -0.5)
        _vertical_grid(axes)
        if len(models) > 1:
            axes.figure.legend(loc="outside lower center", ncols=3)

    words = "; ".join(
        f"{point.metric.replace(UP, '').replace(DOWN, '')}, {point.model}: {point.value:+.1f}"
        f" [{point.low:+.1f}, {point.high:+.1f}], {point.outcome}"
        for point in points
    )
    height = 0.9 + max(0.34 * len(metrics) * max(1.0, len(models) / 2), 0.2 * lines)
    return plot(name, f"{title}. Filled where the interval excludes 0", f"{words}.", draw, height=height)


def _vertical_grid(axes: Axes) -> None:
    """Draw grid lines at the values of a horizontal plot."""
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")


def _thinned(values: Sequence[float]) -> list[float]:
    """Means over equal intervals if there are many values, so that the page stays small."""
    return [float(np.mean(part)) for part in np.array_split(values, min(len(values), _POINTS))]


def _describe(name: str, losses: Mapping[int, float]) -> str:
    steps = [*losses]
    if len(steps) == 1:
        return f"The {name} loss is {losses[steps[0]]:.3f} at step {steps[0]}."
    lowest = min(losses, key=losses.__getitem__)
    return (
        f"The {name} loss goes from {losses[steps[0]]:.3f} at step {steps[0]} to {losses[steps[-1]]:.3f} at step"
        f" {steps[-1]}; its lowest is {losses[lowest]:.3f} at step {lowest}."
    )
