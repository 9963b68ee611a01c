"""Rows of JSON files: JSON Lines or one value, in the shapes that people and pandas write, whatever the suffix."""

from __future__ import annotations

import codecs
import io
import itertools
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

from reports.errors import UserError
from reports.files import MOST_JSON_BYTES, MOST_LINE_BYTES
from reports.json_text import json_error, parse_json, parse_json_line
from tasks.data.files import check_split, is_split_name, same_split
from tasks.data.raw_rows import RawRow

_MOST_KEYS = 5  # in a message
_KEY_CHARACTERS = 40
_MOST_DEPTH = 2  # of objects in which a list of rows is looked for
_BLANKS = re.compile(r"\s*")
_PANDAS_SPLIT = {"columns", "data", "index", "index_names", "column_names"}  # the keys of pandas' `orient="split"`


def json_rows(
    stream: BinaryIO, needed: Collection[str] | None, split: str | None, where: str, *, lines: bool
) -> Iterator[RawRow | UserError]:
    """Rows of a JSON file; a line of JSON Lines that is not JSON is an error.

    Args:
        stream: UTF-8 text, with or without a byte order mark.
        needed: Column names that help to tell rows from columns.
        split: The list to read where there is one for each split.
        where: The file, for messages.
        lines: Whether its suffix says that it is JSON Lines: then a file of one line is one row.

    Raises:
        UserError: The file is not JSON, or has no rows or several lists of rows; describes its shape.
    """
    located = enumerate(iter(lambda: stream.readline(MOST_LINE_BYTES + 1), b""), 1)
    number, first = next(((number, raw) for number, raw in located if raw.strip()), (0, b""))
    if not number:
        return
    try:
        value = parse_json(first.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        yield from _whole_file(b"\n" * (number - 1) + first, stream, needed, split, where, lines=lines)
        return
    rest = next(((number, raw) for number, raw in located if raw.strip()), None)
    if rest is None and not (lines and isinstance(value, dict)):
        yield from shaped_rows(value, needed, split, where)
        return
    check_split(split, where)
    yield RawRow("line", number, value)
    if rest is not None:
        yield from _json_lines(itertools.chain([rest], located), where)


def _json_lines(located: Iterator[tuple[int, bytes]], where: str) -> Iterator[RawRow | UserError]:
    for number, raw in located:
        place = f"{where}, line {number}"
        if len(raw) > MOST_LINE_BYTES:
            raise UserError(f"the line is longer than {MOST_LINE_BYTES >> 20} MiB", where=place, fix="cut the row")
        if not raw.strip():
            continue
        try:
            yield RawRow("line", number, parse_json_line(raw, number, place))
        except UserError as error:
            if isinstance(error.__cause__, UnicodeDecodeError):  # of the file, not of a row
                raise
            yield error


def _whole_file(
    start: bytes, stream: BinaryIO, needed: Collection[str] | None, split: str | None, where: str, *, lines: bool
) -> Iterator[RawRow | UserError]:
    """Rows of a file whose first line is no JSON value: it has one value or several on many lines, or is broken."""
    raw = start + stream.read(MOST_JSON_BYTES + 1 - len(start))
    if len(raw) > MOST_JSON_BYTES:
        raise UserError(
            f"the file is larger than {MOST_JSON_BYTES / 1e6:,.0f} MB and its first line is no row",
            where=where,
            fix="write it as JSON Lines, a row a line",
        )
    try:
        values = list(_values(raw.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        if not isinstance(error, UnicodeDecodeError) and raw.removeprefix(codecs.BOM_UTF8).lstrip()[:1] not in b"{[":
            fix = "fix it, or name it by its kind, such as .csv"
            raise UserError("the file is not JSON", where=f"{where}, line 1", fix=fix) from error
        if lines and not isinstance(error, UnicodeDecodeError):
            yield from _json_lines(enumerate(io.BytesIO(raw), 1), where)
            return
        raise json_error(error, where) from error
    if len(values) == 1:
        yield from shaped_rows(values[0][1], needed, split, where)
    else:
        check_split(split, where)
        yield from (RawRow("line", number, value) for number, value in values)


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of JSON values that follow each other; of several, each is an object.

    Raises:
        ValueError: The text is something else.
    """
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data") or not text.lstrip().startswith("{"):
            raise
    else:
        yield 1, value
        return
    decoder = json.JSONDecoder()
    end, line = 0, 1
    while (start := _BLANKS.match(text, end).end()) < len(text):  # type: ignore[union-attr] # it matches nothing too
        line += text.count("\n", end, start)
        _, end = decoder.raw_decode(text, start)
        try:
            yield line, parse_json(text[start:end])
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(error.msg, text, start + error.pos) from error
        line += text.count("\n", start, end)


def shaped_rows(
    value: Any, needed: Collection[str] | None, split: str | None, where: str
) -> Iterator[RawRow | UserError]:
    """Rows of one JSON value: a list of rows, an object of rows by id, of columns, or with one list of rows.

    Raises:
        UserError: It has another shape, several lists of rows, or not the split.
    """
    rows = _rows(value, needed, where)
    if rows is None:
        rows = _listed_rows(value, split, where)
    else:
        check_split(split, where)
    return rows


def _rows(value: Any, needed: Collection[str] | None, where: str) -> Iterator[RawRow | UserError] | None:
    """Rows of a value without lists for splits; None for an object in which lists of rows may be."""
    if isinstance(value, list):
        return (RawRow("row", number, row) for number, row in enumerate(value, 1))
    if not isinstance(value, dict):
        raise UserError(
            f"expected a list of rows or an object of rows by id, found {_kind(value)}", where=where, fix="fix the file"
        )
    if value.keys() >= {"columns", "data"} and value.keys() <= _PANDAS_SPLIT:
        return _from_table(value["columns"], value["data"], where)
    columns = _columns(value, needed)
    if columns is not None:
        return columns
    if _is_row(value, needed):
        return iter([RawRow("row", 1, value)])
    if _are_rows_by_id(value, needed):
        return (RawRow("key", key, row, key) for key, row in value.items())
    return None


def _from_table(columns: Any, data: Any, where: str) -> Iterator[RawRow | UserError]:
    """Rows of pandas' `orient="split"`: lists of cells beside the list of column names."""
    if not isinstance(columns, list) or not isinstance(data, list):
        raise UserError("columns and data are not both lists", where=where, fix="write a list of rows")
    for number, cells in enumerate(data, 1):
        if not isinstance(cells, list) or len(cells) != len(columns):
            yield UserError(
                f"the row does not have the {len(columns)} cells of columns",
                where=f"{where}, row {number}",
                fix="fix or remove the row",
            )
        else:
            yield RawRow("row", number, dict(zip(map(str, columns), cells, strict=True)))


def _columns(value: dict[str, Any], needed: Collection[str] | None) -> Iterator[RawRow] | None:
    """Rows of an object of columns, each a list of cells or, as pandas writes it, an object by row; None if it is not.

    An object of rows by id is one of objects too: it has no needed names as keys, and its rows are not numbered.
    """
    cells = list(value.values())
    has_needed = bool(needed) and not value.keys().isdisjoint(needed or ())
    if cells and all(isinstance(column, dict) for column in cells):
        labels = list(cells[0])
        is_numbered = labels == [str(number) for number in range(len(labels))]
        if not (has_needed or (is_numbered and labels)) or any(list(column) != labels for column in cells):
            return None
        rows = (dict(zip(value, row, strict=True)) for row in zip(*(column.values() for column in cells), strict=True))
        if is_numbered:
            return (RawRow("row", number, row) for number, row in enumerate(rows, 1))
        return (RawRow("key", label, row, label) for label, row in zip(labels, rows, strict=True))
    if not cells or not all(isinstance(column, list) for column in cells):
        return None
    with_rows = sum(map(_has_rows, cells))  # such as messages, which are those of a single row or lists of rows
    if len({len(column) for column in cells}) > 1 or with_rows == len(cells) or (with_rows and not has_needed):
        return None
    listed = (dict(zip(value, row, strict=True)) for row in zip(*cells, strict=True))
    return (RawRow("row", number, row) for number, row in enumerate(listed, 1))


def _is_row(value: dict[str, Any], needed: Collection[str] | None) -> bool:
    """Whether an object is a single row, as in a file of JSON Lines with one line, and not a list of rows with a title.

    A row has more of the needed columns than the objects in its lists, such as the options of a question.
    """
    if needed is None:
        return not any(isinstance(cell, dict | list) for cell in value.values())
    lists = (member for name, member in value.items() if name not in needed and isinstance(member, list))
    firsts = (next((row for row in rows if isinstance(row, dict)), {}) for rows in lists)
    columns = set(needed) - {"id"}
    return len(columns & value.keys()) > max((len(columns & row.keys()) for row in firsts), default=0)


def _are_rows_by_id(value: dict[str, Any], needed: Collection[str] | None) -> bool:
    """Whether the members are rows and not objects in which lists of rows are."""
    members = list(value.values())
    if not any(isinstance(member, dict) for member in members):
        return False
    if needed and any(isinstance(member, dict) and not member.keys().isdisjoint(needed) for member in members):
        return True
    return all(isinstance(member, dict) for member in members) and not _lists(value)


def _listed_rows(value: dict[str, Any], split: str | None, where: str) -> Iterator[RawRow | UserError]:
    """Rows of the one list of rows in an object, or of that of the split."""
    lists = _lists(value)
    if not lists:
        members = [f"{key[:_KEY_CHARACTERS]} ({_kind(member)})" for key, member in value.items()]
        more = f" and {len(members) - _MOST_KEYS:,} more" if len(members) > _MOST_KEYS else ""
        raise UserError(
            f"there are no rows in it: it is an object with {', '.join(members[:_MOST_KEYS]) or 'no keys'}{more}",
            where=where,
            fix="write a list of rows, an object of rows by id, or JSON Lines",
        )
    if len(lists) == 1 and not is_split_name(next(iter(lists))):
        check_split(split, where)
        chosen = list(lists)
    elif split is None:
        chosen = list(lists)
    else:
        chosen = [name for name in lists if name == split] or [name for name in lists if same_split(name, split)]
    if len(chosen) != 1:
        counted = ", ".join(f"{name[:_KEY_CHARACTERS]} ({len(rows):,} rows)" for name, rows in lists.items())
        problem = "has several lists of rows" if split is None else f"has no list of rows {split}"
        raise UserError(
            f"it {problem}: {counted}",
            where=where,
            fix=f"choose one with split: {max(lists, key=lambda name: len(lists[name]))}",
        )
    unit = f"{chosen[0]} row" if len(lists) > 1 else "row"
    yield from (RawRow(unit, number, row) for number, row in enumerate(lists[chosen[0]], 1))


def _lists(value: dict[str, Any], depth: int = _MOST_DEPTH) -> dict[str, list[Any]]:
    """Lists of rows in an object, or else in the objects in it, by their keys joined with dots."""
    lists = {key: member for key, member in value.items() if isinstance(member, list) and _has_rows(member)}
    if depth > 1 and not lists:
        for key, member in value.items():
            if isinstance(member, dict):
                lists |= {f"{key}.{name}": rows for name, rows in _lists(member, depth - 1).items()}
    return lists


def _has_rows(value: list[Any]) -> bool:
    return any(isinstance(row, dict) for row in value)


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value):,}"
    return "null" if value is None else {str: "text", bool: "true or false"}.get(type(value), "a number")
