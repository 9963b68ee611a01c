"""Pictures made from all samples: confusion of labels, calibration, and the lengths of the reasoning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.comparison.sums import ECE_BINS
from reports.page.digest import Digest, labels_of
from reports.page.svg import GRID, INK, SERIES, Picture, picture
from reports.text import cut, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 24
_LABEL = 24  # characters of a label that are shown


def confusion_pictures(digests: Sequence[Digest]) -> list[Picture]:
    """The confusion matrix of each model on each task with choices."""
    return [_confusion(number, each) for number, each in enumerate(each for each in digests if each.has_labels)]


def calibration_pictures(digests: Sequence[Digest]) -> list[Picture]:
    """For each task with choices, the share of right answers against the probability of the given label."""
    tasks = dict.fromkeys(each.task for each in digests if each.confusion)
    return [
        _calibration(f"calibration-{number}", [each for each in digests if each.task == task and each.confusion])
        for number, task in enumerate(tasks)
    ]


def lengths_pictures(digests: Sequence[Digest]) -> list[Picture]:
    """For each task with reasoning, how its length is distributed in each model's answers."""
    tasks = dict.fromkeys(each.task for each in digests if each.lengths)
    return [
        _lengths(f"lengths-{number}", [each for each in digests if each.task == task and each.lengths])
        for number, task in enumerate(tasks)
    ]


def _confusion(number: int, one: Digest) -> Picture:
    labels = labels_of([one])
    names = [visible(cut(label, _LABEL)) for label in labels]
    sizes = {gold: sum(one.confusion[gold, given] for given in labels) for gold in labels}

    def draw(axes: Axes) -> None:
        from matplotlib.patches import Rectangle

        for row, gold in enumerate(labels):
            for column, given in enumerate(labels):
                count = one.confusion[gold, given]
                share = count / sizes[gold] if sizes[gold] else 0
                look = SERIES[0] if gold == given else SERIES[1]
                axes.add_patch(
                    Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=look, alpha=0.05 + 0.45 * share, linewidth=0)
                )
                axes.text(column, row, f"{count}\n{share:.0%}", ha="center", va="center", color=INK)
        for edge in np.arange(-0.5, len(labels)):
            axes.axhline(edge, color=GRID, linewidth=0.8)
            axes.axvline(edge, color=GRID, linewidth=0.8)
        axes.set_xticks(range(len(labels)), names)
        axes.set_yticks(range(len(labels)), names)
        axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), xlabel="given", ylabel="gold")
        axes.grid(visible=False)

    words = "; ".join(
        f"of {sizes[gold]} {names[row]}, "
        + ", ".join(f"{one.confusion[gold, given]} called {name}" for name, given in zip(names, labels, strict=True))
        for row, gold in enumerate(labels)
    )
    title = f"Confusion of {one.name}: gold labels in rows, given ones in columns"
    return picture(f"confusion-{number}", title, f"{words}.".capitalize(), draw, height=2.6)


def _calibration(name: str, digests: list[Digest]) -> Picture:
    lines = {}
    for each in digests:
        used = [counts for counts in each.bins if counts[2]]
        lines[each.model] = [(confidence / total, right / total) for confidence, right, total in used]

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--", label="calibrated")
        for number, (model, points) in enumerate(lines.items()):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, _style(number), marker="o", markersize=4, color=SERIES[number % len(SERIES)], label=model)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability of the given label", ylabel="share right")
        axes.legend()

    words = "; ".join(
        f"{each.model} has an expected calibration error of {each.calibration_error:.3f}" for each in digests
    )
    title = f"Calibration on {digests[0].label or digests[0].task}: means of {ECE_BINS} equal ranges of probability"
    return picture(name, title, f"{words}.", draw)


def _lengths(name: str, digests: list[Digest]) -> Picture:
    most = max(max(each.lengths) for each in digests) or 1
    edges = np.linspace(0, most, _BARS + 1)

    def draw(axes: Axes) -> None:
        for number, each in enumerate(digests):
            counts, _ = np.histogram(each.lengths, edges)
            shares = 100 * counts / len(each.lengths)
            colour = SERIES[number % len(SERIES)]
            axes.stairs(shares, edges, label=each.model, linewidth=1.5, color=colour, linestyle=_style(number))
        axes.set(xlabel="reasoning (tokens)", ylabel="% of answers")
        axes.legend()

    words = "; ".join(
        f"{each.model}: median {np.median(each.lengths):.0f} tokens, middle half"
        f" {np.percentile(each.lengths, 25):.0f} to {np.percentile(each.lengths, 75):.0f}, longest"
        f" {max(each.lengths):.0f}"
        for each in digests
    )
    return picture(name, f"Lengths of the reasoning on {digests[0].label or digests[0].task}", f"{words}.", draw)


def _style(number: int) -> str:
    """Lines of more models than there are colours differ in their dashes."""
    return ("-", "--", ":", "-.")[number // len(SERIES) % 4]
