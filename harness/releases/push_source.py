"""Finds what `medbench push` sends: an adapter or an exported model, whose files are those that were written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.folder import RunFolder
from reports.errors import UserError
from reports.files import read_json
from reports.strict import checked
from training.exporting.export_log import EXPORT_FILE, ExportLog
from training.log import check_hashes
from training.models.adapters import CONFIG, adapter_hashes, read_settings
from training.models.base_model import config_hash, weights_hash
from training.models.links import refuse_links_out


@dataclass(frozen=True)
class Source:
    """A model's folder, the run that scored it if any, and the hashes of its adapter: of weights and settings."""

    model: Path
    run: RunFolder | None
    adapter: tuple[str, str]


def find_source(source: Path) -> Source:
    """What is to be pushed.

    Raises:
        UserError: The folder is no run with an adapter, no adapter and no export.
    """
    run = RunFolder(source)
    if (run.adapter / CONFIG).is_file():
        return Source(run.adapter, run, _checked_adapter(run.adapter))
    parent = RunFolder(source.resolve().parent)
    scored = parent if parent.results.is_file() else None
    if (source / CONFIG).is_file():
        return Source(source, scored, _checked_adapter(source))
    if (source / EXPORT_FILE).is_file():
        return Source(source, scored, _checked_export(source))
    raise UserError(
        "there is nothing to push in it" if source.is_dir() else "there is no such folder",
        where=str(source),
        fix="give a run folder with a trained adapter, an adapter's folder, or one that `medbench export` wrote",
    )


def _checked_adapter(folder: Path) -> tuple[str, str]:
    """Hashes of an adapter, which is the one that its training produced."""
    read_settings(folder)
    hashes = adapter_hashes(folder)
    check_hashes(folder, *hashes)
    return hashes


def _checked_export(folder: Path) -> tuple[str, str]:
    """Hashes of the adapter that an exported model was made of.

    Raises:
        UserError: Weights or configuration are not those that the export wrote.
    """
    refuse_links_out(folder)
    path = folder / EXPORT_FILE
    log = checked(ExportLog, read_json(path), what="the log of an export", where=str(path), fix="export it again")
    if (weights_hash(folder), config_hash(folder)) != (log.weights_sha256, log.config_sha256):
        what = f"weights or configuration are not those that the export wrote ({EXPORT_FILE})"
        raise UserError(what, where=str(folder), fix="export it again: medbench export")
    return log.adapter_sha256, log.adapter_config_sha256
