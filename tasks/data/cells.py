"""Finds a row's cells under the names that sources use for them, and checks them."""

from __future__ import annotations

import json
from typing import Any

from reports.errors import UserError, did_you_mean
from reports.text import replace_surrogates
from tasks.data.readers import Record
from tasks.data.selection import id_text
from tasks.data.source import DataSource

_MAX_FIELD = 60  # characters of a word that items are grouped by


class Cells:
    """Finds a row's cells under the names that sources use for them."""

    def __init__(self, source: DataSource, names: dict[str, tuple[str, ...]], *, optional: set[str]) -> None:
        unknown = set(source.columns) - set(names)
        if unknown:
            raise UserError(
                f"the column mapping names {', '.join(sorted(unknown))}",
                where=f"columns of {source.source}",
                fix=f"map only {', '.join(names)}",
            )
        self._names = {name: (source.columns[name],) if name in source.columns else names[name] for name in names}
        self._optional = optional

    def value(self, record: Record, name: str) -> Any:
        """The cell of that name; None where an optional one is missing."""
        for column in self._names[name]:
            if column in record.values:
                return _of_whole_characters(record.values[column], f"column {name}", record.where)
        if name in self._optional:
            return None
        wanted = " or ".join(self._names[name])
        near = did_you_mean(self._names[name][0], map(str, record.values))
        raise UserError(
            f"there is no column {wanted}; found {', '.join(map(str, record.values)) or 'none'}",
            where=record.where,
            fix=f"add the column or map it in the recipe: columns: {{{name}: NAME}}{f' ({near})' if near else ''}",
        )

    def text(self, record: Record, name: str) -> str:
        """The cell as a text with something in it."""
        value = self.value(record, name)
        if not isinstance(value, str) or not value.strip():
            found = (
                "nothing" if value is None or value == "" else "blanks" if isinstance(value, str) else repr(value)[:40]
            )
            raise UserError(
                f"column {name} should hold a text, found {found}", where=record.where, fix="mend or remove the row"
            )
        return value.strip()

    def others(self, record: Record) -> dict[str, str]:
        """The cells of further columns that hold a word or a number, by which items can be grouped."""
        known = {column for columns in self._names.values() for column in columns}
        return short_fields({key: value for key, value in record.values.items() if key not in known})

    def identifier(self, record: Record) -> str:
        """The row's own id, from its key or its id column; empty where it has none."""
        if record.key is not None:
            return id_text(_of_whole_characters(record.key, "the key", record.where))
        return id_text(self.value(record, "id"))


def _of_whole_characters(value: Any, name: str, where: str) -> Any:
    """The value, which no tokenizer and no file takes where a text in it has half of a character (as JSON may)."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise UserError(
            f"{name} holds half of a character ({half} without its other half)",
            where=where,
            fix="mend or remove the row",
        ) from error
    return value


def short_fields(values: dict[str, Any]) -> dict[str, str]:
    """Those of some values by name that are a word or a number: what items are grouped by, no text of theirs."""
    return {
        replace_surrogates(str(key)): replace_surrogates(str(value))
        for key, value in values.items()
        if isinstance(value, str | int | float | bool) and len(str(value)) <= _MAX_FIELD
    }
