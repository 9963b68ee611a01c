"""Answers of a run that models judged: where the replies are, and their part of the results document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from harness.folder import RunFolder
from reports.document.checksums import verified_facts
from reports.document.evidence import HUMAN_RATING
from reports.document.judging import JudgedReply, Judging, JudgingInfo
from reports.document.reading import read_samples, samples_of
from reports.document.schema import Results, Sample
from reports.errors import UserError
from reports.files import read_jsonl
from reports.judging.calibration import calibrate
from reports.judging.summary import current_replies, summarise
from reports.rating_sheet import output_hash, read_key
from reports.strict import checked

_FIX = "judge again: medbench judge RUN"


def judging_path(folder: RunFolder, judge: str, rubric: str) -> Path:
    """The replies of one judge by one rubric; what they rest on is beside them."""
    return folder.judging / judge / f"{rubric}.jsonl"


def read_judging(path: Path) -> tuple[JudgingInfo, list[JudgedReply]]:
    """(what the replies rest on, the replies) of a file.

    Raises:
        UserError: They were changed since they were written, or are no replies of a judge.
    """
    facts = verified_facts(path, required=True)
    info = checked(JudgingInfo, facts.get("judging"), what="facts on judged answers", where=str(path), fix=_FIX)
    rows = [
        checked(JudgedReply, row, what="a judge's reply", where=f"{path}, line {number}", fix=_FIX)
        for number, row in read_jsonl(path)
    ]
    return info, rows


def judging_files(folder: RunFolder) -> Iterator[Path]:
    """The files of replies in a run folder whose facts are there, so that they are complete."""
    for path in sorted(folder.judging.glob("*/*.jsonl")):
        if path.with_suffix(".json").is_file():
            yield path


def read_answers(run: Path, model: str, task: str) -> dict[str, Sample]:
    """The first answer of a model to each item.

    Raises:
        UserError: The run has none.
    """
    path = RunFolder(run).samples(model, task)
    if not path.is_file():
        raise UserError(
            f"the run holds no answers of {model} to {task}",
            where=str(run),
            fix="name others with --models or --task, or have them answered: medbench score --out RUN --tasks TASK",
        )
    return {sample.id: sample for sample in read_samples(path) if sample.repeat == 0}


def add_judging(results: Results, folder: RunFolder) -> Results:
    """The results with all judged answers that the run folder holds, calibrated where people rated them too."""
    return results.model_copy(update={"judging": [_judging(results, folder, path) for path in judging_files(folder)]})


def _judging(results: Results, folder: RunFolder, path: Path) -> Judging:
    info, rows = read_judging(path)
    present = {model.name for model in results.models}
    outputs = output_hashes(folder, info.task, {name for row in rows for name in row.models} & present)
    judging = summarise(info, rows, outputs, baseline=results.baseline, seed=results.seed)
    if results.ratings is None or results.ratings.task != info.task:
        return judging
    calibration = calibrate(
        info,
        current_replies(rows, outputs),
        _marks(results, folder),
        baseline=results.baseline,
        draw=read_key(folder.ratings).draw,
    )
    return judging.model_copy(update={"calibration": calibration})


def output_hashes(folder: RunFolder, task: str, models: set[str]) -> dict[tuple[str, str], str]:
    """Hash of each answer by model and item."""
    return {
        (model, sample.id): output_hash(sample)
        for model in models
        for sample in samples_of(folder.path, model, task)
        if sample.repeat == 0
    }


def _marks(results: Results, folder: RunFolder) -> dict[str, dict[str, dict[str, float]]]:
    """Mean marks of people by model, item and aspect."""
    marks: dict[str, dict[str, dict[str, float]]] = {}
    for model in results.models:
        given: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for sample in samples_of(folder.path, model.name, HUMAN_RATING):
            for key, value in sample.metrics.items():
                if isinstance(value, float):
                    given[sample.id][key].append(value)
        if given:
            marks[model.name] = {item: {key: fmean(all_) for key, all_ in of.items()} for item, of in given.items()}
    return marks
