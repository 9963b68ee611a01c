"""The rows of a file before anything is known of their columns, and their faults, which are reported together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from reports.errors import UserError

_SHOWN = 4  # different faults in a message
_PLACES = 4  # more rows that are named for each

_Row = TypeVar("_Row")


class RawRow(NamedTuple):
    """A row as it stands in its file.

    Attributes:
        unit: What `number` counts, such as `line`.
        number: Position in the file, from 1, or the row's key.
        values: Cells by column name, or whatever is there instead.
        key: Key of the row in an object of rows by id.
    """

    unit: str
    number: int | str
    values: Any
    key: str | None = None


def without_faults(rows: Iterable[_Row | UserError]) -> Iterator[_Row]:
    """The rows before the first fault.

    Raises:
        UserError: In place of the first fault, for all faults of the rows: a few of them and the number of all.
    """
    rows = iter(rows)
    for row in rows:
        if isinstance(row, UserError):
            raise _summary(row, (later for later in rows if isinstance(later, UserError)))
        yield row


def _summary(first: UserError, later: Iterable[UserError]) -> UserError:
    shown, counts, total = {first.what: first}, Counter([first.what]), 1
    others: dict[str, list[str]] = defaultdict(list)  # where a fault is found again
    for error in later:
        total += 1
        if error.what in shown or len(shown) < _SHOWN:
            if error.what in shown and len(others[error.what]) < _PLACES:
                others[error.what].append((error.where or "").rpartition(", ")[2])
            shown.setdefault(error.what, error)
            counts[error.what] += 1
    if total == 1:
        return first
    whats = {what: what + _again(count - 1, others[what]) for what, count in counts.items()}
    if len(shown) == 1:
        return UserError(whats[first.what], where=first.where, fix=first.fix)
    places = [(error.where or "").rpartition(", ") for error in shown.values()]
    file = places[0][0] if len({place[0] for place in places}) == 1 else ""
    wheres = [place[2] if file else "".join(place) for place in places]
    lines = [f"{where}: {whats[what]}" for where, what in zip(wheres, shown, strict=True)]
    if total > counts.total():
        lines.append(f"and {total - counts.total():,} more")
    fixes = dict.fromkeys(error.fix for error in shown.values() if error.fix)
    return UserError(f"{total:,} faults:\n  " + "\n  ".join(lines), where=file or None, fix="; ".join(fixes))


def _again(count: int, places: Sequence[str]) -> str:
    """In how many more rows a fault is, and in which; empty for none."""
    if not count:
        return ""
    more = ", ..." if count > len(places) else ""
    return f" (and in {count:,} more {'row' if count == 1 else 'rows'}: {', '.join(places)}{more})"
