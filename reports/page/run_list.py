"""Runs as the view lists them: a short summary of each results document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from reports.comparison.learning_curve import main_metrics
from reports.document.schema import Comparison, MetricInfo, Outcome, Results, Score
from reports.numbers import TRAINED_ON, better_arrow, difference_text, outcome_text, score_text
from reports.tables import metric_title
from reports.text import cut

MetricKey = tuple[str, str]  # task or suite, and metric

BROKEN = "broken"
OUTCOMES: tuple[str, ...] = (*get_args(Outcome), BROKEN)
_DECIDED = ("better", "worse")
_NAME, _SENTENCE = 200, 600  # characters shown of a name and of a sentence
_YEARS = range(2000, 2100)  # others are no dates of a run, and no plot has an axis for all of them
_MOST_WORDS = 10_000  # characters that the text filter searches


@dataclass(frozen=True)
class MainScore:
    """A main metric of one model in a run.

    Attributes:
        model: Name of the model.
        is_baseline: Whether the run compares the others with it.
        key: Task or suite, and metric.
        title: Title of the metric with its better direction and the task's label.
        metric: The metric.
        score: Score with its interval.
        comparison: Comparison with the run's baseline, or None.
        questions: Hashes of the items' ids and gold answers: equal ones make scores of different runs comparable;
            empty if unknown.
        is_trained_on: Whether the model was trained on some of the items.
    """

    model: str
    is_baseline: bool
    key: MetricKey
    title: str
    metric: MetricInfo
    score: Score
    comparison: Comparison | None
    questions: tuple[str, ...]
    is_trained_on: bool

    @property
    def text(self) -> str:
        """The score with its interval, marked if the model was trained on some of the items."""
        return score_text(self.score, self.metric) + (f" {TRAINED_ON}" if self.is_trained_on else "")

    @property
    def outcome(self) -> str:
        """Outcome of the comparison with the run's baseline; empty without one."""
        return self.comparison.outcome if self.comparison else ""

    @property
    def outcome_text(self) -> str:
        """The outcome in words, with its reservations."""
        return outcome_text(self.comparison) if self.comparison else ""

    def change(self, *, interval: bool = False) -> str:
        """The difference from the run's baseline; empty without a comparison."""
        return difference_text(self.comparison, self.metric, interval=interval) if self.comparison else ""


@dataclass(frozen=True)
class RunSummary:
    """What the list shows of a results document.

    Attributes:
        title: The report's title, or the run's name.
        created: When the results were written; None if the document has no plausible time.
        base: Source of the base model.
        models: Names of the models in tables of scores.
        weights: Hashes of these models' weights.
        scores: Main metrics of these models, gains and losses first.
        verdict: Sentences of the verdict.
        version: Version of medbench that wrote it.
        commit: Git commit of that medbench's checkout; empty if none was recorded.
        is_synthetic: Whether some of its items are medbench's own synthetic samples.
        is_as_written: Whether the document has not been changed since medbench wrote it.
    """

    title: str
    created: datetime | None
    base: str
    models: tuple[str, ...]
    weights: tuple[str, ...]
    scores: tuple[MainScore, ...]
    verdict: tuple[str, ...]
    version: str
    commit: str
    is_synthetic: bool
    is_as_written: bool

    @property
    def scored(self) -> list[tuple[str, list[MainScore]]]:
        """Models with their main metrics; the baseline only if it stands alone."""
        by_model: dict[str, list[MainScore]] = {}
        for score in self.scores:
            if len(self.models) == 1 or not score.is_baseline:
                by_model.setdefault(score.model, []).append(score)
        return [*by_model.items()]


@dataclass(frozen=True)
class ListedRun:
    """A run folder in the list.

    Attributes:
        id: Its name in addresses.
        path: Its path below the folder that is viewed.
        modified: Time of its results document, or of the folder without one.
        files: Names of its files that can be opened.
        summary: Summary of its results; None if there are none yet, they are broken or not read yet.
        error: Why its results cannot be read; empty if they can.
        note: What it is, if it is no finished run, such as a sweep without results yet.
        release: Name under which it is stored as a baseline; empty if it is none.
        below: Run folders inside it: a sweep's cells, seeds.
    """

    id: str
    path: str
    modified: datetime
    files: tuple[str, ...]
    summary: RunSummary | None = None
    error: str = ""
    note: str = ""
    release: str = ""
    below: tuple[ListedRun, ...] = ()

    @property
    def created(self) -> datetime:
        """When its results were written, by the document if it says so."""
        return self.summary.created if self.summary and self.summary.created else self.modified

    @property
    def members(self) -> tuple[ListedRun, ...]:
        """The run and those inside it."""
        return (self, *self.below)

    @property
    def plotted(self) -> tuple[ListedRun, ...]:
        """The runs whose scores belong in a plot: a comparison has those of its cells already."""
        return (self,) if self.summary else self.below

    @property
    def words(self) -> str:
        """Everything that the text filter searches, in lower case."""
        summary = self.summary
        parts = [self.path, self.error, self.note, self.release]
        if summary:
            parts += [summary.title, summary.base, summary.version, summary.commit, *summary.models, *summary.verdict]
            parts += [score.title for score in summary.scores]
        return " ".join(parts)[:_MOST_WORDS].lower()

    def outcomes(self, model: str = "") -> set[str]:
        """Outcomes of its main metrics, of one model or all, and `broken` if its results cannot be read."""
        scores = self.summary.scores if self.summary else ()
        outcomes = {score.outcome for score in scores if score.comparison and model in ("", score.model)}
        return outcomes | {BROKEN} if self.error else outcomes


def summarize(results: Results) -> RunSummary:
    """Summarise a results document; texts are cut, so that a list of thousands of runs fits in memory."""
    names = results.shown_models()
    shown = [model for model in results.models if model.name in names]
    commit = results.environment.get("git_commit")
    title = results.recipe.get("report", {}).get("title") or results.name
    base = results.base or next((model for model in results.models if model.name == results.baseline), None)
    return RunSummary(
        title=cut(title, _NAME),
        created=_time(results.created),
        base=cut(base.source if base else results.baseline, _NAME),
        models=tuple(names),
        weights=tuple(model.sha256 for model in shown),
        scores=tuple(_main_scores(results, names)),
        verdict=tuple(cut(sentence, _SENTENCE) for sentence in results.verdict),
        version=cut(results.medbench_version, _NAME),
        commit=cut(commit, _NAME) if isinstance(commit, str) else "",
        is_synthetic=any(task.synthetic for task in results.tasks),
        is_as_written=not results.checksum or results.is_as_written(),
    )


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.year not in _YEARS:
        return None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _main_scores(results: Results, names: list[str]) -> Iterator[MainScore]:
    """Main metrics by model, and of a model those with a gain or loss first."""
    scores, pairs = results.scores_by_key(), results.comparisons_by_key()
    golds: Mapping[str, str] = results.reproduction.golds if results.reproduction else {}
    metrics = [
        ((task.name, metric.key), metric_title(task, metric), metric, [task.name])
        for task in results.tasks
        for metric in main_metrics(task)
    ]
    means = results.suite_means().items()
    metrics += [(key, metric.title + better_arrow(metric), metric, suite.tasks) for key, (suite, metric) in means]
    for name in names:
        own = [
            MainScore(
                model=name,
                is_baseline=name == results.baseline,
                key=key,
                title=cut(title, _NAME),
                metric=metric,
                score=scores[name, *key],
                comparison=pairs.get((name, *key)),
                questions=tuple(golds.get(task, "") for task in tasks) if golds else (),
                is_trained_on=any(results.learned_from(task, name) for task in tasks),
            )
            for key, title, metric, tasks in metrics
            if (name, *key) in scores
        ]
        yield from sorted(own, key=lambda score: score.outcome not in _DECIDED)


def metric_titles(runs: Iterable[ListedRun]) -> dict[MetricKey, str]:
    """Titles of all main metrics of some runs, those of most runs first."""
    counts: dict[MetricKey, int] = {}
    titles: dict[MetricKey, str] = {}
    for run in runs:
        scores = run.summary.scores if run.summary else ()
        for key, title in {score.key: score.title for score in scores}.items():
            counts[key] = counts.get(key, 0) + 1
            titles.setdefault(key, title)
    return {key: titles[key] for key in sorted(titles, key=lambda key: -counts[key])}
