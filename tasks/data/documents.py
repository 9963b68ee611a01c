"""Rows as a data set in a file that is mapped into memory, so that their texts need not all be in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset


def document_set(rows: Iterable[dict[str, Any]]) -> Dataset:
    """A data set of rows that have the same columns; a few at a time are in memory.

    Its temporary file loses its name at once, so that nothing of it is left however this process ends.
    """
    from datasets import Dataset
    from datasets.arrow_writer import ArrowWriter

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = str(Path(folder) / "documents.arrow")
        with ArrowWriter(path=path) as writer:
            for row in rows:
                writer.write(row)
            writer.finalize()
        return Dataset.from_file(path)
