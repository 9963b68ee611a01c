"""Plots of a learning curve: each main metric by training step, with intervals, the baseline and turning points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reports.curve_tables import curve_metrics
from reports.document.learning_curve import LearningCurve, SeedCurve
from reports.document.schema import MetricInfo, Outcome, Results, Score, TaskInfo
from reports.numbers import DOWN, UP, value_text
from reports.page.svg import INK, OUTCOME_COLOURS, OUTCOME_MARKERS, SERIES, Plot, on_hover, plot
from reports.tables import metric_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curve_plots(results: Results) -> list[Plot]:
    """A plot for each main metric that at least two checkpoints have; empty without a curve."""
    curve = results.learning_curve
    if curve is None:
        return []
    scores = results.scores_by_key()
    plots = []
    for number, (task, metric) in enumerate(curve_metrics(results)):
        of_step = _scores(scores, curve, task, metric)
        if len(of_step) > 1:
            base = (
                scores.get((results.baseline, task.name, metric.key)) if results.baseline not in curve.models else None
            )
            pairs = results.comparisons_by_key()
            outcomes = {
                step: pair.outcome
                for step, score in of_step.items()
                if (pair := pairs.get((score.model, task.name, metric.key))) is not None
            }
            seeds = {seed.seed: _scores(scores, seed, task, metric) for seed in curve.seeds}
            plots.append(_curve_plot(f"curve-{number}", (task, metric), of_step, outcomes, base, curve, seeds))
    return plots


def _scores(
    scores: Mapping[tuple[str, str, str], Score], curve: LearningCurve | SeedCurve, task: TaskInfo, metric: MetricInfo
) -> dict[int, Score]:
    """The scores of a curve in a metric, by step."""
    return {
        step: score
        for step, model in zip(curve.steps, curve.models, strict=True)
        if (score := scores.get((model, task.name, metric.key))) is not None and score.value is not None
    }


def _curve_plot(
    name: str,
    what: tuple[TaskInfo, MetricInfo],
    of_step: dict[int, Score],
    outcomes: dict[int, Outcome],
    base: Score | None,
    curve: LearningCurve,
    seeds: Mapping[int, dict[int, Score]],
) -> Plot:
    """The plot of a metric; with several seeds, their mean is the curve, and each seed a thin line."""
    task, metric = what
    scale = 100.0 if metric.percent else 1.0
    title = metric_title(task, metric)
    keys = (task.name, metric.key)
    turn = next((pair for pair in curve.turns if (pair.task, pair.metric) == keys), None)
    turned = None if turn is None else (curve.step_of(turn.baseline), curve.step_of(turn.candidate))

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        _draw_seeds(axes, seeds, scale)
        values = {step: (score.value or 0.0) * scale for step, score in of_step.items()}
        label = f"mean of {len(seeds)} seeds" if seeds else "adapter"
        axes.plot([*values], [*values.values()], color=SERIES[0], label=label)
        for step, score in of_step.items():
            colour = OUTCOME_COLOURS.get(outcomes.get(step, ""), INK)
            if score.low is not None and score.high is not None:
                axes.plot([step, step], [score.low * scale, score.high * scale], color=colour, linewidth=1)
            marker = OUTCOME_MARKERS.get(outcomes.get(step, ""), "o")
            fill = colour if marker != "o" else "none"
            (dot,) = axes.plot([step], [values[step]], marker, color=colour, markerfacecolor=fill, markersize=6)
            on_hover(dot, _words(step, score, metric, outcomes.get(step)))
        if base is not None and base.value is not None:
            axes.axhline(base.value * scale, color=SERIES[1], linestyle="--", label=base.model)
            if base.low is not None and base.high is not None:
                axes.axhspan(base.low * scale, base.high * scale, color=SERIES[1], alpha=0.1)
        if turned is not None:
            early, late = (step for step in turned if step is not None)
            axes.axvline(early, color=INK, linestyle=":", label=f"turning point: step {late} is worse than {early}")
            axes.plot([late], [values[late]], "s", color=INK, markerfacecolor="none", markersize=12)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlim(left=0)
        axes.set(xlabel="step", ylabel="%" if metric.percent else metric.title)
        axes.figure.legend(loc="outside lower center", ncols=2)

    words = "; ".join(_words(step, score, metric, outcomes.get(step)) for step, score in of_step.items())
    if base is not None:
        words += f"; {base.model}: {value_text(base.value, metric)}"
    if turned is not None:
        words += f"; step {turned[1]} is worse than step {turned[0]}"
    for seed, scores in seeds.items():
        words += f". Seed {seed}: {'; '.join(_words(step, score, metric) for step, score in scores.items())}"
    plain = title.replace(UP, "").replace(DOWN, "").strip()
    mean = f"mean of {len(seeds)} seeds, " if seeds else ""
    caption = f"{title} by step, {mean}with 95 % intervals" if seeds else f"{title} by step with 95 % intervals"
    caption += f"; triangles are shown to be better or worse than {base.model}" if base is not None else ""
    return plot(name, caption, f"{plain}. {mean.capitalize()}{words}.", draw)


def _draw_seeds(axes: Axes, seeds: Mapping[int, dict[int, Score]], scale: float) -> None:
    """A thin line for each seed."""
    for number, scores in enumerate(seeds.values()):
        values = [score.value * scale for score in scores.values() if score.value is not None]
        label = None if number else "single seeds"
        axes.plot([*scores], values, color=SERIES[0], alpha=0.4, linewidth=0.8, label=label)


def _words(step: int, score: Score, metric: MetricInfo, outcome: Outcome | None = None) -> str:
    return f"step {step}: {value_text(score.value, metric)}" + (f", {outcome}" if outcome else "")
