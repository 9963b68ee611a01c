"""A finished run loaded for analysis: its results and samples as pandas frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from markupsafe import escape

from reports import frames
from reports.document.reading import read_results, read_scored, samples_of, samples_path
from reports.document.schema import Results
from reports.errors import UserError
from reports.tables import NOT_MEDICAL_ADVICE, scores_table
from reports.text import visible


@dataclass(frozen=True)
class Run:
    """The results of a run as frames, whose columns are those of `reports.frames` (docs/analysis.md).

    Attributes:
        path: The run folder.
        results: The results document.
    """

    path: Path
    results: Results

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per model, task and metric."""
        return frames.scores_frame(self.results)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """One row per candidate, task and metric: candidate minus baseline."""
        return frames.comparisons_frame(self.results)

    @cached_property
    def classes(self) -> pd.DataFrame:
        """Precision, recall and F1 per model, task and label."""
        return frames.classes_frame(self.results)

    @cached_property
    def training(self) -> pd.DataFrame:
        """Training and validation loss per logged step."""
        return frames.training_frame(self.results)

    def samples(self, model: str | None = None, task: str | None = None) -> pd.DataFrame:
        """One row per answer of one model or all of them, to one task or all of them.

        A pool has no answers of its own: its name selects those of its members.

        Raises:
            UserError: The model or task is unknown, the run has no samples, or a sample is broken.
        """
        models, tasks = self._names(model), [info.name for info in self.results.tasks]
        if task is not None:
            tasks = [self._known(task, tasks, "task")]
        pairs = [(name, task_name) for task_name in tasks for name in models]
        if not any(samples_path(self.path, *pair).is_file() for pair in pairs):
            raise UserError("it has no samples", where=str(self.path), fix="load the whole run folder, with samples/")
        samples = (sample for pair in pairs for sample in samples_of(self.path, *pair))
        return frames.samples_frame(self.results, samples)

    def flips(self, baseline: str, candidate: str, metric: str | None = None) -> pd.DataFrame:
        """Items that only one of two models got right, or whose `metric` differs; see `reports.frames.flips_frame`.

        Raises:
            UserError: As `samples`, or no task has the metric.
        """
        if metric is not None:
            self._known(metric, [key for _, key in self.results.metrics()], "metric")
        samples = pd.concat([self.samples(name) for name in dict.fromkeys((baseline, candidate))])
        return frames.flips_frame(self.results, samples, baseline, candidate, metric)

    def _names(self, model: str | None) -> list[str]:
        """The models that a name stands for: all of them for None, a pool's members for the pool."""
        members = {info.name: info.members or [info.name] for info in self.results.models}
        return [*members] if model is None else members[self._known(model, [*members], "model")]

    def _known(self, name: str, names: list[str], kind: str) -> str:
        if name not in names:
            listed = ", ".join(dict.fromkeys(names))
            raise UserError(f"it has no {kind} {name!r}", where=str(self.path), fix=f"name one of: {listed}")
        return name

    def _repr_html_(self) -> str:
        """Verdict and table for notebooks; all text is escaped."""
        table = scores_table(self.results)
        frame = pd.DataFrame(table.rows, columns=[*table.columns]).map(visible).rename(columns=visible)
        synthetic = ["Synthetic samples, no benchmark."] if any(task.synthetic for task in self.results.tasks) else []
        sentences = [*self.results.verdict, *synthetic, NOT_MEDICAL_ADVICE]
        with pd.option_context("display.max_colwidth", None):
            html: str = frame.to_html(index=False, border=0, notebook=True)
        return "".join(f"<p>{escape(visible(sentence))}</p>" for sentence in sentences) + html


def load(run: str | Path) -> Run:
    """Load the folder of a finished run, a comparison or a sweep, or a `results.json` by itself.

    Raises:
        UserError: There are no results, or they are broken; the message says what a sweep's or gate's folder lacks.
    """
    path = Path(run)
    if path.is_file():
        return Run(path.parent, read_results(path))
    if not (path / "results.json").is_file():
        if (path / "gate.json").is_file():
            fix = "load the run that the gate judged"
            raise UserError("it is the report of a gate, not a run", where=str(path), fix=fix)
        if (path / "cells").is_dir():
            fix = f"finish the sweep, or load a cell: {path / 'cells'}/NAME"
            raise UserError("it is a sweep that is not finished", where=str(path), fix=fix)
    return Run(path, read_scored(path))
