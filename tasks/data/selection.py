"""Selects rows by id, holds the ids of PubMedQA's official test set, and describes a selection in words."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from reports.errors import UserError
from reports.files import check_regular, read_json
from tasks.data.files import kind_of
from tasks.data.readers import Place, read_records
from tasks.data.source import ALL_IDS, OFFICIAL_TEST, PUBMEDQA_HUB_ID, DataSource

_HOW_ALL = "`ids: all` (--set data.pubmedqa.ids=all) takes all rows"
_NAMED = 3  # ids in a message
_NO_VALUES = {"", "nan", "<na>", "#n/a"}
_WHOLE = re.compile(r"-?\d+\.0+")
_GROUND_TRUTH = "test_ground_truth.json"  # as the official repository calls the list of test ids
# The PMIDs of PubMedQA's official test set (test_ground_truth.json of github.com/pubmedqa/pubmedqa), one a line.
_OFFICIAL_TEST_FILE = Path(__file__).resolve().parent / "pubmedqa_test_ids.txt"


class _Selectable(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def place(self) -> Place | None: ...


Row = TypeVar("Row", bound=_Selectable)
_Item = TypeVar("_Item")


def select(rows: Iterable[Row], source: DataSource, *, keep_duplicates: bool = False) -> tuple[list[Row], int]:
    """Apply `ids` and `exclude_ids`.

    Returns:
        (the selected rows, number of rows that repeat an earlier one); the repetitions are selected only if they are to
        be kept.

    Raises:
        UserError: Two different rows have the same id, an id is not there, or no row is left.
    """
    by_id: dict[str, Row] = {}
    ids = []
    for row in rows:
        ids.append(row.id)
        first = by_id.setdefault(row.id, row)
        if first != row:
            raise UserError(
                f"two different rows have the id {row.id}: {first.place} and {row.place}",
                where=source.label,
                fix="make the ids unique, or rename their column: rows without ids get them from their texts",
            )
    wanted = set(by_id) if source.ids in (None, ALL_IDS) else read_ids(source.ids)
    unwanted = set() if source.exclude_ids is None else read_ids(source.exclude_ids)
    missing = sorted(wanted - set(by_id))
    if missing:
        origin = source.ids if isinstance(source.ids, str) else "ids"
        raise UserError(
            f"{len(missing)} of the {len(wanted)} wanted ids are not in it, such as {missing[0]}",
            where=source.label,
            fix=f"check {origin} against the data; {_HOW_ALL}",
        )
    kept = [by_id[name] for name in (ids if keep_duplicates else by_id) if name in wanted and name not in unwanted]
    if not kept:
        raise UserError(
            "no row is left after ids and exclude_ids", where=source.label, fix=f"check the two lists; {_HOW_ALL}"
        )
    return kept, len(ids) - len(by_id)


def check_labels(labels: Mapping[str, str], source: DataSource) -> None:
    """Compare the gold labels of the items with those in the list of ids, such as `test_ground_truth.json`.

    Args:
        labels: Gold label by id.
        source: The source of the items and the list of ids.

    Raises:
        UserError: They contradict each other; names the ids and both labels.
    """
    if not isinstance(source.ids, str) or Path(source.ids).suffix != ".json":
        return
    listed = read_json(Path(source.ids).expanduser())
    if not isinstance(listed, dict):
        return
    pairs = ((id_text(key), value) for key, value in listed.items() if isinstance(value, str))
    other = {key: value for key, value in pairs if key in labels and value.strip().lower() != labels[key]}
    if other:
        first = ", ".join(f"{key} ({labels[key]} in the items, {value} there)" for key, value in _first(other.items()))
        raise UserError(
            f"the gold labels of {len(other)} items contradict {Path(source.ids).name}:"
            f" {first}{', ...' if len(other) > _NAMED else ''}",
            where=source.label,
            fix=f"correct one of the two files; {_HOW_ALL} with the items' own labels",
        )


def _first(items: Iterable[_Item]) -> list[_Item]:
    return list(itertools.islice(items, _NAMED))


def read_ids(ids: str | list[str]) -> set[str]:
    """Ids as given in a recipe: the list itself, or the file that holds it.

    Raises:
        UserError: The file cannot be read, or holds no ids.
    """
    if isinstance(ids, list):
        return {id_text(item) for item in ids}
    path = _OFFICIAL_TEST_FILE if ids == OFFICIAL_TEST else Path(ids).expanduser()
    if path.suffix != ".json":
        check_regular(path)
        try:
            return {id_text(line.strip()) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()}
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the list of ids ({error})", where=ids, fix="check the path") from error
    value = read_json(path)
    if not isinstance(value, list | dict) or not value:
        raise UserError("expected a list of ids or an object keyed by id", where=ids, fix="fix the file")
    return {id_text(item) for item in value}


def id_text(value: Any) -> str:
    """An id as a text; integers are the same as 2, 2.0 or "2.0" in a file; empty for a missing id."""
    if value is None or value != value:  # noqa: PLR0124 - NaN, as pandas holds a missing one
        return ""
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def is_no_value(text: str) -> bool:
    """Whether a cell's text stands for a missing value: blanks, or what spreadsheets and pandas write for one."""
    return text.strip().casefold() in _NO_VALUES


@functools.cache
def official_ids() -> frozenset[str]:
    """The ids of PubMedQA's official test set."""
    return frozenset(read_ids(OFFICIAL_TEST))


def official_test_ids(source: DataSource) -> DataSource:
    """The source with the ids of PubMedQA's test set, if it has no ids and the test set is identifiable.

    It is for the data set on the hub, a file next to a `test_ground_truth.json`, whose ids are used without a check, or
    a JSON object by id that contains all official test ids.
    """
    if source.ids is not None:
        return source
    if source.source == PUBMEDQA_HUB_ID:
        return source.model_copy(update={"ids": OFFICIAL_TEST})
    files = source.files()
    if not files:
        return source
    beside = files[0].parent / _GROUND_TRUTH
    if beside.is_file() and beside not in files:
        return source.model_copy(update={"ids": str(beside)})
    is_official = all(kind_of(file) == "JSON" for file in files) and official_ids() <= _row_keys(source)
    return source.model_copy(update={"ids": OFFICIAL_TEST}) if is_official else source


def _row_keys(source: DataSource) -> set[str | None]:
    """Keys of an object of rows by id; no more than some if it is broken, which its loader reports."""
    keys: set[str | None] = set()
    with contextlib.suppress(UserError):
        keys.update(record.key for record in itertools.takewhile(lambda row: row.key, read_records(source, None)))
    return keys


def describe_selection(source: DataSource) -> str:
    """Description of the selected rows for tables, such as `ids of test_ground_truth.json`.

    Ids are called official only if they are those of PubMedQA's test set, whatever the name of their file.
    """
    if source.ids in (None, ALL_IDS):
        words = f"split {source.split}" if source.split else "all rows"
    else:
        words = describe_ids(read_ids(source.ids)) or (
            f"ids of {Path(source.ids).name}"
            if isinstance(source.ids, str)
            else f"{len(source.ids)} listed id{'s' if len(source.ids) > 1 else ''}"
        )
    if source.start or source.stop:
        words += f", positions {source.start} to {'the end' if source.stop is None else source.stop - 1}"
    return words + (", some left out" if source.exclude_ids else "") + (f", {source.rows} drawn" if source.rows else "")


def describe_ids(ids: Collection[str]) -> str:
    """Description of ids that are all or some of PubMedQA's official test ids; empty for other ids."""
    official = official_ids()
    if set(ids) == official:
        return "official test ids"
    return f"{len(set(ids))} of the official {len(official)} test ids" if ids and set(ids) < official else ""
