"""`medbench rate`: hands answers out to be rated blindly, takes the marks back, and adds them to results and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from harness.folder import RunFolder
from harness.runs.judged_answers import add_judging, judging_files, output_hashes, read_answers, read_judging
from harness.runs.showing import report_stage
from reports.comparison import compare_models
from reports.comparison.agreement import agreement
from reports.comparison.verdict import sentences
from reports.document.checksums import write_samples
from reports.document.evidence import HUMAN_RATING, RatingSummary
from reports.document.judging import JudgedReply, JudgingInfo
from reports.document.reading import read_results, write_results
from reports.document.schema import MetricInfo, Results, Sample, TaskInfo
from reports.errors import UserError
from reports.files import read_json, write_json
from reports.judging.calibration import draw_items, make_strata
from reports.judging.summary import current_replies
from reports.judging_tables import calibration_table, judging_sentences
from reports.rating_sheet import (
    ASPECTS,
    Draw,
    Key,
    Rating,
    make_sheet,
    output_hash,
    rater_of,
    read_key,
    read_sheet,
    remove_key,
)
from tasks import catalog
from tasks.data.splits import seeded_order

if TYPE_CHECKING:
    from harness.console import Terminal

_MARKS = "ratings.json"
_WAIT_SECONDS = 60.0  # for other raters' sheets that are imported at the same time
_METRICS = [
    MetricInfo(key=key, title=title, higher_is_better=True, description=f"{question} Marks from 1 to 5.", relevant=0.1)
    for key, (title, question) in ASPECTS.items()
]


def export(
    run: Path,
    items: int,
    models: Sequence[str] | None,
    task: str | None,
    *,
    for_judge: bool = False,
    more: bool = False,
    again: bool = False,
) -> Path:
    """Write a blinded sheet of some items with all models' answers; returns the folder that it is in.

    The items are a simple random sample, or `for_judge` a random sample within strata of the judge's ratings. With
    `more` they are further items, drawn as the earlier ones were, whose marks stay.

    Raises:
        UserError: The run has no such answers, no judge rated them, all are drawn, or a sheet is there already.
    """
    results, folder = read_results(run), RunFolder(run)
    before = read_key(folder.ratings) if more else None
    if before is not None and (models or task or for_judge or again):
        raise UserError("more items are drawn as the earlier ones were", where="--more", fix="leave other flags out")
    rated = before.task if before else task or catalog.GENERATION
    names = list(models or [model.name for model in results.models if model.kind != "pool"])
    if before is not None:
        names = list(dict.fromkeys(entry.model for entry in before.codes.values()))
    answers = {name: read_answers(run, name, rated) for name in names}
    shared = [item for item in answers[names[0]] if all(item in by_item for by_item in answers.values())]
    drawn_before = {entry.item for entry in before.codes.values()} if before else set()
    draw = before.draw if before else None
    if for_judge:
        draw = _draw_for_judge(folder, results, names, rated)
    if draw is None:
        order = [shared[index] for index in seeded_order(len(shared), results.seed)]
        chosen = [item for item in order if item not in drawn_before][:items]
    else:
        chosen = draw_items(draw, items, drawn_before, seed=results.seed)
    if not chosen:
        raise UserError("all items are on a sheet already", where=str(run), fix="score more items to rate more")
    with folder.lock(wait=_WAIT_SECONDS):
        if (folder.ratings / "key.json").is_file() and not (again or more):
            fix = "use it, add --more for further items, or --again for a new one"
            raise UserError("a sheet exists already, and its ratings would be lost", where=str(folder.ratings), fix=fix)
        if not more:
            remove_key(folder.ratings)  # first, so that what a kill leaves is not taken for a whole sheet
            (folder.ratings / _MARKS).unlink(missing_ok=True)  # they are of the codes of the sheet that is replaced
        make_sheet(answers, chosen, rated, folder.ratings, draw=draw, before=before)
    return folder.ratings


def _draw_for_judge(folder: RunFolder, results: Results, names: Sequence[str], task: str) -> Draw:
    """Strata by the ratings of the judge that rated most of the aspects that people rate, and of these most answers.

    Raises:
        UserError: No judge rated these models by such aspects.
    """
    candidates = [name for name in names if name != results.baseline]
    usable = [
        (info, current_replies(rows, output_hashes(folder, task, {name for row in rows for name in row.models})))
        for info, rows in map(read_judging, judging_files(folder))
        if info.task == task and info.kind == "scores" and {metric.key for metric in info.metrics} & ASPECTS.keys()
    ]
    if results.baseline not in names or not candidates or not usable:
        what = "no judge has rated answers of two models by the aspects of the sheet"
        raise UserError(what, where=str(folder.path), fix="judge them first: medbench judge RUN --rubric five-aspects")
    info, replies = max(usable, key=_rated_amount)
    of_model = [{reply.id for reply in replies if reply.models == [name]} for name in names]
    own = [reply for reply in replies if reply.id in set.intersection(*of_model)]
    return make_strata(info, own, (results.baseline, candidates[0]), seed=results.seed)


def _rated_amount(judging: tuple[JudgingInfo, list[JudgedReply]]) -> tuple[int, int]:
    """(aspects of the sheet, answers) that a judge rated; replies that are no rating show no difference to draw by."""
    info, replies = judging
    aspects = {metric.key for metric in info.metrics} & ASPECTS.keys()
    return len(aspects), sum(reply.status == "rated" for reply in replies)


def import_sheets(run: Path, sheets: Sequence[Path], terminal: Terminal) -> Results:
    """Unblind filled sheets, one per rater, add their scores to the run's results, and write its report again.

    Marks that were imported before stay; a rater whose sheet is imported again has the new marks only, for its rows.

    Raises:
        UserError: A sheet is broken or of another run, two have the same name, or none holds a mark.
    """
    folder = RunFolder(run)
    key = read_key(folder.ratings)
    names = [rater_of(path) for path in sheets]
    if len(set(names)) < len(names):
        raise UserError(
            "two sheets have the same name", where=", ".join(map(str, sheets)), fix="name each by its rater"
        )
    rows = [rating for path in sheets for rating in read_sheet(path, key)]
    ratings = [rating for rating in rows if rating.marks]
    if not ratings:
        raise UserError("there is no mark in them", where=", ".join(map(str, sheets)), fix="fill the sheets in")
    with folder.lock(wait=_WAIT_SECONDS):
        results = read_results(run)
        imported = _imported(folder.ratings / _MARKS, key)
        given = {(rating.rater, rating.code) for rating in rows}
        earlier = [rating for rating in imported if (rating.rater, rating.code) not in given]
        write_json(folder.ratings / _MARKS, [asdict(rating) for rating in (*earlier, *ratings)])
        with_them = add_judging(add_ratings(results, folder), folder)
        write_results(run, with_them)
    if earlier:
        raters = ", ".join(dict.fromkeys(rating.rater for rating in earlier))
        terminal.say(f"imported before and still counted: {len(earlier)} answers rated by {raters}")
    if replaced := [rating.rater for rating in imported if (rating.rater, rating.code) in given]:
        raters = ", ".join(dict.fromkeys(replaced))
        terminal.say(f"replaced: {len(replaced)} answers rated by {raters}, whose sheet was imported before")
    report_stage(folder, with_them, terminal)
    for judging in with_them.judging:
        if (table := calibration_table(judging)) is not None:
            terminal.heading(f"{judging.title}, judged by {judging.judge.name}, calibrated by people")
            terminal.table(table.columns, table.rows)
            for sentence, is_warning in judging_sentences(judging):
                terminal.say(sentence, style="yellow" if is_warning else "")
    return with_them


def add_ratings(results: Results, folder: RunFolder) -> Results:
    """The results with the ratings that the run folder holds, as one more task; unchanged where it holds none.

    Marks of answers that a model has changed since are left out and counted.
    """
    if not (folder.ratings / _MARKS).is_file():
        return results
    key = read_key(folder.ratings)
    ratings = _imported(folder.ratings / _MARKS, key)
    present = {model.name for model in results.models}
    current = {
        (model, item): output_hash(sample)
        for model in {entry.model for entry in key.codes.values()} & present
        for item, sample in read_answers(folder.path, model, key.task).items()
    }
    valid = [
        rating
        for rating in ratings
        for entry in [key.codes[rating.code]]
        if current.get((entry.model, entry.item)) == entry.output_sha256
    ]
    samples = _samples(key, valid)
    for model, several in samples.items():
        write_samples(folder.samples(model, HUMAN_RATING), several)
    return _with_task(results, key, ratings, valid, samples)


def _imported(path: Path, key: Key) -> list[Rating]:
    """The ratings that were imported before; none if the file is missing.

    Raises:
        UserError: The file is broken, or holds codes of another sheet.
    """
    fix = "remove the file and import all sheets again"
    if not path.is_file():
        return []
    try:
        ratings = TypeAdapter(list[Rating]).validate_python(read_json(path))
    except ValidationError as error:
        raise UserError("not the ratings of a run", where=str(path), fix=fix) from error
    strange = next((rating.code for rating in ratings if rating.code not in key.codes), None)
    if strange is not None:
        raise UserError(f"the code {strange[:60]!r} is of another sheet", where=str(path), fix=fix)
    return ratings


def _samples(key: Key, ratings: Sequence[Rating]) -> dict[str, list[Sample]]:
    """Marks as samples by model: one for each answer and rater, so that the raters of an answer are averaged."""
    raters = {name: number for number, name in enumerate(dict.fromkeys(rating.rater for rating in ratings))}
    by_model: dict[str, list[Sample]] = {}
    for rating in ratings:
        entry = key.codes[rating.code]
        sample = Sample(
            id=entry.item,
            doc_hash=entry.doc_hash,
            model=entry.model,
            task=HUMAN_RATING,
            prompt="",
            output="",
            gold="",
            metrics={name: float(mark) for name, mark in rating.marks.items()},
            repeat=raters[rating.rater],
        )
        by_model.setdefault(entry.model, []).append(sample)
    return by_model


def _with_task(
    results: Results, key: Key, ratings: Sequence[Rating], valid: Sequence[Rating], samples: dict[str, list[Sample]]
) -> Results:
    raters, answers = len({rating.rater for rating in valid}), len({rating.code for rating in valid})
    rated = next((task for task in results.tasks if task.name == key.task), None)
    task = TaskInfo(
        name=HUMAN_RATING,
        title="Human rating (1 to 5, blinded)",
        setting=f"{answers} answers to {key.task}, {raters} raters",
        synthetic=rated is not None and rated.synthetic,
        metrics=_METRICS,
        version="1.0",
        label="human rating",
    )
    scores = [
        compare_models.score(metric, several, None, seed=results.seed)
        for several in samples.values()
        for metric in _METRICS
    ]
    comparisons = compare_models.judge(
        [
            compare_models.compare(metric, samples[results.baseline], several, seed=results.seed)[0]
            for model, several in samples.items()
            if model != results.baseline and results.baseline in samples
            for metric in _METRICS
        ]
    )
    rated_results = results.model_copy(
        update={
            "tasks": [*(info for info in results.tasks if info.name != HUMAN_RATING), task],
            "scores": [*(score for score in results.scores if score.task != HUMAN_RATING), *scores],
            "comparisons": [
                *(comparison for comparison in results.comparisons if comparison.task != HUMAN_RATING),
                *comparisons,
            ],
            "ratings": RatingSummary(
                task=key.task,
                raters=raters,
                answers=answers,
                outdated=len({rating.code for rating in ratings}) - answers,
                agreement={name: agreement(valid, name) for name in ASPECTS},
            ),
        }
    )
    return rated_results.model_copy(update={"verdict": sentences(rated_results)})
