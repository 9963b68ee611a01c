"""The pictures of a report, each made from the results document alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports.document.schema import Results
from reports.numbers import DOWN, GIB, UP, outcome_text
from reports.page.svg import INK, SERIES, Picture, picture
from reports.tables import metric_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 400
_MOST_BARS = 24
_LABEL_WIDTH = 28  # letters of a label beside the axis; longer ones go on in the next line


def losses_picture(results: Results) -> Picture | None:
    """Training and validation loss by step; None where none were logged."""
    if results.training is None:
        return None
    named = {
        "training": results.training.loss_by_step("loss"),
        "validation": results.training.loss_by_step("eval_loss"),
    }
    named = {name: losses for name, losses in named.items() if losses}
    if not named:
        return None

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for (name, losses), colour in zip(named.items(), SERIES, strict=False):
            dots = "o" if name == "validation" or len(losses) == 1 else ""
            axes.plot(*_thinned(losses), color=colour, label=name, marker=dots, markersize=4)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set(xlabel="step", ylabel="loss (nats a token)")
        axes.legend()

    alternative = " ".join(_in_words(name, losses) for name, losses in named.items())
    title = f"{' and '.join(named)} loss by step".capitalize()
    if any(len(losses) > _POINTS for losses in named.values()):
        title += f", drawn as means over {_POINTS} equal stretches"
    return picture("losses", title, alternative, draw)


def differences_pictures(results: Results) -> list[Picture]:
    """Forest plots of all differences from the baseline: shares in percentage points, others against the baseline."""
    metrics = results.metrics()
    figures = {(each.task, each.metric): each.value for each in results.scores if each.model == results.baseline}
    points: list[_Point] = []
    relative: list[_Point] = []
    for each in results.comparisons:
        (task, metric), base = metrics[each.task, each.metric], figures.get((each.task, each.metric))
        if each.difference is None or each.low is None or each.high is None:
            continue
        scale = 100.0 if metric.percent else 100.0 / abs(base) if base else None
        if scale is not None:
            values = (each.difference * scale, each.low * scale, each.high * scale)
            point = _Point(each.candidate, metric_title(task, metric), *values, outcome_text(each))
            (points if metric.percent else relative).append(point)
    made = [
        _forest(
            "differences", f"Differences from {results.baseline} with corrected intervals, percentage points", points
        ),
        _forest(
            "relative",
            f"Differences from {results.baseline} with corrected intervals, % of {results.baseline}",
            relative,
        ),
    ]
    return [each for each in made if each is not None]


def memory_picture(results: Results) -> Picture | None:
    """Computed memory of this training and of full fine-tuning by component; None where it was not estimated."""
    training = results.training
    if training is None or not training.estimated_memory or not training.full_finetuning_memory:
        return None
    both = {"full fine-tuning": training.full_finetuning_memory, "this training": training.estimated_memory}
    parts = [*dict.fromkeys([*training.estimated_memory, *training.full_finetuning_memory])]

    def draw(axes: Axes) -> None:
        left = [0.0, 0.0]
        for number, part in enumerate(parts):
            sizes = [each.get(part, 0) / GIB for each in both.values()]
            colour, alpha = SERIES[number % len(SERIES)], 1.0 if number < len(SERIES) else 0.45
            axes.barh([*both], sizes, left=left, label=part, height=0.6, color=colour, alpha=alpha)
            left = [before + size for before, size in zip(left, sizes, strict=True)]
        axes.set(xlabel="GiB, computed for a GPU")
        _rule_upright(axes)
        axes.figure.legend(loc="outside lower center", ncols=3)

    words = "; ".join(
        f"{name} {sum(sizes.values()) / GIB:.2f} GiB, most of it {max(sizes, key=sizes.__getitem__)}"
        for name, sizes in reversed(both.items())
    )
    return picture("memory", "Memory by component, computed", f"{words}.", draw)


def throughput_picture(results: Results) -> Picture | None:
    """Tokens a second of scoring by task and model, and of training; None where no time was taken."""
    titles = {task.name: task.name.removeprefix("medbench_") for task in results.tasks}
    bars = [
        (f"{each.model}, {titles.get(each.task, each.task)}", (each.prompt_tokens + each.output_tokens) / each.seconds)
        for each in results.costs
        if each.seconds > 0
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
        axes.set(xlabel="tokens a second, prompt tokens included")
        _rule_upright(axes)

    words = "; ".join(f"{name} {value:,.0f}" for name, value in bars)
    return picture("throughput", "Throughput", f"Tokens a second: {words}.", draw, height=0.9 + 0.28 * len(bars))


@dataclass(frozen=True)
class _Point:
    """A difference with the ends of its interval, in the unit of its picture."""

    model: str
    metric: str
    value: float
    low: float
    high: float
    outcome: str


def _forest(name: str, title: str, points: list[_Point]) -> Picture | None:
    if not points:
        return None
    models = [*dict.fromkeys(each.model for each in points)]
    metrics = [*dict.fromkeys(each.metric for each in points)]
    names = [textwrap.fill(metric, _LABEL_WIDTH) for metric in metrics]
    lines = sum(name.count("\n") + 1 for name in names)
    decided = ("better", "worse", "different")

    def draw(axes: Axes) -> None:
        for number, model in enumerate(models):
            look, shift = SERIES[number % len(SERIES)], 0.6 * ((number + 0.5) / len(models) - 0.5)
            for place, each in enumerate(one for one in points if one.model == model):
                y = metrics.index(each.metric) + shift
                axes.plot([each.low, each.high], [y, y], color=look)
                inside = look if each.outcome.startswith(decided) else "none"
                label = model if place == 0 else None
                marker = "osD^v"[number // len(SERIES) % 5]
                axes.plot([each.value], [y], marker, color=look, label=label, markerfacecolor=inside)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(metrics)), names)
        axes.set_ylim(len(metrics) - 0.5, -0.5)
        _rule_upright(axes)
        if len(models) > 1:
            axes.figure.legend(loc="outside lower center", ncols=3)

    words = "; ".join(
        f"{each.metric.replace(UP, '').replace(DOWN, '')}, {each.model}: {each.value:+.1f}"
        f" [{each.low:+.1f}, {each.high:+.1f}], {each.outcome}"
        for each in points
    )
    height = 0.9 + max(0.34 * len(metrics) * max(1.0, len(models) / 2), 0.2 * lines)
    return picture(name, f"{title}. Filled where the interval excludes 0", f"{words}.", draw, height=height)


def _rule_upright(axes: Axes) -> None:
    """Draw the grid of a picture whose values go to the right."""
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")


def _thinned(losses: Mapping[int, float]) -> tuple[list[float], list[float]]:
    """(steps, losses), of many the means over equal stretches, so that a long training makes no larger page."""
    steps, values = np.array([*losses], dtype=float), np.array([*losses.values()])
    parts = range(min(len(steps), _POINTS))
    if len(parts) == len(steps):
        return steps.tolist(), values.tolist()
    return tuple([float(each.mean()) for each in np.array_split(axis, len(parts))] for axis in (steps, values))  # type: ignore[return-value]


def _in_words(name: str, losses: Mapping[int, float]) -> str:
    steps = [*losses]
    if len(steps) == 1:
        return f"The {name} loss is {losses[steps[0]]:.3f} at step {steps[0]}."
    lowest = min(losses, key=losses.__getitem__)
    return (
        f"The {name} loss goes from {losses[steps[0]]:.3f} at step {steps[0]} to {losses[steps[-1]]:.3f} at step"
        f" {steps[-1]}; its lowest is {losses[lowest]:.3f} at step {lowest}."
    )
