"""Compares the models of several runs in one results document: the same items are paired, others named and left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reports.comparison import statistics
from reports.comparison.verdict import sentences
from reports.document.configurations import Configuration, RunsCompared
from reports.document.digest import lead_metric
from reports.document.evidence import OverlapCheck
from reports.document.reading import read_results, read_samples, samples_path
from reports.document.schema import Comparison, MetricInfo, ModelInfo, Results, Sample, TaskInfo
from reports.errors import UserError
from reports.files import write_json, write_jsonl
from reports.numbers import MISSING, value_text
from reports.version import __version__


@dataclass(frozen=True)
class _Member:
    """A model of one of the runs, and its name in the comparison."""

    name: str
    model: ModelInfo
    run: Path
    label: str
    results: Results


def compare_runs(runs: Sequence[Path], out: Path, *, name: str = "comparison", by: str | None = None) -> Results:
    """Write a run-like folder (`results.json`, `samples/`) that compares the models of several runs.

    Args:
        runs: At least one run folder, each scored and with its samples. Bases with equal weights count as one model.
        out: The folder to write.
        name: Of the comparison.
        by: Key of the metric that the best is told by; the first comparable one if not given.

    Raises:
        UserError: A run is missing or has no samples, or no run has the metric.
    """
    if out.resolve() in {run.resolve() for run in runs}:
        raise UserError("the comparison would overwrite one of its runs", where=str(out), fix="give another --out")
    members = _members(runs)
    tasks = _tasks(members)
    task, metric = _quality(tasks, by)
    baseline = next((each.name for each in members if each.model.kind == "base"), members[0].name)
    for member in members:
        for each in tasks:
            path = samples_path(member.run, member.model.name, each.name)
            if path.is_file():
                rows = (sample.model_dump(mode="json") | {"model": member.name} for sample in read_samples(path))
                write_jsonl(samples_path(out, member.name, each.name), rows)
    comparisons, left_out = _comparisons(out, members, tasks, baseline)
    first = members[0].results
    results = Results(
        medbench_version=__version__,
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"compare {' '.join(dict.fromkeys(each.label for each in members))}",
        seed=first.seed,
        baseline=baseline,
        recipe=first.recipe | {"report": first.recipe.get("report", {}) | {"title": name}},
        environment=first.environment,
        models=[each.model.model_copy(update={"name": each.name}) for each in members],
        data=list({(data.role, data.sha256): data for each in members for data in each.results.data}.values()),
        tasks=tasks,
        overlap=_overlap(members),
        comparisons=comparisons,
        compared=_compared(members, task, metric, left_out),
        notes=[*_notes(members, left_out)],
        **{part: _renamed(members, part) for part in ("scores", "costs", "classes", "confusion", "problems")},
    )
    results = results.model_copy(update={"verdict": _verdict(results, metric)})
    write_json(out / "results.json", results.model_dump(mode="json"))
    return results


def _members(runs: Sequence[Path]) -> list[_Member]:
    """Every model once: of bases with the same weights, held alike, the first."""
    labels = _labels(runs)
    found: list[_Member] = []
    bases: set[tuple[str, str]] = set()
    for run, label in zip(runs, labels, strict=True):
        if not (run / "results.json").is_file():
            raise UserError("there is no results.json in it", where=str(run), fix="score first: medbench score")
        results = read_results(run)
        if not (run / "samples").is_dir():
            raise UserError("it has no samples to pair", where=str(run), fix="name the whole run folder")
        adapters = [model for model in results.models if model.kind != "base"]
        for model in results.models:
            if model.kind == "base" and (model.sha256, model.weights) in bases:
                continue
            if model.kind == "base":
                name = model.name if not bases else f"{label}-{model.name}"
                bases.add((model.sha256, model.weights))
            else:
                name = label if len(adapters) == 1 else f"{label}-{model.name}"
            found.append(_Member(name, model, run, label, results))
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise UserError(
            f"two models would both be named {next(name for name in names if names.count(name) > 1)}",
            where=", ".join(map(str, runs)),
            fix="rename a run folder",
        )
    return found


def _labels(runs: Sequence[Path]) -> list[str]:
    """Each run's folder name; with its parent's where that is not its alone."""
    resolved = [run.resolve() for run in runs]
    if len(set(resolved)) < len(resolved):
        raise UserError("a run is named twice", where=", ".join(map(str, runs)), fix="name each run once")
    names = [path.name for path in resolved]
    return [
        name if names.count(name) == 1 else f"{path.parent.name}-{name}"
        for path, name in zip(resolved, names, strict=True)
    ]


def _tasks(members: Sequence[_Member]) -> list[TaskInfo]:
    tasks: dict[str, TaskInfo] = {}
    for each in members:
        for task in each.results.tasks:
            tasks.setdefault(task.name, task)
    return list(tasks.values())


def _quality(tasks: Sequence[TaskInfo], by: str | None) -> tuple[TaskInfo, MetricInfo]:
    """The metric that the best is told by."""
    known = [(task, metric) for task in tasks for metric in task.metrics if metric.higher_is_better is not None]
    wanted = next((pair for pair in known if pair[1].key == by), None)
    if wanted is not None:
        return wanted
    if by is not None or not known:
        raise UserError(
            f"no run has a metric {by!r} with a better direction",
            where="--by",
            fix=f"one of {', '.join(dict.fromkeys(metric.key for _, metric in known))}",
        )
    return next(((task, lead) for task in tasks if (lead := lead_metric(task))), known[0])


def _comparisons(
    out: Path, members: Sequence[_Member], tasks: Sequence[TaskInfo], baseline: str
) -> tuple[list[Comparison], dict[str, list[str]]]:
    """Every model against the baseline, and by task the items that some pair does not share."""
    metrics = {(task.name, metric.key): metric for task in tasks for metric in task.metrics}
    seed = members[0].results.seed
    found: list[Comparison] = []
    left_out: dict[str, set[str]] = {}
    for member in members:
        pair = []
        for task in tasks:
            before, after = _samples(out, baseline, task.name), _samples(out, member.name, task.name)
            if member.name == baseline or not before or not after:
                continue
            for metric in task.metrics:
                comparison, unpaired = statistics.compare(metric, before, after, seed=seed)
                pair.append(comparison)
                left_out.setdefault(task.name, set()).update(unpaired)
        found += statistics.judge(pair, metrics)
    return found, {task: sorted(items) for task, items in left_out.items() if items}


def _samples(out: Path, model: str, task: str) -> list[Sample]:
    path = samples_path(out, model, task)
    return list(read_samples(path)) if path.is_file() else []


def _renamed(members: Sequence[_Member], part: str) -> list[Any]:
    """A part of all runs' results that is told by model, under the names of the comparison."""
    return [
        entry.model_copy(update={"model": each.name})
        for each in members
        for entry in getattr(each.results, part)
        if entry.model == each.model.name
    ]


def _overlap(members: Sequence[_Member]) -> OverlapCheck | None:
    """What any of the runs found: an item that one of them was trained on is marked for all that were trained."""
    checks = {each.label: each.results.overlap for each in members if each.results.overlap is not None}
    if not checks:
        return None
    first = next(check for check in checks.values() if check)
    matches = {(match.task, match.item): match for check in checks.values() if check for match in check.matches}
    models = [each.name for each in members if (check := checks.get(each.label)) and each.model.name in check.models]
    return first.model_copy(update={"matches": list(matches.values()), "models": models})


def _compared(
    members: Sequence[_Member], task: TaskInfo, metric: MetricInfo, left_out: dict[str, list[str]]
) -> RunsCompared:
    flat = {each.label: _flat(each.results.recipe) for each in members if each.model.kind != "base"}
    keys = {key for settings in flat.values() for key in settings}
    differing = sorted(key for key in keys if len({repr(settings.get(key)) for settings in flat.values()}) > 1)
    made = []
    for each in members:
        quality = next(
            (
                score.value
                for score in each.results.scores
                if (score.model, score.task, score.metric) == (each.model.name, task.name, metric.key)
            ),
            None,
        )
        training = each.results.training if each.model.kind != "base" else None
        settings = {} if each.model.kind == "base" else {key: flat[each.label].get(key) for key in differing}
        made.append(
            Configuration(
                model=each.name,
                run=each.label,
                settings=settings,
                quality=quality,
                training_seconds=training.seconds if training else None,
                peak_memory_bytes=training.peak_memory_bytes if training else None,
            )
        )
    sign = 1 if metric.higher_is_better else -1
    made = [each.model_copy(update={"on_front": _on_front(each, made, sign)}) for each in made]
    trained = [each for each in made if each.quality is not None and each.model in _adapters(members)]
    best = max(trained, key=lambda each: (sign * (each.quality or 0.0), -(each.training_seconds or 0.0)), default=None)
    way = "highest" if metric.higher_is_better else "lowest"
    rule = f"the {way} {metric.title} on {task.title}; of equals the one that trained faster"
    return RunsCompared(
        task=task.name,
        metric=metric.key,
        rule=rule,
        best=best.model if best else None,
        configurations=made,
        left_out=left_out,
    )


def _adapters(members: Sequence[_Member]) -> set[str]:
    return {each.name for each in members if each.model.kind != "base"}


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key; names and texts for people left out."""
    found: dict[str, Any] = {}
    for key, each in value.items():
        if isinstance(each, dict):
            found |= _flat(each, f"{prefix}{key}.")
        elif prefix or key == "seed":
            found[f"{prefix}{key}"] = each
    return {key: each for key, each in found.items() if not key.startswith("report.")}


def _costs(one: Configuration, sign: int) -> tuple[float, float, float] | None:
    if one.quality is None or one.training_seconds is None:
        return None
    return -sign * one.quality, one.training_seconds, float(one.peak_memory_bytes or 0)


def _on_front(one: Configuration, all_: Sequence[Configuration], sign: int) -> bool:
    """Whether no other is at least as good in everything and better in something."""
    mine = _costs(one, sign)
    others = [costs for each in all_ if each is not one and (costs := _costs(each, sign)) is not None]
    return mine is not None and not any(
        other != mine and all(left <= right for left, right in zip(other, mine, strict=True)) for other in others
    )


def _notes(members: Sequence[_Member], left_out: dict[str, list[str]]) -> list[str]:
    notes = [
        f"{task}: {len(items)} items are not answered alike by all compared models and are left out of the pairs that"
        f" they are missing in: {', '.join(items[:10])}{', ...' if len(items) > 10 else ''}"  # noqa: PLR2004
        for task, items in left_out.items()
    ]
    differing = [
        what
        for what in ("gpu", "cpu", "packages")
        if len({repr(each.results.environment.get(what)) for each in members}) > 1
    ]
    notes += [f"the runs differ in {what}; this report shows that of {members[0].label}" for what in differing]
    return notes + list(dict.fromkeys(note for each in members for note in each.results.notes))


def _verdict(results: Results, metric: MetricInfo) -> list[str]:
    compared = results.compared
    best = next((each for each in compared.configurations if each.model == compared.best), None) if compared else None
    if compared is None or best is None:
        return sentences(results)
    figure = value_text(best.quality, metric) if best.quality is not None else MISSING
    told = f"Best by {compared.rule}: {best.model} ({figure}). That is a choice among several on the same items, so"
    return [f"{told} its figure is a little flattering; confirm it on others.", *sentences(results)]
