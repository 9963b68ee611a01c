"""Rows of public data sets, from the hub or a local folder; one error names all rows that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reports.bundles.active import bundled_folder
from reports.document.row_account import RowAccount
from reports.errors import UserError
from tasks.data.folder_cache import folder_cache
from tasks.data.turns import UnusableRowError
from tasks.data.usable import SHOWN, unusable_text

if TYPE_CHECKING:
    from datasets import Dataset

_FIX = "use the data set as published, at the commit that docs/benchmarks.md names"
Row = Mapping[str, Any]
_Made = TypeVar("_Made")


def load_split(source: str, split: str, folders: Mapping[str, str], revision: str = "") -> Dataset:
    """A split of a data set.

    Args:
        source: Id on the hub, with the configuration after a colon.
        split: Name of the split.
        folders: Local folders in place of data sets of the hub, by id.
        revision: Commit of the data set on the hub; empty for the newest.
    """
    import datasets

    name, _, config = source.partition(":")
    folder = folders.get(name) or bundled_folder("data set", name, revision or None)
    if folder is not None:
        cache = folder_cache(Path(folder))
        return datasets.load_dataset(str(folder), config or None, split=split, cache_dir=cache)
    return datasets.load_dataset(name, config or None, split=split, revision=revision or None)


def convert(
    rows: Iterable[Row],
    make: Callable[[Row], Iterable[_Made]],
    account: RowAccount,
    *,
    label: str,
    place: Callable[[Row, int], str],
) -> Iterator[_Made]:
    """What `make` makes of all rows, one after another.

    No row is left out, since a benchmark without some of its items would be another one.

    Args:
        rows: The rows.
        make: Makes documents or questions of a row, none if it does not belong to the benchmark.
        account: Counts the rows, and the unusable ones by reason.
        label: The data set in messages.
        place: Names a row in messages, from the row and its number from 1.

    Raises:
        UserError: Some rows cannot be used; raised after the last row.
    """
    places: dict[str, list[str]] = {}
    for number, row in enumerate(rows, 1):
        account.read += 1
        try:
            made = list(make(row))
        except KeyError as error:
            reason = f"it has no column {error.args[0]}"
        except UnusableRowError as error:
            reason = str(error)
        else:
            account.used += len(made)
            yield from made
            continue
        account.unusable[reason] = account.unusable.get(reason, 0) + 1
        if len(of_reason := places.setdefault(reason, [])) < SHOWN:
            of_reason.append(place(row, number))
    if sum(account.unusable.values()) == 1:
        ((reason, (only,)),) = places.items()
        raise UserError(reason, where=f"{label}, {only}", fix=_FIX)
    if places:
        raise UserError(unusable_text(places, account), where=label, fix=_FIX)
    if not account.used:
        raise UserError("none of its rows belongs to the benchmark", where=label, fix=_FIX)
