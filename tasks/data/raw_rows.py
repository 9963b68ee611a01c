"""The rows of text files before anything is known of their columns, and their faults, which are reported together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from reports.errors import UserError

_SHOWN = 4  # different faults in a message

_Source = TypeVar("_Source")
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


def parse_rows(rows: Iterable[_Source | UserError], parse: Callable[[_Source], _Row]) -> Iterator[_Row]:
    """Parse row after row.

    Raises:
        UserError: After the last row, if rows are faulty or `parse` raised: the first faults, and the number of all.
    """
    faults = _Faults()
    for row in rows:
        if isinstance(row, UserError):
            faults.add(row)
            continue
        try:
            parsed = parse(row)
        except UserError as error:
            faults.add(error)
        else:
            yield parsed
    faults.check()


class _Faults:
    """Counts faults and keeps the first ones."""

    def __init__(self) -> None:
        self._count = 0
        self._firsts: dict[str, UserError] = {}
        self._counts: dict[str, int] = {}

    def add(self, error: UserError) -> None:
        self._count += 1
        if error.what in self._firsts or len(self._firsts) < _SHOWN:
            self._firsts.setdefault(error.what, error)
            self._counts[error.what] = self._counts.get(error.what, 0) + 1

    def check(self) -> None:
        """Raise the faults as one error, if there are any."""
        if not self._count:
            return
        first = next(iter(self._firsts.values()))
        if self._count == 1:
            raise first
        if len(self._firsts) == 1:
            raise UserError(f"{first.what} (and in {self._count - 1:,} more rows)", where=first.where, fix=first.fix)
        places = [(error.where or "").rpartition(", ") for error in self._firsts.values()]
        file = places[0][0] if len({place[0] for place in places}) == 1 else ""
        wheres = [place[2] if file else "".join(place) for place in places]
        lines = [f"{where}: {what}{self._more(what)}" for where, what in zip(wheres, self._firsts, strict=True)]
        shown = sum(self._counts.values())
        if self._count > shown:
            lines.append(f"and {self._count - shown:,} more")
        fixes = dict.fromkeys(error.fix for error in self._firsts.values() if error.fix)
        raise UserError(
            f"{self._count:,} faults in the rows:\n  " + "\n  ".join(lines), where=file or None, fix="; ".join(fixes)
        )

    def _more(self, what: str) -> str:
        count = self._counts[what] - 1
        return f" (and in {count:,} more rows)" if count else ""
