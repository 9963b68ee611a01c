"""What one model answered to one task, and keeping it in the run folder so that nothing is asked twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.scoring.tally import SampleValues, Tally
from reports.comparison.compare_models import finite, score
from reports.document.checksums import verified_facts, write_facts
from reports.document.schema import MetricInfo, Sample, Score, TaskCost
from reports.errors import UserError
from reports.files import read_jsonl

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask

_log = logging.getLogger("medbench.scoring")


@dataclass(frozen=True)
class Scored:
    """One task asked of one model; the texts of its samples are in the run folder only.

    Attributes:
        tally: What is held of the samples, one for each item and repeat.
        figures: lm-eval's own scores by metric key.
        metrics: Description of the scores; ours from the catalog, others as far as it can be inferred.
    """

    model: str
    task: LoadedTask
    tally: Tally
    figures: dict[str, float]
    metrics: list[MetricInfo]
    cost: TaskCost

    @property
    def samples(self) -> Sequence[SampleValues]:
        """The samples without their texts."""
        return self.tally.values

    def score(self, metric: MetricInfo, seed: int) -> Score:
        """The model's score in one of `metrics`; `seed` is that of the bootstrap."""
        return score(metric, self.samples, self.figures.get(metric.key), seed=seed)


def keep(path: Path, key: str, scored: Scored) -> None:
    """Write beside the samples in `path` what they rest on: a hash over everything that decides the answers."""
    about = {
        "key": key,
        "figures": {name: finite(value) for name, value in scored.figures.items()},
        "metrics": [metric.model_dump(mode="json") for metric in scored.metrics],
        "cost": scored.cost.model_dump(mode="json"),
    }
    write_facts(path, about)


def read_kept(
    path: Path, key: str, model: str, loaded: LoadedTask, say: Callable[[str], None] | None = None
) -> Scored | None:
    """Answers given earlier under the same key; None if there are none, or they are incomplete or were changed.

    Args:
        path: The samples file.
        key: As `keep` got it.
        model: Name of the model.
        loaded: The task.
        say: Called with a line that says why saved answers cannot be used.
    """
    if not (path.is_file() and path.with_suffix(".json").is_file()):
        return None
    try:
        about = verified_facts(path, required=True)
        if about.get("key") != key:
            return None
        tally = Tally(loaded.slices)
        for _, row in read_jsonl(path):
            tally.add(Sample.model_validate(row))
        cost = TaskCost.model_validate(about["cost"])
        cost = cost.model_copy(update={"reused": True, "reused_seconds": cost.seconds})
        metrics = [MetricInfo.model_validate(metric) for metric in about["metrics"]]
        figures = {name: float("inf") if value is None else float(value) for name, value in about["figures"].items()}
    except (UserError, ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
        _log.warning("%s: not usable, scored again: %s", path, error)
        if say is not None:
            what = error.what if isinstance(error, UserError) else "the saved answers are broken"
            say(f"{model}, {loaded.name}: {what}; scored again")
        return None
    if len(tally.values) != len(loaded.indices) * loaded.answers:
        return None
    return Scored(model, loaded, tally, figures, metrics, cost)
