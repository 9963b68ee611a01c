"""Read a run folder: its results document, and its samples one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reports.document.checks import check_numbers, check_shown
from reports.document.checksums import verified_facts
from reports.document.schema import SCHEMA_VERSION, Results, Sample
from reports.errors import UserError
from reports.files import read_json, read_located_jsonl, sha256_value, write_json
from reports.strict import Model, checked
from reports.text import SHOWN_CHARACTERS, cut, map_texts, replace_surrogates, visible


def read_results(run: Path) -> Results:
    """Read the results document of a run folder, or a `results.json`.

    Raises:
        UserError: It is missing, broken, of an incompatible schema version, or cannot be shown.
    """
    path = run / "results.json" if run.is_dir() or run.suffix != ".json" else run
    results = read_document(
        path,
        Results,
        SCHEMA_VERSION,
        what="a results document",
        later="use the medbench version that wrote it, or re-run",
        broken="re-run",
    )
    check_shown(results, str(path), fix="re-run")
    return results


def displayed_results(results: Results, most: int = SHOWN_CHARACTERS) -> Results:
    """Copy of the results whose texts are visible and at most so many characters long, for pages and plots."""
    return Results.model_validate(map_texts(results.model_dump(), lambda text: visible(cut(text, most))))


def write_results(run: Path, results: Results) -> None:
    """Write the results document of a run folder, with the checksum of its values.

    Raises:
        MachineError: The folder cannot be written to, or the disk is full.
    """
    value = results.model_dump(mode="json", exclude={"checksum"})
    write_json(run / "results.json", value | {"checksum": sha256_value(value)})


def read_scored(run: Path) -> Results:
    """Read the results document of a run folder.

    Raises:
        UserError: The run was not scored yet, or as `read_results`.
    """
    if not (run / "results.json").is_file():
        raise UserError("the folder has no results.json", where=str(run), fix="score first: medbench score")
    return read_results(run)


def read_document(path: Path, kind: type[Model], version: str, *, what: str, later: str, broken: str) -> Model:
    """Read a JSON document with a `schema_version` and validate it; lone surrogates in its texts are replaced.

    Args:
        path: The file.
        kind: Model of the document.
        version: The supported schema version; another major version is an error.
        what: Name of the document, for messages.
        later: Advice for an unsupported version.
        broken: Advice for an invalid document.

    Raises:
        UserError: It is missing, broken, or of another version.
    """
    value = read_json(path)
    actual = str(value.get("schema_version", "")) if isinstance(value, dict) else ""
    if actual.partition(".")[0] != version.partition(".")[0]:
        raise UserError(
            f"its schema version is {actual[:20] or 'missing'}, this medbench reads {version}",
            where=str(path),
            fix=later,
        )
    check_numbers(value, str(path), fix=broken)
    return checked(kind, map_texts(value, replace_surrogates), what=what, where=str(path), fix=broken)


def samples_path(run: Path, model: str, task: str) -> Path:
    """Path of the samples of one model on one task in a run folder."""
    return run / "samples" / model / f"{task}.jsonl"


def samples_of(run: Path, model: str, task: str) -> Iterator[Sample]:
    """Read the samples of one model on one task in a run folder; none if the file is missing.

    Raises:
        UserError: As `read_samples`.
    """
    path = samples_path(run, model, task)
    return read_samples(path) if path.is_file() else iter(())


def read_samples(path: Path) -> Iterator[Sample]:
    """Read the samples of a file.

    Raises:
        UserError: A line is not a sample, which the message names; or the file was changed since it was written.
    """
    return (sample for _, sample in locate_samples(path))


def locate_samples(path: Path) -> Iterator[tuple[int, Sample]]:
    """Yield (byte offset, sample) for every sample; `sample_at` reads single ones again.

    Raises:
        UserError: As `read_samples`.
    """
    verified_facts(path)
    for number, start, row in read_located_jsonl(path):
        yield start, checked_sample(Sample, row, f"{path}, line {number}")


def sample_at(path: Path, offset: int) -> Sample:
    """Read the sample whose line starts at this byte."""
    with path.open("rb") as stream:
        stream.seek(offset)
        return checked_sample(Sample, json.loads(stream.readline().decode("utf-8-sig")), f"{path}, byte {offset}")


def checked_sample(kind: type[Model], row: Any, where: str) -> Model:
    """Validate a line of a samples file as a `Sample`, or as a model of a part of it.

    Raises:
        UserError: The line is not a sample.
    """
    return checked(kind, row, what="a sample", where=where, fix="score again")
