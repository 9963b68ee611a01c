"""Whether a task's figures may be judged: finished, finite, and of the same items, data and scorers on both sides."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from reports.comparison.sums import value_of_clusters
from reports.document.schema import MetricInfo
from reports.gate.sides import PAIRS, Side
from reports.gate.units import units_of

_SCORERS = ("lm_eval", "rouge_score")  # packages whose code makes figures out of answers
_SETTINGS = ("base", "dtype", "max_new_tokens")  # of a recipe's scoring part: all that moves answers but the items
_SHOWN = 3
_TOLERANCE = 1e-6  # between a figure and the one that its samples give, relative


def unusable(side: Side, task: str, metric: MetricInfo) -> str:
    """Why a figure of one side cannot be judged; empty where it can."""
    who = f"{side.model} of {side.run}"
    if side.task(task) is None:
        return f"{who} was not asked {task}"
    if task in side.faults:
        return f"{who}: {side.faults[task]}"
    score = side.score(task, metric.key)
    if score is None or score.value is None or not math.isfinite(score.value):
        return f"{who} has no figure of {task}/{metric.key}"
    reason = "" if metric.kind == "other" else _disagreement(side, task, metric, score.value)
    return f"{who}: {reason}" if reason else ""


def _disagreement(side: Side, task: str, metric: MetricInfo, told: float) -> str:
    """How the samples do not bear out a figure of the results; empty where they do."""
    items = side.items[task]
    found = [item.metrics.get(metric.key) for item in items.values()]
    missing = [item.id for item, value in zip(items.values(), found, strict=True) if value is None]
    values = np.asarray([] if missing else found, dtype=float)
    if not np.isfinite(values).all():
        missing = [item.id for item, value in zip(items.values(), values, strict=True) if not np.isfinite(value).all()]
    if missing or not items:
        return f"{len(missing)} items have no number for {task}/{metric.key}{_some(missing)}"
    figure = value_of_clusters(metric.kind, units_of(metric, list(items.values())).table)
    if not math.isclose(figure, told, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
        return f"results.json says {told:.6g} for {task}/{metric.key}, its samples give {figure:.6g}"
    return ""


def incomparable(candidate: Side, baseline: Side, task: str, metric: MetricInfo) -> str:
    """Why the two sides cannot be compared on a metric; empty where they can."""
    ours, theirs = candidate.task(task), baseline.task(task)
    known = next((each for each in theirs.metrics if each.key == metric.key), None) if theirs else None
    if ours is None or theirs is None or known is None:
        return f"the baseline has no {task}/{metric.key}"
    if (metric.kind, metric.higher_is_better) != (known.kind, known.higher_is_better):
        return f"{task}/{metric.key} was another metric for the baseline"
    reason = _versions(candidate, baseline, task) or _items(candidate, baseline, task)
    if reason or metric.kind not in PAIRS or metric.kind in ("ece", "ratio"):  # whose both numbers are the model's
        return reason
    other, place = baseline.items[task], 0 if metric.kind == "macro_f1" else 1
    mine, before = (
        np.asarray([side[item].metrics[metric.key] for item in candidate.items[task]], dtype=float)[:, place]
        for side in (candidate.items[task], other)
    )
    moved = [item for item, differs in zip(candidate.items[task], mine != before, strict=True) if differs]
    what = "another gold label" if metric.kind == "macro_f1" else "another number of tokens or bytes"
    return f"{len(moved)} items of {task} had {what} for the baseline{_some(moved)}" if moved else ""


def _versions(candidate: Side, baseline: Side, task: str) -> str:
    """Which versions of data, task or scorers differ; empty where none does."""
    if candidate.results is baseline.results:
        return ""
    now, then = ([*_about(side, task)] for side in (candidate, baseline))
    differing = [
        f"{what} ({ours}, baseline {theirs})"
        for (what, ours), (_, theirs) in zip(now, then, strict=True)
        if ours != theirs
    ]
    return f"scored in another way than the baseline: {'; '.join(differing)}" if differing else ""


def _about(side: Side, task: str) -> Iterator[tuple[str, object]]:
    """(what, which) of all that makes figures of the same items differ."""
    results = side.results
    yield f"the version of {task}", next((each.version for each in results.tasks if each.name == task), None)
    yield f"the data of {task}", next((each.sha256[:12] for each in results.data if each.role == task), None)
    yield "medbench", results.medbench_version
    packages = results.environment.get("packages")
    for name in _SCORERS:
        yield name, packages.get(name) if isinstance(packages, dict) else None
    scoring = results.recipe.get("scoring")
    for name in _SETTINGS:
        yield f"scoring.{name}", scoring.get(name) if isinstance(scoring, dict) else None
    yield "how weights are held while scoring", side.info.weights


def _items(candidate: Side, baseline: Side, task: str) -> str:
    """How the two sets of items differ; empty where they are the same."""
    ours, theirs = candidate.items[task], baseline.items[task]
    alone = sorted(set(ours) ^ set(theirs))
    if alone:
        return f"another item set of {task}: {len(alone)} items were asked of only one side{_some(alone)}"
    changed = [key for key, item in ours.items() if item.doc_hash != theirs[key].doc_hash]
    if changed:
        return f"another item set of {task}: {len(changed)} items had another text for the baseline{_some(changed)}"
    return ""


def _some(ids: list[str]) -> str:
    """The first few ids, to look at."""
    shown = ", ".join(each[:40] for each in ids[:_SHOWN])
    return f" ({shown}{', ...' if len(ids) > _SHOWN else ''})" if ids else ""
