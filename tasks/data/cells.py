"""Finds and checks the cells of a row under the column names of its source."""

from __future__ import annotations

import json
from typing import Any

from reports.errors import UserError, did_you_mean
from reports.text import replace_surrogates
from tasks.data.arrow_rows import MAX_FIELD
from tasks.data.readers import Record
from tasks.data.selection import id_text, is_no_value
from tasks.data.source import DataSource

_SHOWN = 12  # columns in a message


class Cells:
    """Finds the cells of a row under the column names of its source.

    Attributes:
        columns: All names under which a cell is looked for.
    """

    def __init__(self, source: DataSource, names: dict[str, tuple[str, ...]], *, optional: set[str]) -> None:
        unknown = set(source.columns) - set(names)
        if unknown:
            raise UserError(
                f"the column mapping names {', '.join(sorted(unknown))}",
                where=f"columns of {source.label}",
                fix=f"map only {', '.join(names)}",
            )
        self._names = {name: (source.columns[name],) if name in source.columns else names[name] for name in names}
        self._optional = optional
        self.columns = {column for columns in self._names.values() for column in columns}

    def value(self, record: Record, name: str) -> Any:
        """The cell with this name, or None if it is optional and missing."""
        for column in self._names[name]:
            if column in record.values:
                return valid_unicode(record.values[column], f"column {name}", record.where)
        if name in self._optional:
            return None
        raise self._missing(record)

    def _missing(self, record: Record) -> UserError:
        """The error for all columns that a row lacks, with the mapping that is the likely remedy."""
        present = [str(column) for column in record.values]
        missing = {
            name: columns
            for name, columns in self._names.items()
            if name not in self._optional and record.values.keys().isdisjoint(columns)
        }
        others = [column for column in present if column not in self.columns]
        near = (did_you_mean(columns[0], others) for columns in missing.values())
        hints = ", ".join(dict.fromkeys(filter(None, near)))
        names = [column[:MAX_FIELD] for column in present[:_SHOWN]]
        more = f" and {len(present) - _SHOWN:,} more" if len(present) > _SHOWN else ""
        return UserError(
            f"there is no column {', nor '.join(map(' or '.join, missing.values()))};"
            f" found {', '.join(names) or 'none'}{more}",
            where=record.where,
            fix=f"add the column or map it in the recipe: columns: {{{', '.join(f'{name}: NAME' for name in missing)}}}"
            f"{f' ({hints})' if hints else ''}",
        )

    def text(self, record: Record, name: str) -> str:
        """The cell as a non-blank text."""
        value = self.value(record, name)
        if not isinstance(value, str) or is_no_value(value):
            content = _kind(value)
            raise UserError(
                f"column {name} should hold a text, found {content}", where=record.where, fix="fix or remove the row"
            )
        return value.strip()

    def others(self, record: Record) -> dict[str, str]:
        """The cells of other columns that hold a word or a number: items can be grouped by them."""
        return short_fields({key: value for key, value in record.values.items() if key not in self.columns})

    def identifier(self, record: Record) -> str:
        """The id of the row, from its key or its id column; empty if it has none."""
        if record.key is not None:
            return id_text(valid_unicode(record.key, "the key", record.where))
        return id_text(self.value(record, "id"))


def _kind(value: Any) -> str:
    """What a cell holds instead of a text, in words."""
    if isinstance(value, str) or value is None:
        return "nothing" if not value else "blanks" if not value.strip() else repr(value.strip())
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else repr(value)[:40]


def valid_unicode(value: Any, name: str, where: str) -> Any:
    """The value; an error if a text in it has a lone surrogate (possible in JSON), which no tokenizer accepts."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).encode()
    except UnicodeEncodeError as error:
        surrogate = f"\\u{ord(error.object[error.start]):04x}"
        raise UserError(
            f"{name} holds half of a character ({surrogate}, a lone surrogate)",
            where=where,
            fix="fix or remove the row",
        ) from error
    return value


def short_fields(values: dict[str, Any]) -> dict[str, str]:
    """The values that are a word or a number, by name: what items can be grouped by."""
    return {
        replace_surrogates(str(key)): replace_surrogates(str(value))
        for key, value in values.items()
        if isinstance(value, str | int | float | bool) and len(str(value)) <= MAX_FIELD
    }
