"""SHA-256 checksums of samples files, in a `.json` beside each, which reveal tampering and bit rot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reports.document.schema import Sample
from reports.errors import UserError
from reports.files import read_json, sha256_file, sha256_value, write_json, write_jsonl

_FIX = "restore both files from a copy, or repeat its `medbench run`, which scores changed samples again"


def write_samples(path: Path, samples: Iterable[Sample], facts: dict[str, Any] | None = None) -> None:
    """Write samples with their checksum, and facts on them as `write_facts` does."""
    remove_facts(path)
    write_jsonl(path, (sample.model_dump(mode="json") for sample in samples))
    write_facts(path, facts)


def write_facts(path: Path, facts: dict[str, Any] | None = None) -> None:
    """Write facts on a samples file into the `.json` beside it, with the checksums of both."""
    entries = {**(facts or {}), "sha256": sha256_file(path)}
    write_json(path.with_suffix(".json"), {**entries, "facts_sha256": sha256_value(entries)})


def remove_facts(path: Path) -> None:
    """Remove what `write_facts` wrote, before the samples are replaced."""
    path.with_suffix(".json").unlink(missing_ok=True)


def verified_facts(path: Path, *, required: bool = False) -> dict[str, Any]:
    """Read what `write_facts` wrote about a samples file, and compare both checksums.

    Args:
        path: The samples file, which must exist.
        required: Reject samples without a checksum, such as those that an earlier version wrote.

    Raises:
        UserError: The samples or the facts were changed since they were written.
    """
    beside = path.with_suffix(".json")
    facts = read_json(beside) if beside.is_file() else {}
    if not isinstance(facts, dict):
        raise UserError("expected an object", where=str(beside), fix=_FIX)
    entries = {key: value for key, value in facts.items() if key != "facts_sha256"}
    if not facts.keys() & {"sha256", "facts_sha256"}:
        if required:
            raise UserError("no SHA-256 of the samples is recorded beside them", where=str(path), fix=_FIX)
    elif facts.get("facts_sha256") != sha256_value(entries):
        raise UserError("the file was changed since it was written (SHA-256)", where=str(beside), fix=_FIX)
    elif facts.get("sha256") != sha256_file(path):
        raise UserError("the samples were changed since they were written (SHA-256)", where=str(path), fix=_FIX)
    return entries
