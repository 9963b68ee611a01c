"""Compare the models of several runs in one results document, on the items that they share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reports.comparison import compare_models
from reports.comparison.members import Member, members_of
from reports.comparison.ranking import quality_metric, ranked
from reports.comparison.verdict import sentences
from reports.document.checksums import remove_facts, write_samples
from reports.document.configurations import RunsCompared
from reports.document.evidence import OverlapCheck
from reports.document.reading import read_samples, samples_of, samples_path
from reports.document.schema import Comparison, MetricInfo, Results, TaskInfo
from reports.errors import UserError
from reports.files import write_json
from reports.numbers import join_words, value_text
from reports.version import __version__


def compare_runs(
    runs: Sequence[Path], out: Path, own: str, *, name: str = "comparison", by: str | None = None
) -> Results:
    """Write a run-like folder (`results.json`, `samples/`) that compares the models of several runs.

    Args:
        runs: At least one run folder, each with scores and samples. Bases with equal weights count as one model.
        out: The folder to write.
        own: Name that runs give to the adapter trained by their recipe.
        name: Name of the comparison.
        by: Key of the metric that ranks the models; by default the first comparable one.

    Raises:
        UserError: A run is missing or has no samples, or no run has the metric.
    """
    if out.resolve() in {run.resolve() for run in runs}:
        raise UserError("the comparison would overwrite one of its runs", where=str(out), fix="give another --out")
    members = members_of(runs, own)
    tasks = _tasks(members)
    task, metric = quality_metric(tasks, by)
    baseline = next((member.name for member in members if not member.is_trained), members[0].name)
    for member in members:
        for shared in tasks:
            _copy_samples(member, shared.name, out)
    comparisons, left_out = _comparisons(out, members, tasks, baseline)
    first = members[0].results
    results = Results(
        medbench_version=__version__,
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"compare {' '.join(dict.fromkeys(member.label for member in members))}",
        seed=first.seed,
        baseline=baseline,
        recipe=first.recipe | {"report": first.recipe.get("report", {}) | {"title": name}},
        environment=first.environment,
        models=[member.model.model_copy(update={"name": member.name}) for member in members],
        base=first.base if all(member.results.base == first.base for member in members) else None,
        data=list({(data.role, data.sha256): data for member in members for data in member.results.data}.values()),
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
    """Copy a model's samples under its name in the comparison, unless they are leftovers of a task without a score."""
    path, copy = samples_path(member.run, member.model.name, task), samples_path(out, member.name, task)
    is_scored = any((score.model, score.task) == (member.model.name, task) for score in member.results.scores)
    if is_scored and path.is_file():
        write_samples(copy, (sample.model_copy(update={"model": member.name}) for sample in read_samples(path)))
    else:
        remove_facts(copy)
        copy.unlink(missing_ok=True)


def _tasks(members: Sequence[Member]) -> list[TaskInfo]:
    tasks: dict[str, TaskInfo] = {}
    for member in members:
        for task in member.results.tasks:
            tasks.setdefault(task.name, task)
    return list(tasks.values())


def _comparisons(
    out: Path, members: Sequence[Member], tasks: Sequence[TaskInfo], baseline: str
) -> tuple[list[Comparison], dict[str, list[str]]]:
    """Compare every model with the baseline, corrected together; also the items, by task, that some pair lacks."""
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
    """Add the models that the best is shown to be better than.

    The best is chosen among all trained models by score, so the correction is over all pairs of them.
    """
    rivals = [member.name for member in members if member.is_trained and member.name != compared.best]
    best = [*samples_of(out, compared.best, compared.task)] if compared.best else []
    tested = {}
    for name in rivals:
        samples = [*samples_of(out, name, compared.task)]
        if best and samples:
            tested[name] = compare_models.compare(metric, samples, best, seed=members[0].results.seed)[0]
    pairs = len(rivals) * (len(rivals) + 1) // 2
    judged = compare_models.judge([*tested.values()], others=pairs - len(tested), apart=True)
    better = [name for name, pair in zip(tested, judged, strict=True) if pair.outcome == "better"]
    rest = [name for name in rivals if name not in better]
    return compared.model_copy(update={"better_than": better, "not_distinguished": rest if compared.best else []})


def _renamed(members: Sequence[Member], part: str) -> list[Any]:
    """A per-model part of all runs' results, under the names of the comparison."""
    return [
        entry.model_copy(update={"model": member.name})
        for member in members
        for entry in getattr(member.results, part)
        if entry.model == member.model.name
    ]


def _overlap(members: Sequence[Member]) -> OverlapCheck | None:
    """Merge the runs' overlap checks: an item that one model was trained on is marked for all trained models."""
    checks = {member.label: member.results.overlap for member in members if member.results.overlap is not None}
    if not checks:
        return None
    # The models have other names in their runs, so matches by name would be lost.
    matches = {
        (match.task, match.item): match.model_copy(update={"models": []})
        for check in checks.values()
        for match in check.matches
    }
    items: dict[str, int] = {}
    for check in checks.values():
        items = check.items | items
    models = [
        member.name
        for member in members
        if (own := checks.get(member.label)) is not None and member.model.name in own.models
    ]
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
        f"{task}: {len(items)} items were not answered by all compared models, or differ between the runs, and are left"
        f" out of the comparisons that lack them: {', '.join(items[:10])}{', ...' if len(items) > 10 else ''}"  # noqa: PLR2004
        for task, items in left_out.items()
    ]
    differing = [
        fact
        for fact in ("gpu", "cpu", "packages")
        if len({repr(member.results.environment.get(fact)) for member in members}) > 1
    ]
    notes += [f"the runs differ in {fact}; this report shows that of {members[0].label}" for fact in differing]
    return notes + list(dict.fromkeys(note for member in members for note in member.results.notes))


def _verdict(results: Results, metric: MetricInfo) -> list[str]:
    compared = results.compared
    best = next((item for item in compared.configurations if item.model == compared.best), None) if compared else None
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
        f"The best model is {compared.rule}: {best.model} ({value_text(best.quality, metric)}). "
        + "".join(f"{claim}. " for claim in claims)
        + "It was chosen among several models, so its score is slightly optimistic; confirm it on other items.",
        *sentences(results),
    ]
