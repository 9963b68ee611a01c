"""Reads what a run left behind: its results document, and its samples one by one, however many they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reports.document.schema import SCHEMA_VERSION, Results, Sample
from reports.errors import UserError
from reports.files import read_json, read_jsonl, read_located_jsonl
from reports.strict import Model, checked


def read_results(run: Path) -> Results:
    """The results document of a run folder, or of a `results.json` itself.

    Raises:
        UserError: It is missing, broken, or of another schema than this medbench's.
    """
    path = run / "results.json" if run.is_dir() or run.suffix != ".json" else run
    return read_document(
        path,
        Results,
        SCHEMA_VERSION,
        what="a results document",
        later="use the medbench that wrote it, or run again",
        broken="run again",
    )


def read_scored(run: Path) -> Results:
    """The results document of a run folder.

    Raises:
        UserError: The run was not scored yet, or as `read_results` does.
    """
    if not (run / "results.json").is_file():
        raise UserError("there is no results.json in it", where=str(run), fix="score first: medbench score")
    return read_results(run)


def read_document(path: Path, kind: type[Model], version: str, *, what: str, later: str, broken: str) -> Model:
    """A JSON document that says its `schema_version`, checked against its model.

    Args:
        path: The file.
        kind: Its model.
        version: The schema's version here; another first number is another schema.
        what: What it should be, in words.
        later: What to do about another version.
        broken: What to do where it is no such document.

    Raises:
        UserError: It is missing, broken, or of another version.
    """
    value = read_json(path)
    found = str(value.get("schema_version", "")) if isinstance(value, dict) else ""
    if found.partition(".")[0] != version.partition(".")[0]:
        raise UserError(
            f"its schema version is {found[:20] or 'missing'}, this medbench reads {version}",
            where=str(path),
            fix=later,
        )
    return checked(kind, value, what=what, where=str(path), fix=broken)


def samples_path(run: Path, model: str, task: str) -> Path:
    """Where the samples of one model on one task lie in a run folder."""
    return run / "samples" / model / f"{task}.jsonl"


def samples_of(run: Path, model: str, task: str) -> Iterator[Sample]:
    """The samples of one model on one task in a run folder; none where it has no file of them.

    Raises:
        UserError: A line is not a sample; the message names it.
    """
    path = samples_path(run, model, task)
    return read_samples(path) if path.is_file() else iter(())


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a file.

    Raises:
        UserError: A line is not a sample; the message names it.
    """
    for number, row in read_jsonl(path):
        yield checked_sample(Sample, row, f"{path}, line {number}")


def locate_samples(path: Path) -> Iterator[tuple[int, Sample]]:
    """(offset in bytes, sample) of every sample, so that a few of many can be read again by `sample_at`.

    Raises:
        UserError: A line is not a sample; the message names it.
    """
    for number, start, row in read_located_jsonl(path):
        yield start, checked_sample(Sample, row, f"{path}, line {number}")


def sample_at(path: Path, offset: int) -> Sample:
    """The sample whose line starts at this byte."""
    with path.open("rb") as stream:
        stream.seek(offset)
        return checked_sample(Sample, json.loads(stream.readline().decode("utf-8-sig")), f"{path}, byte {offset}")


def checked_sample(kind: type[Model], row: Any, where: str) -> Model:
    """A line of a samples file as a whole sample, or as what another model keeps of one.

    Raises:
        UserError: It is none.
    """
    return checked(kind, row, what="a sample", where=where, fix="score again")
