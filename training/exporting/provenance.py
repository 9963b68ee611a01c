"""Training data of a model: the record beside its weights, valid only if it has their hash, and its rows."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reports.errors import UserError
from reports.files import read_json
from reports.strict import checked
from training.exporting.export_log import EXPORT_FILE, ExportLog
from training.finetune import rows_hash
from training.log import FILE, TrainedOn, TrainingLog, read_log
from training.models.model import Model
from training.recipes.recipe_file import check_recipe
from training.splits import TrainingRows, training_rows


def records(model: Model) -> list[TrainedOn]:
    """Fine-tunes recorded beside a model's weights; empty for a base that medbench did not export.

    Raises:
        UserError: Another model has no record, or the record names other weights, or says that the rows are unknown.
    """
    log: TrainingLog | ExportLog | None
    if model.is_served:
        raise UserError("a server does not say")
    if model.is_adapter:
        name, log = FILE, read_log(model.folder)
        if log is None:
            raise UserError(f"no {FILE} beside it records the rows")
        trained_on: list[TrainedOn] | None = [log.trained_on]
    else:
        name, log = _log_path(model).name, export_log(model)
        if log is None:
            if model.is_base:
                return []
            raise UserError(f"no {name} beside it records the rows")
        trained_on = log.trained_on
    if not _is_of(log, model):
        raise UserError(f"{name} does not record the hash of these weights")
    if trained_on is None:
        raise UserError(f"{name} says that the rows are unknown")
    return trained_on


def export_log(model: Model) -> ExportLog | None:
    """What medbench's export wrote beside a whole model; None if it did not export it.

    Raises:
        UserError: It is no such log.
    """
    path = _log_path(model)
    if not path.is_file():
        return None
    return checked(ExportLog, read_json(path), what="the log of an export", where=path.name, fix="export again")


def _log_path(model: Model) -> Path:
    return model.folder / EXPORT_FILE if model.file is None else gguf_log_path(model.file)


def _is_of(log: TrainingLog | ExportLog, model: Model) -> bool:
    """Whether a log records the hash of a model's weights, or of its GGUF file."""
    if model.file is None:
        return log.weights_sha256 == model.sha256
    return isinstance(log, ExportLog) and log.gguf is not None and log.gguf.sha256 == model.file_sha256


def unrecorded_base(model: Model) -> str:
    """Hash of the weights that a model's export merged an adapter into, unless what they were trained on is recorded.

    Empty if there is no export of these weights.
    """
    with contextlib.suppress(UserError):
        log = export_log(model)
        if log is not None and _is_of(log, model) and len(log.trained_on or ()) < 2:  # noqa: PLR2004 - the adapter's and its base's
            return log.base_sha256
    return ""


def gguf_log_path(file: Path) -> Path:
    """Where `medbench export --gguf` saves the log of a file: FILE.gguf.json beside it."""
    return file.with_name(f"{file.name}.json")


def recorded_rows(model: Model) -> TrainingRows | None:
    """Rows of all fine-tunes recorded beside a model's weights, read again; None if `records` is empty.

    Raises:
        UserError: As `records` and `rows_of`.
    """
    return rows_of(records(model))


def rows_of(trained_on: Sequence[TrainedOn]) -> TrainingRows | None:
    """Rows of recorded fine-tunes, read again; None if there are none.

    Raises:
        UserError: The data cannot be read, or has changed since.
    """
    parts = []
    for record in trained_on:
        # Logs of earlier versions do not record the format, and so read all rows, with reasoning or without.
        rows = training_rows(check_recipe({"format": {"name": "plain"}, **record.recipe}, FILE))
        if rows_hash(rows.train) != record.data_sha256:
            raise UserError("its training data has changed since", where=str(record.recipe["data"]["train"]["source"]))
        parts.append(replace(rows, choosing=frozenset(record.choosing)))
    return combined(parts) if parts else None


def combined(parts: Sequence[TrainingRows]) -> TrainingRows:
    """Rows of fine-tunes; of several, only those validation rows that select a checkpoint."""
    if len(parts) == 1:
        return parts[0]
    chosen = [row for rows in parts if rows.validation_selects_checkpoint for row in rows.validation]
    choosing = frozenset[str]().union(*(rows.choosing for rows in parts))
    return TrainingRows([row for rows in parts for row in rows.train], chosen, bool(chosen), choosing)
