"""What one model answered to one task, and keeping it in the run folder so that nothing is asked twice."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from reports.document.schema import MetricInfo, Sample, TaskCost
from reports.errors import UserError
from reports.files import read_json, read_jsonl, write_json, write_jsonl

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask

_log = logging.getLogger("medbench.scoring")


@dataclass(frozen=True)
class Scored:
    """One task asked of one model.

    Attributes:
        samples: One for each item.
        figures: lm-eval's own figures by metric key.
        metrics: What the figures are; ours from the catalog, others as far as they can be told.
    """

    model: str
    task: LoadedTask
    samples: list[Sample]
    figures: dict[str, float]
    metrics: list[MetricInfo]
    cost: TaskCost


def keep(path: Path, key: str, scored: Scored) -> None:
    """Write samples to `path`, and beside them what they rest on: a hash over everything that decides the answers."""
    write_jsonl(path, (sample.model_dump(mode="json") for sample in scored.samples))
    about = {
        "key": key,
        "figures": {name: value if math.isfinite(value) else None for name, value in scored.figures.items()},
        "metrics": [metric.model_dump(mode="json") for metric in scored.metrics],
        "cost": scored.cost.model_dump(mode="json"),
    }
    write_json(path.with_suffix(".json"), about)


def read_kept(path: Path, key: str, model: str, loaded: LoadedTask) -> Scored | None:
    """Answers given earlier under the same key; None where there are none, or they are not whole."""
    about_path = path.with_suffix(".json")
    if not (path.is_file() and about_path.is_file()):
        return None
    try:
        about = read_json(about_path)
        if not isinstance(about, dict) or about.get("key") != key:
            return None
        samples = [Sample.model_validate(row) for _, row in read_jsonl(path)]
        cost = TaskCost.model_validate(about["cost"])
        cost = cost.model_copy(update={"reused": True, "reused_seconds": cost.seconds})
        metrics = [MetricInfo.model_validate(each) for each in about["metrics"]]
        figures = {name: float("inf") if value is None else float(value) for name, value in about["figures"].items()}
    except (UserError, ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
        _log.warning("%s: not usable, asked anew: %s", path, error)
        return None
    if len(samples) != len(loaded.indices) * loaded.answers:
        return None
    return Scored(model, loaded, samples, figures, metrics, cost)
