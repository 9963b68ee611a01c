"""Plots of the risk-coverage curves of the models' answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.document.answer_confidence import AnswerConfidence
from reports.document.schema import Results
from reports.numbers import percent_text
from reports.page.svg import SERIES, Plot, on_hover, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = ("-", "--", ":", "-.")  # models beyond the number of colours get other dashes


def confidence_plots(results: Results) -> list[Plot]:
    """Share of wrong answers by the share of answers that are covered, a plot for each task with a confidence."""
    titles = {task.name: task.short_title for task in results.tasks}
    shown = [one for one in results.answer_confidence if one.model in results.shown_models() and one.curve]
    tasks = dict.fromkeys(one.task for one in shown)
    return [
        _plot(f"confidence-{number}", titles.get(task, task), [one for one in shown if one.task == task])
        for number, task in enumerate(tasks)
    ]


def _plot(name: str, title: str, curves: list[AnswerConfidence]) -> Plot:
    def draw(axes: Axes) -> None:
        for number, one in enumerate(curves):
            colour, style = SERIES[number % len(SERIES)], _STYLES[number // len(SERIES) % len(_STYLES)]
            covered, risk = zip(*one.curve, strict=True)
            axes.plot(covered, risk, style, color=colour, label=one.model)
            for place, wrong in one.curve:
                (dot,) = axes.plot([place], [wrong], "o", markersize=3, color=colour)
                on_hover(dot, f"{one.model}: {wrong:.0%} wrong among the {place:.0%} most confident answers")
        axes.set(
            xlim=(0, 1.02), ylim=(0, None), xlabel="share of answers, the most confident first", ylabel="share wrong"
        )
        axes.legend()

    words = "; ".join(
        f"{one.model} has {percent_text(1 - one.accuracy)} wrong of all answers and an area of {one.area:.3f}"
        for one in curves
    )
    return plot(name, f"Risk and coverage on {title}", f"{words}.", draw)
