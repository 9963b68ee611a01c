"""Data sets in memory-mapped files, so that texts need not fit into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset


def document_set(rows: Iterable[dict[str, Any]]) -> Dataset:
    """A memory-mapped data set of rows with the same columns.

    Its temporary file is unlinked at once, so nothing is left behind, however the process ends.
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
