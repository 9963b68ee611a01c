"""Compares the models of several runs in one results document: the same items are paired, others named and left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reports.comparison import compare_models
from reports.comparison.members import Member, members_of
from reports.comparison.ranking import quality_metric, ranked
from reports.comparison.verdict import sentences
from reports.document.configurations import RunsCompared
from reports.document.evidence import OverlapCheck
from reports.document.reading import read_samples, samples_of, samples_path
from reports.document.schema import Comparison, MetricInfo, Results, TaskInfo
from reports.errors import UserError
from reports.files import write_json, write_jsonl
from reports.numbers import join_words, value_text
from reports.version import __version__


def compare_runs(
    runs: Sequence[Path], out: Path, own: str, *, name: str = "comparison", by: str | None = None
) -> Results:
    """Write a run-like folder (`results.json`, `samples/`) that compares the models of several runs.

    Args:
        runs: At least one run folder, each scored and with its samples. Bases with equal weights count as one model.
        out: The folder to write.
        own: The name by which a run calls the adapter that its recipe trained.
        name: Of the comparison.
        by: Key of the metric that the best is told by; the first comparable one if not given.

    Raises:
        UserError: A run is missing or has no samples, or no run has the metric.
    """
    if out.resolve() in {run.resolve() for run in runs}:
        raise UserError("the comparison would overwrite one of its runs", where=str(out), fix="give another --out")
    members = members_of(runs, own)
    tasks = _tasks(members)
    task, metric = quality_metric(tasks, by)
    baseline = next((each.name for each in members if not each.is_trained), members[0].name)
    for member in members:
        for each in tasks:
            _copy_samples(member, each.name, out)
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
        compared=_with_claims(out, members, ranked(members, task, metric, left_out), metric),
        notes=_notes(members, left_out),
        **{
            part: _renamed(members, part)
            for part in ("scores", "costs", "classes", "confusion", "label_use", "problems")
        },
    )
    results = results.model_copy(update={"verdict": _verdict(results, metric)})
    write_json(out / "results.json", results.model_dump(mode="json"))
    return results


def _copy_samples(member: Member, task: str, out: Path) -> None:
    """Copy a model's samples under its name in the comparison; those of a task that its run has no score of are old."""
    path, copy = samples_path(member.run, member.model.name, task), samples_path(out, member.name, task)
    is_scored = any((score.model, score.task) == (member.model.name, task) for score in member.results.scores)
    if is_scored and path.is_file():
        write_jsonl(copy, (sample.model_dump(mode="json") | {"model": member.name} for sample in read_samples(path)))
    else:
        copy.unlink(missing_ok=True)


def _tasks(members: Sequence[Member]) -> list[TaskInfo]:
    tasks: dict[str, TaskInfo] = {}
    for each in members:
        for task in each.results.tasks:
            tasks.setdefault(task.name, task)
    return list(tasks.values())


def _comparisons(
    out: Path, members: Sequence[Member], tasks: Sequence[TaskInfo], baseline: str
) -> tuple[list[Comparison], dict[str, list[str]]]:
    """Every model against the baseline, corrected together, and by task the items that some pair does not share."""
    seed = members[0].results.seed
    tested: list[compare_models.Tested] = []
    left_out: dict[str, set[str]] = {}
    for member in members:
        for task in tasks:
            before, after = ([*samples_of(out, name, task.name)] for name in (baseline, member.name))
            if member.name == baseline or not before or not after:
                continue
            for metric in task.metrics:
                comparison, unpaired = compare_models.compare(metric, before, after, seed=seed)
                tested.append(comparison)
                left_out.setdefault(task.name, set()).update(unpaired)
    return compare_models.judge(tested), {task: sorted(items) for task, items in left_out.items() if items}


def _with_claims(out: Path, members: Sequence[Member], compared: RunsCompared, metric: MetricInfo) -> RunsCompared:
    """The comparison of runs with the models that the best is shown to be better than.

    The best is chosen among all trained models by their scores, so the correction is over all pairs of them.
    """
    rivals = [each.name for each in members if each.is_trained and each.name != compared.best]
    best = [*samples_of(out, compared.best, compared.task)] if compared.best else []
    tested = {}
    for name in rivals:
        samples = [*samples_of(out, name, compared.task)]
        if best and samples:
            tested[name] = compare_models.compare(metric, samples, best, seed=members[0].results.seed)[0]
    pairs = len(rivals) * (len(rivals) + 1) // 2
    judged = compare_models.judge([*tested.values()], others=pairs - len(tested), apart=True)
    better = [name for name, each in zip(tested, judged, strict=True) if each.outcome == "better"]
    rest = [name for name in rivals if name not in better]
    return compared.model_copy(update={"better_than": better, "not_distinguished": rest if compared.best else []})


def _renamed(members: Sequence[Member], part: str) -> list[Any]:
    """A part of all runs' results that is told by model, under the names of the comparison."""
    return [
        entry.model_copy(update={"model": each.name})
        for each in members
        for entry in getattr(each.results, part)
        if entry.model == each.model.name
    ]


def _overlap(members: Sequence[Member]) -> OverlapCheck | None:
    """What any of the runs found: an item that one of them was trained on is marked for all that were trained."""
    checks = {each.label: each.results.overlap for each in members if each.results.overlap is not None}
    if not checks:
        return None
    # In their runs the models have other names, by which the marks would be lost.
    matches = {
        (match.task, match.item): match.model_copy(update={"models": []})
        for check in checks.values()
        for match in check.matches
    }
    items: dict[str, int] = {}
    for found in checks.values():
        items = found.items | items
    models = [each.name for each in members if (check := checks.get(each.label)) and each.model.name in check.models]
    first = next(iter(checks.values()))
    unsearched = {task: ids for check in checks.values() for task, ids in check.unsearched.items()}
    rows = list(dict.fromkeys(row for check in checks.values() for row in check.unsearched_rows))
    return first.model_copy(
        update={
            "matches": list(matches.values()),
            "models": models,
            "items": items,
            "unsearched": unsearched,
            "unsearched_rows": rows,
        }
    )


def _notes(members: Sequence[Member], left_out: dict[str, list[str]]) -> list[str]:
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
    claims = [
        f"{text} {join_words(names)}"
        for text, names in (
            ("It is shown to be better than", compared.better_than),
            ("It is not distinguishable from", compared.not_distinguished),
        )
        if names
    ]
    return [
        f"Best by {compared.rule}: {best.model} ({value_text(best.quality, metric)}). "
        + "".join(f"{claim}. " for claim in claims)
        + "It was chosen among several, so its score is a little flattering; confirm it on other items.",
        *sentences(results),
    ]
