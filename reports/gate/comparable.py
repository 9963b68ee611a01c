"""Checks that values can be judged (complete) and compared (same items, data, scorers and settings)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from reports.comparison.sums import value_of_clusters
from reports.document.schema import MetricInfo, ModelInfo
from reports.gate.inputs import GateInput
from reports.gate.units import units_of

_SCORERS = ("lm_eval", "rouge_score")  # packages that compute metrics from answers
_SETTINGS = ("base", "dtype", "max_new_tokens")  # the settings under `scoring` that change answers
_SHOWN = 3
_LABEL, _LENGTH = (0, "gold label"), (1, "number of tokens or bytes")
# The number of an item's value that the item gives and not the model: its position and what it is.
_GIVEN = {"macro_f1": _LABEL, "batch_calibrated": _LABEL, "perplexity": _LENGTH, "bits_per_byte": _LENGTH}
_TOLERANCE = 1e-6  # relative, between a value in the results and the one computed from the samples


def unusable(source: GateInput, task: str, metric: MetricInfo) -> str:
    """Why a metric of one model cannot be judged; empty if it can."""
    who = f"{source.model} of {source.run}"
    if source.task(task) is None:
        return f"{who} was not scored on {task}"
    if task in source.faults:
        return f"{who}: {source.faults[task]}"
    score = source.score(task, metric.key)
    if score is None or score.value is None:
        return f"{who} has no value of {task}/{metric.key}"
    reason = "" if metric.kind == "other" else _disagreement(source, task, metric, score.value)
    return f"{who}: {reason}" if reason else ""


def _disagreement(source: GateInput, task: str, metric: MetricInfo, reported: float) -> str:
    """How the samples disagree with a value in the results; empty if they agree."""
    items = source.items[task]
    missing = [item.id for item in items.values() if item.metrics.get(metric.key) is None]
    if missing or not items:
        return f"{len(missing)} items have no value of {task}/{metric.key}{some(missing)}"
    computed = value_of_clusters(metric.kind, units_of(metric, list(items.values())).table)
    if not math.isclose(computed, reported, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
        return f"results.json says {reported:.6g} for {task}/{metric.key}, its samples give {computed:.6g}"
    return ""


def incomparable(candidate: GateInput, baseline: GateInput, task: str, metric: MetricInfo) -> str:
    """Why candidate and baseline cannot be compared on a metric; empty if they can."""
    ours, theirs = candidate.task(task), baseline.task(task)
    other = next((info for info in theirs.metrics if info.key == metric.key), None) if theirs else None
    if ours is None or theirs is None or other is None:
        return f"the baseline has no {task}/{metric.key}"
    if (metric.kind, metric.higher_is_better) != (other.kind, other.higher_is_better):
        return f"{task}/{metric.key} is a different metric in the baseline"
    reason = _versions(candidate, baseline, task) or _items(candidate, baseline, task)
    if reason or metric.kind not in _GIVEN:
        return reason
    column, what = _GIVEN[metric.kind]
    after, before = (
        np.asarray([items[key].metrics[metric.key] for key in candidate.items[task]], dtype=float)[:, column]
        for items in (candidate.items[task], baseline.items[task])
    )
    changed = [key for key, differs in zip(candidate.items[task], after != before, strict=True) if differs]
    return f"{len(changed)} items of {task} had a different {what} for the baseline{some(changed)}" if changed else ""


def _versions(candidate: GateInput, baseline: GateInput, task: str) -> str:
    """Which versions or settings differ between the two; empty if none does."""
    if candidate.results is baseline.results:
        return ""
    by_recipe = not (candidate.info.is_other_whole or baseline.info.is_other_whole)
    across = all(_setting(source, "across") for source in (candidate, baseline))
    ours, theirs = (
        dict(_provenance(source, task, by_recipe=by_recipe, across=across)) for source in (candidate, baseline)
    )
    differing = [f"{name} ({value}, baseline {theirs[name]})" for name, value in ours.items() if value != theirs[name]]
    return f"scored differently from the baseline: {'; '.join(differing)}" if differing else ""


def have_same_weights(candidate: GateInput, baseline: GateInput) -> bool:
    """Whether the two are the same model on the same base, by the hashes that their runs recorded."""
    ours, theirs = ([_identity(info) for info in (source.info, source.base)] for source in (candidate, baseline))
    return bool(candidate.info.sha256) and candidate.base is not None and ours == theirs


def prompt_differences(candidate: GateInput, baselines: Sequence[GateInput]) -> str:
    """A sentence on what the candidate was prompted with otherwise than a baseline; empty if nothing differs."""
    differing = {
        what: None
        for name, what in (("chat_template_sha256", "chat template"), ("tokenizer_sha256", "tokenizer"))
        for baseline in baselines
        if candidate.info.tokenizer_sha256
        and baseline.info.tokenizer_sha256  # which pools do not record
        and getattr(candidate.info, name) != getattr(baseline.info, name)
    }
    if not differing:
        return ""
    return (
        f"The candidate was prompted with another {' and '.join(differing)} than the baseline: read its prompts, which"
        " its author may have written, in samples/."
    )


def _identity(info: ModelInfo | None) -> tuple[str | None, ...]:
    """Hashes of everything of a model that changes its answers."""
    if info is None:
        return ()
    return (info.kind, info.sha256, info.config_sha256, info.tokenizer_sha256, info.chat_template_sha256)


def _provenance(source: GateInput, task: str, *, by_recipe: bool, across: bool) -> Iterator[tuple[str, object]]:
    """Names and values of the versions and settings that change the scores of the same items.

    Args:
        source: Candidate or baseline.
        task: The task.
        by_recipe: Whether recipes decide how the weights of both are held; those of another whole model are scored as
            they are, so only the dtype that computes with them has to be the same.
        across: Whether both recipes allow a server's answers to be compared with this machine's.
    """
    results = source.results
    yield f"the version of {task}", next((info.version for info in results.tasks if info.name == task), None)
    yield f"the data of {task}", next((data.sha256[:12] for data in results.data if data.role == task), None)
    yield "medbench", results.medbench_version
    packages = results.environment.get("packages")
    for name in _SCORERS:
        yield name, packages.get(name) if isinstance(packages, dict) else None
    for name in _SETTINGS:
        yield f"scoring.{name}", _setting(source, name)
    if by_recipe:
        yield "how weights are held while scoring", source.info.weights
    else:
        yield "the dtype of scoring", results.reproduction.score_dtype if results.reproduction else None
    if not across:
        yield "what answered", "a server" if source.info.kind == "served" else "this machine"


def _setting(source: GateInput, name: str) -> object:
    scoring = source.results.recipe.get("scoring")
    return scoring.get(name) if isinstance(scoring, dict) else None


def _items(candidate: GateInput, baseline: GateInput, task: str) -> str:
    """How the two sets of items differ; empty if they are the same."""
    ours, theirs = candidate.items[task], baseline.items[task]
    alone = sorted(set(ours) ^ set(theirs))
    if alone:
        return f"another item set of {task}: only one of the two was scored on {len(alone)} items{some(alone)}"
    changed = [key for key, item in ours.items() if item.doc_hash != theirs[key].doc_hash]
    if changed:
        return f"another item set of {task}: {len(changed)} items had another text for the baseline{some(changed)}"
    return ""


def some(ids: list[str]) -> str:
    """The first few ids, in brackets."""
    shown = ", ".join(item[:40] for item in ids[:_SHOWN])
    return f" ({shown}{', ...' if len(ids) > _SHOWN else ''})" if ids else ""
