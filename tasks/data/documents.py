"""Data sets in memory-mapped files, so that texts need not fit into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.document.row_account import RowAccount

if TYPE_CHECKING:
    from datasets import Dataset


def document_set(rows: Iterable[dict[str, Any]], account: RowAccount) -> Dataset:
    """A memory-mapped data set of rows with the same columns, with the account of their source (`account_of`).

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
        documents = Dataset.from_file(path)
    documents.info.description = account.model_dump_json()
    return documents


def account_of(documents: Dataset) -> RowAccount:
    """The account of the source of documents that `document_set` made."""
    return RowAccount.model_validate_json(documents.info.description)
