"""Plots of all samples: confusion of labels, calibration, and lengths of the reasoning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.comparison.sums import ECE_BINS
from reports.page.digest import Digest, labels_of
from reports.page.svg import INK, SERIES, Plot, draw_matrix, on_hover, plot
from reports.text import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 24
_LABEL = 24  # characters of a label that are shown


def confusion_plots(digests: Sequence[Digest]) -> list[Plot]:
    """The confusion matrix of each model on each task with choices."""
    labelled = [digest for digest in digests if digest.has_labels]
    return [_confusion(number, digest) for number, digest in enumerate(labelled)]


def calibration_plots(digests: Sequence[Digest]) -> list[Plot]:
    """Share of right answers by probability of the given label, for each task with choices."""
    labelled = [digest for digest in digests if digest.choices]
    return [_calibration(f"calibration-{number}", group) for number, group in enumerate(_by_task(labelled))]


def lengths_plots(digests: Sequence[Digest]) -> list[Plot]:
    """Distribution of the reasoning's length by model, for each task with reasoning."""
    reasoned = [digest for digest in digests if digest.lengths]
    return [_lengths(f"lengths-{number}", group) for number, group in enumerate(_by_task(reasoned))]


def _by_task(digests: Sequence[Digest]) -> list[list[Digest]]:
    tasks = dict.fromkeys(digest.task for digest in digests)
    return [[digest for digest in digests if digest.task == task] for task in tasks]


def _confusion(number: int, digest: Digest) -> Plot:
    labels = labels_of([digest])
    names = [cut(label, _LABEL) for label in labels]
    counts: dict[Any, dict[Any, int]] = digest.confusion(labels).to_dict("index")
    sizes = {gold: sum(row.values()) for gold, row in counts.items()}

    def draw(axes: Axes) -> None:
        cells = []
        for (row, gold), (column, given) in product(enumerate(labels), repeat=2):
            count, share = counts[gold][given], counts[gold][given] / sizes[gold] if sizes[gold] else 0
            hover = f"{count} of {sizes[gold]} {names[row]} called {names[column]}, {share:.0%}"
            mark = " \N{CHECK MARK}" if gold == given else ""
            cells.append((f"{count}{mark}\n{share:.0%}", hover, share))
        draw_matrix(axes, names, names, cells, ("share of the gold label", "0 %", "100 %"))
        axes.set(xlabel="given", ylabel="gold")

    words = "; ".join(
        f"of {sizes[gold]} {names[row]}, "
        + ", ".join(f"{counts[gold][given]} called {name}" for name, given in zip(names, labels, strict=True))
        for row, gold in enumerate(labels)
    )
    title = f"Confusion of {digest.name}: gold labels in rows, given ones in columns, right answers ticked"
    return plot(f"confusion-{number}", title, f"{words}.".capitalize(), draw, height=1.2 + 0.5 * len(labels))


def _calibration(name: str, digests: list[Digest]) -> Plot:
    lines = {digest.model: digest.reliability() for digest in digests}

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--", label="calibrated")
        for number, (model, points) in enumerate(lines.items()):
            colour, style = SERIES[number % len(SERIES)], _style(number)
            axes.plot(points["confidence"], points["right"], style, color=colour, label=model)
            for place, right in points[["confidence", "right"]].itertuples(index=False):
                (dot,) = axes.plot([place], [right], "o", markersize=4, color=colour)
                on_hover(dot, f"{model}: {right:.0%} right at a mean probability of {place:.0%}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability of the given label", ylabel="share right")
        axes.legend()

    words = "; ".join(
        f"{digest.model} has an expected calibration error of {digest.calibration_error:.3f}" for digest in digests
    )
    title = f"Calibration on {digests[0].label or digests[0].task}: means of {ECE_BINS} equal ranges of probability"
    return plot(name, title, f"{words}.", draw)


def _lengths(name: str, digests: list[Digest]) -> Plot:
    longest = max(max(digest.lengths) for digest in digests) or 1
    edges = np.linspace(0, longest, _BARS + 1)

    def draw(axes: Axes) -> None:
        for number, digest in enumerate(digests):
            counts, _ = np.histogram(digest.lengths, edges)
            shares = 100 * counts / len(digest.lengths)
            colour = SERIES[number % len(SERIES)]
            stairs = axes.stairs(
                shares, edges, label=digest.model, linewidth=1.5, color=colour, linestyle=_style(number)
            )
            on_hover(stairs, f"{digest.model}: median {np.median(digest.lengths):.0f} tokens")
        axes.set(xlabel="reasoning (tokens)", ylabel="% of answers")
        axes.legend()

    words = "; ".join(
        f"{digest.model}: median {np.median(digest.lengths):.0f} tokens, middle half"
        f" {np.percentile(digest.lengths, 25):.0f} to {np.percentile(digest.lengths, 75):.0f}, longest"
        f" {max(digest.lengths):.0f}"
        for digest in digests
    )
    return plot(name, f"Lengths of the reasoning on {digests[0].label or digests[0].task}", f"{words}.", draw)


def _style(number: int) -> str:
    """Line style: models beyond the number of colours get other dashes."""
    return ("-", "--", ":", "-.")[number // len(SERIES) % 4]
