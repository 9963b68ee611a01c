"""Frames as CSV, whose cells no spreadsheet takes for formulas, and as Parquet; written piece by piece.

A spreadsheet runs any cell that starts like a formula (OWASP, CSV Injection). An apostrophe before it
makes it text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from reports.files import WholeFile, write_text
from reports.text import replace_surrogates

_MARK = "'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: full width


def as_text(value: Any) -> Any:
    """A cell that no spreadsheet runs as a formula; only text is changed."""
    if not isinstance(value, str):
        return value
    value = replace_surrogates(value)
    return _MARK + value if value.lstrip(_MARK).startswith(_FORMULA) else value


def from_text(cell: str) -> str:
    """The text that `as_text` turned into this cell."""
    return cell[1:] if cell.startswith(_MARK) and cell.lstrip(_MARK).startswith(_FORMULA) else cell


def write_csv(path: Path, frames: Iterable[pd.DataFrame]) -> None:
    """Write frames of the same columns below each other; missing values become empty cells."""
    # With "\n" alone a carriage return in an answer would be unquoted, and the text after it a row of its own.
    write_text(
        path,
        (
            frame.map(as_text).rename(columns=as_text).to_csv(index=False, header=not number, lineterminator="\r\n")
            for number, frame in enumerate(frames)
        ),
    )


def write_parquet(path: Path, frames: Iterable[pd.DataFrame]) -> None:
    """Write frames of the same columns below each other, a row group each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"Int64": pa.int64(), "float64": pa.float64(), "boolean": pa.bool_()}
    with contextlib.closing(WholeFile(path)) as file, contextlib.ExitStack() as stack:
        writer: Any = None
        for frame in frames:
            if writer is None:
                schema = pa.schema({name: kinds.get(str(dtype), pa.string()) for name, dtype in frame.dtypes.items()})
                writer = stack.enter_context(pq.ParquetWriter(file.binary, schema))
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False).replace_schema_metadata())
        stack.close()
        file.put()
