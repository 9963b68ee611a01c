"""The table of a learning curve: main metrics of each checkpoint by training step, beside the losses."""

from __future__ import annotations

from reports.comparison.learning_curve import main_metrics
from reports.document.learning_curve import LearningCurve
from reports.document.schema import MetricInfo, Results, TaskInfo
from reports.numbers import TRAINED_ON, amount_text, outcome_text, score_text, value_text
from reports.tables import Table, metric_title, table_of


def curve_metrics(results: Results) -> list[tuple[TaskInfo, MetricInfo]]:
    """The metrics of the curve, with their tasks."""
    return [(task, metric) for task in results.tasks for metric in main_metrics(task)]


def curve_table(results: Results) -> Table | None:
    """A row for the baseline, unless it is one of the steps, and for each step, or None if there is no curve.

    A training loss is the mean over the steps since the previous row. Outcomes are those of the comparison with the
    baseline; a turning point names the earlier step than which a step is worse. With several seeds, scores are means
    over them with their standard deviation; a step that not all seeds have has the scores of those that do.
    """
    curve = results.learning_curve
    if curve is None:
        return None
    models: dict[int, str | None] = dict(zip(curve.steps, curve.models, strict=True))
    models |= dict.fromkeys(curve.left_out)
    first = [] if results.baseline in curve.models else [(0, results.baseline)]
    rows, before = [], 0
    for step, model in [*first, *sorted(models.items())]:
        row = {"Step": str(step) if step else results.baseline}
        if curve.seeds:
            row["Seeds"] = _seeds(curve, step)
        row |= _losses(results, before, step)
        for task, metric in curve_metrics(results):
            row[metric_title(task, metric)] = (
                _scores_of_seeds(results, curve, step, task, metric)
                if model is None
                else _cell(results, curve, model, task, metric)
            )
        rows.append(row)
        before = step
    return table_of(rows)


def _seeds(curve: LearningCurve, step: int) -> str:
    """How many seeds have a step; empty for the baseline."""
    if not step:
        return ""
    some = curve.left_out.get(step)
    return f"{len(curve.seeds)}" if some is None else f"{len(some)} of {len(curve.seeds)}"


def _losses(results: Results, before: int, step: int) -> dict[str, str]:
    """Training and validation loss of a step, if the training logged any; with several seeds, those of the first."""
    if results.training is None:
        return {}
    seeds = results.learning_curve.seeds if results.learning_curve else []
    of = f" of seed {seeds[0].seed}" if seeds else ""
    losses, validation = results.training.loss_by_step("loss"), results.training.loss_by_step("eval_loss")
    since = [loss for at, loss in losses.items() if before < at <= step]
    row = {f"Training loss{of} (mean since the previous row)": f"{sum(since) / len(since):.3f}" if since else ""}
    column = f"Validation loss{of}"
    return row | ({column: f"{validation[step]:.3f}" if step in validation else ""} if validation else {})


def _cell(results: Results, curve: LearningCurve, model: str, task: TaskInfo, metric: MetricInfo) -> str:
    """A score with its interval and spread, its outcome against the baseline, and its turning point."""
    pair = results.comparisons_by_key().get((model, task.name, metric.key))
    score = results.scores_by_key().get((model, task.name, metric.key))
    text = score_text(score, metric)
    text += f" {TRAINED_ON}" if results.learned_from(task.name, model) else ""
    parts = [text]
    if model in curve.models and curve.seeds and score is not None and score.spread is not None:
        parts.append(f"SD of seeds {amount_text(score.spread, metric)}")
    parts += [outcome_text(pair)] if pair else []
    worse = curve.worse_than(model, task.name, metric.key)
    parts += [f"worse than step {curve.step_of(worse.baseline)}"] if worse else []
    return ", ".join(parts)


def _scores_of_seeds(results: Results, curve: LearningCurve, step: int, task: TaskInfo, metric: MetricInfo) -> str:
    """The score of each seed that has a step which others lack."""
    scores = results.scores_by_key()
    values = {
        seed.seed: scores.get((seed.models[seed.steps.index(step)], task.name, metric.key))
        for seed in curve.left_out[step]
    }
    return ", ".join(
        f"seed {seed}: {value_text(score.value if score else None, metric)}" for seed, score in values.items()
    )
