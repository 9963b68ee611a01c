"""`medbench plan --power`: what the items of a recipe can show, and how many it takes to show more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.comparison.inference import Inference, critical_value
from reports.comparison.outcome import mean_items_needed, upper_spread
from reports.comparison.power import detectable_mean, detectable_share, items_to_decide, level_of, most_discordance
from reports.comparison.proportions import upper_discordance
from reports.document.reading import read_results
from reports.document.schema import Comparison, MetricInfo, Results
from reports.errors import UserError
from reports.numbers import MISSING, amount_text, percent_text
from tasks.suites import named_suites
from training.models.model import OWN_ADAPTER

if TYPE_CHECKING:
    from harness.console import Terminal
    from harness.folder import RunFolder
    from harness.planning.lm_tasks import LoadedTask

DISCORDANCE = 0.2  # assumed where nothing is known
_RIGHT_OR_WRONG = ("acc", "acc_norm", "exact_match")  # metrics of other people's tasks, which only results describe
_COLUMNS = ("Metric", "Items", "For better or worse", "For equivalent", "These items show", "Rests on")
_UNKNOWN = "unknown: score base and adapter on some items first (medbench run --limit 50)"


@dataclass(frozen=True)
class Assumptions:
    """What the table of `--power` is computed for.

    Attributes:
        detect: Difference to detect: absolute for shares, else as a share of the baseline's score; None for the
            smallest relevant difference of each metric.
        discordance: Share of the items that only one of the two models gets right; None for that of earlier answers.
    """

    detect: float | None = None
    discordance: float | None = None

    def check(self) -> None:
        """See that both are shares.

        Raises:
            UserError: One is not above 0 and at most 1.
        """
        for flag, value in (("--detect", self.detect), ("--discordance", self.discordance)):
            if value is not None and not 0 < value <= 1:
                raise UserError("not a share", where=f"{flag} {value:g}", fix=f"write {flag} 0.05 for 5 %")


@dataclass(frozen=True)
class PlannedMetric:
    """What the items of a task can show in one metric.

    Attributes:
        title: The metric and its task.
        metric: The metric.
        items: Number of items to score.
        available: Number of items that the task has.
        difference: Difference to detect, in the metric's unit; None if unknown.
        detecting: Items with which that difference is called better or worse with 80 % power.
        margin: The smallest relevant difference, in the metric's unit; None if unknown.
        equivalent: Items with which two equal models are called equivalent with 80 % power.
        shows: The smallest difference that `items` show with 80 % power; None if unknown or none.
        basis: What the spread of the items rests on.
    """

    title: str
    metric: MetricInfo
    items: int
    available: int
    difference: float | None
    detecting: int | None
    margin: float | None
    equivalent: int | None
    shows: float | None
    basis: str

    def row(self) -> tuple[str, ...]:
        """The cells of its row in the table."""
        items = f"{self.items:,}" if self.items == self.available else f"{self.items:,} of {self.available:,}"
        if self.difference is None or self.margin is None:
            return self.title, items, MISSING, MISSING, MISSING, self.basis
        needs = [
            MISSING if count is None else f"{count:,}" + (" (more than there are)" if count > self.available else "")
            for count in (self.detecting, self.equivalent)
        ]
        return (
            self.title,
            items,
            f"{needs[0]} by {amount_text(self.difference, self.metric)}",
            f"{needs[1]} within {amount_text(self.margin, self.metric)}",
            "nothing" if self.shows is None else f"from {amount_text(self.shows, self.metric)}",
            self.basis,
        )


def say_power(
    tasks: Sequence[LoadedTask], names: Sequence[str], folder: RunFolder, wanted: Assumptions | None, terminal: Terminal
) -> None:
    """Print what the items can show: a table, or one line unless `wanted`.

    Args:
        tasks: The tasks to score.
        names: Their names as the recipe has them, suites among them.
        folder: The run folder, whose earlier answers say how much the models differ.
        wanted: What the table is computed for.
        terminal: Where to print.
    """
    earlier, note = _earlier(folder)
    rows = planned_metrics(tasks, names, earlier, wanted or Assumptions(), str(folder.path))
    if not rows:
        return
    if wanted is None:
        terminal.say(summary(rows))
        return
    count = hypotheses(tasks, names)
    terminal.say(
        f"power: items that give each verdict with a chance of 80 %, for one candidate, at a level of 0.05 / {count}"
        f" ({count} main comparisons, corrected together)"
    )
    terminal.table(_COLUMNS, [row.row() for row in rows], left=True)
    notes = [note] if note else []
    if any(task.shared_sources for task in tasks):
        notes.append("items that share a source count for less than one each, so more are needed than stands here")
    for line in notes:
        terminal.say(f"note: {line}", style="yellow")


def summary(rows: Sequence[PlannedMetric]) -> str:
    """One line: the smallest differences that the items show in the leading metrics of each task."""
    shown = [row for row in rows if row.shows is not None and row.metric.is_share]
    if not shown:
        return "power: unknown before any answer; medbench plan --power says what it needs"
    best, worst = (key(shown, key=lambda row: row.shows or 0.0) for key in (min, max))
    ends = [
        f"{amount_text(row.shows or 0.0, row.metric)} ({row.title}, {row.items:,} items)"
        for row in ([best] if best is worst else [best, worst])
    ]
    return (
        f"power: these items show differences from {' to '.join(ends)} with a chance of 80 %, {best.basis};"
        " more: medbench plan --power"
    )


def planned_metrics(
    tasks: Sequence[LoadedTask], names: Sequence[str], earlier: Results | None, wanted: Assumptions, where: str
) -> list[PlannedMetric]:
    """What the items of each task can show in its main metrics; see `say_power`.

    Args:
        tasks: The tasks.
        names: Their names as the recipe has them.
        earlier: Results of earlier answers.
        wanted: What to detect.
        where: Name of the folder of the earlier answers.
    """
    level = level_of(hypotheses(tasks, names))
    return [_planned(task, metric, earlier, wanted, level, where) for task in tasks for metric in _main_metrics(task)]


def hypotheses(tasks: Sequence[LoadedTask], names: Sequence[str]) -> int:
    """Number of comparisons of one candidate that are corrected together: main metrics, and means of named suites."""
    usable = {task.name for task in tasks if not task.info.synthetic}
    suites = [suite for suite in named_suites(names) if suite.mean_of and {task for task, _ in suite.mean_of} <= usable]
    return sum(len(_main_metrics(task)) for task in tasks) + len(suites)


def _main_metrics(task: LoadedTask) -> list[MetricInfo]:
    """The main metrics of a task; of other people's those that are shares of right answers."""
    if task.info.metrics:
        return [metric for metric in task.info.metrics if metric.is_main and metric.kind not in ("ece", "other")]
    keys = [key for key in task.task.aggregation() if key in _RIGHT_OR_WRONG]
    return [MetricInfo(key=key, title=key, kind="proportion", percent=True, higher_is_better=True) for key in keys]


def _earlier(folder: RunFolder) -> tuple[Results | None, str]:
    """Results of the run folder, and why they cannot be used if so."""
    if not folder.results.is_file():
        return None, ""
    try:
        return read_results(folder.path), ""
    except UserError as error:
        return None, f"the earlier results in {folder.path} are not used: {error.what}"


def _planned(
    task: LoadedTask, metric: MetricInfo, earlier: Results | None, wanted: Assumptions, level: float, where: str
) -> PlannedMetric:
    pairs = (
        []
        if earlier is None
        else [
            pair
            for pair in earlier.comparisons
            if (pair.task, pair.metric) == (task.name, metric.key) and pair.standard_error is not None
        ]
    )
    pair = next((pair for pair in pairs if pair.candidate == OWN_ADAPTER), next(iter(pairs), None))
    items, available = len(task.indices), len(task.task.eval_docs) - task.set_aside
    about = (f"{metric.title}, {task.info.short_title}", metric, items, available)
    if metric.kind in ("proportion", "batch_calibrated"):
        difference = wanted.detect or metric.relevant
        discordance, basis = _discordance(task, metric, pair, earlier, wanted, difference, where)
        detecting, equivalent = items_to_decide(difference, discordance, level, metric.relevant)
        shows = detectable_share(items, discordance, level)
        return PlannedMetric(*about, difference, detecting, metric.relevant, equivalent, shows, basis)
    if pair is None or not pair.relevant or not pair.standard_error or (pair.units or 0) < 2:  # noqa: PLR2004
        return PlannedMetric(*about, None, None, None, None, None, _UNKNOWN)
    difference = pair.relevant if wanted.detect is None else pair.relevant / metric.relevant * wanted.detect
    inference, units = _inference(pair), pair.units or 0
    scale = pair.n / units  # items in a unit
    detecting = mean_items_needed(inference, units, difference, level)
    equivalent = mean_items_needed(inference, units, pair.relevant, level, "equivalence")
    spread = upper_spread(pair.standard_error, units)
    return PlannedMetric(
        *about,
        difference,
        None if detecting is None else round(detecting * scale),
        pair.relevant,
        None if equivalent is None else round(equivalent * scale),
        detectable_mean(spread, int(items / scale), level),
        f"about: spread of {pair.n:,} items in {where}",
    )


def _discordance(
    task: LoadedTask,
    metric: MetricInfo,
    pair: Comparison | None,
    earlier: Results | None,
    wanted: Assumptions,
    difference: float,
    where: str,
) -> tuple[float, str]:
    """The share of items that only one model gets right, and what it rests on."""
    if wanted.discordance is not None:
        return wanted.discordance, f"if {percent_text(wanted.discordance)} differ"
    if pair is not None and pair.standard_error is not None and pair.units and pair.difference is not None:
        share = pair.standard_error**2 * pair.units + pair.difference**2  # of independent items
        count = min(pair.units, round(share * pair.units))
        upper = upper_discordance(count, pair.units)
        return upper, f"up to {percent_text(upper)} differ: {count} of {pair.units:,} in {where}"
    baseline = "" if earlier is None else earlier.baseline
    score = None if earlier is None else earlier.scores_by_key().get((baseline, task.name, metric.key))
    if score is not None and score.low is not None and score.high is not None:
        likely = min(max(0.5, score.low), score.high)  # the share in the interval that leaves most room
        most = most_discordance(likely, difference)
        if most < DISCORDANCE:
            return most, f"at most {percent_text(most)} can differ: {baseline} has {percent_text(likely)} right"
    return DISCORDANCE, f"if {percent_text(DISCORDANCE)} differ (assumed)"


def _inference(pair: Comparison) -> Inference:
    """The inference of an earlier comparison, by Student's t."""
    estimate, error = pair.difference or 0.0, pair.standard_error or 0.0
    degrees = pair.degrees_of_freedom or float((pair.units or 2) - 1)

    def ends(level: float) -> tuple[float, float]:
        half = float(critical_value(level, degrees)) * error
        return estimate - half, estimate + half

    return Inference(estimate, ends, "t", error, degrees)
