"""Plots of a report that need only the results document."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.document.schema import Results
from reports.numbers import GIB
from reports.page.svg import INK, SERIES, Plot, on_hover, plot

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
            (line,) = axes.plot(*points, color=colour, label=name, marker=dots, markersize=4)
            on_hover(line, _describe(name, losses))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set(xlabel="step", ylabel="loss (nats a token)")
        axes.legend()

    alternative = " ".join(_describe(name, losses) for name, losses in named.items())
    title = f"{' and '.join(named)} loss by step".capitalize()
    if any(len(losses) > _POINTS for losses in named.values()):
        title += f", drawn as means over {_POINTS} equal intervals"
    return plot("losses", title, alternative, draw)


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
            bars = axes.barh([*both], sizes, left=left, label=part, height=0.6, color=colour, alpha=alpha)
            for bar, name, size in zip(bars, both, sizes, strict=True):
                on_hover(bar, f"{name}: {part} {size:.2f} GiB")
            left = [before + size for before, size in zip(left, sizes, strict=True)]
        axes.set(xlabel="GiB, computed")
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
        for bar, (name, value) in zip(drawn, reversed(bars), strict=True):
            on_hover(bar, f"{name}: {value:,.0f} tokens per second")
        axes.bar_label(drawn, fmt="{:,.0f}", padding=3, color=INK)
        axes.margins(x=0.15)
        axes.set(xlabel="tokens per second, prompt tokens included")
        _vertical_grid(axes)

    words = "; ".join(f"{name} {value:,.0f}" for name, value in bars)
    return plot("throughput", "Throughput", f"Tokens per second: {words}.", draw, height=0.9 + 0.28 * len(bars))


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
