"""The table of a learning curve: main metrics of each checkpoint by training step, beside the losses."""

from __future__ import annotations

from reports.comparison.learning_curve import main_metrics
from reports.document.learning_curve import LearningCurve
from reports.document.schema import MetricInfo, Results, TaskInfo
from reports.numbers import TRAINED_ON, outcome_text, score_text
from reports.tables import Table, metric_title, table_of


def curve_metrics(results: Results) -> list[tuple[TaskInfo, MetricInfo]]:
    """The metrics of the curve, with their tasks."""
    return [(task, metric) for task in results.tasks for metric in main_metrics(task)]


def curve_table(results: Results) -> Table | None:
    """A row for the baseline, unless it is one of the steps, and for each step, or None if there is no curve.

    A training loss is the mean over the steps since the previous row. Outcomes are those of the comparison with the
    baseline; a turning point names the earlier step than which a step is worse.
    """
    curve = results.learning_curve
    if curve is None:
        return None
    rows = []
    steps, models = curve.steps, curve.models
    if results.baseline not in models:
        steps, models = [0, *steps], [results.baseline, *models]
    for before, step, model in zip([0, *steps[:-1]], steps, models, strict=True):
        row = {"Step": str(step) if step else results.baseline, **_losses(results, before, step)}
        for task, metric in curve_metrics(results):
            row[metric_title(task, metric)] = _cell(results, curve, model, task, metric)
        rows.append(row)
    return table_of(rows)


def _losses(results: Results, before: int, step: int) -> dict[str, str]:
    """Training and validation loss of a step, if the training logged any."""
    if results.training is None:
        return {}
    losses, validation = results.training.loss_by_step("loss"), results.training.loss_by_step("eval_loss")
    since = [loss for at, loss in losses.items() if before < at <= step]
    row = {"Training loss (mean since the previous row)": f"{sum(since) / len(since):.3f}" if since else ""}
    return row | ({"Validation loss": f"{validation[step]:.3f}" if step in validation else ""} if validation else {})


def _cell(results: Results, curve: LearningCurve, model: str, task: TaskInfo, metric: MetricInfo) -> str:
    """A score with its interval, its outcome against the baseline, and its turning point."""
    pair = results.comparisons_by_key().get((model, task.name, metric.key))
    text = score_text(results.scores_by_key().get((model, task.name, metric.key)), metric)
    text += f" {TRAINED_ON}" if results.learned_from(task.name, model) else ""
    parts = [text, *([outcome_text(pair)] if pair else [])]
    parts += [
        f"worse than step {curve.step_of(turn.baseline)}"
        for turn in curve.turns
        if (turn.task, turn.metric, turn.candidate) == (task.name, metric.key, model)
    ]
    return ", ".join(parts)
