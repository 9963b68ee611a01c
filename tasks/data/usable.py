"""Takes the usable rows out of a source, and counts or rejects the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from reports.document.row_account import RowAccount, listed, shortened
from reports.errors import UserError
from tasks.data.readers import Record
from tasks.data.shapes import ReasoningRow
from tasks.data.source import DataSource
from tasks.data.turns import UnusableRowError
from tasks.formats import FORMATS, AnswerFormat, gold_problems, split_marked

_Row = TypeVar("_Row")
SHOWN = 3  # reasons, and places of each
_KEYS = {"pubmedqa": "data.pubmedqa", "multiple-choice": "data.questions"}  # in the recipe, by the kind of the rows
_WITHOUT_REASONING = ", ".join(f"--set format.name={name}" for name, item in FORMATS.items() if not item.has_reasoning)


class NoReasoningError(UnusableRowError):
    """A row without the reasoning that the answer format asks for."""


def usable(
    records: Iterable[Record],
    make: Callable[[Record], _Row],
    source: DataSource,
    account: RowAccount,
    *,
    shown: int = SHOWN,
) -> Iterator[_Row]:
    """The rows that `make` makes; the others are counted in `account`.

    Args:
        records: The raw rows.
        make: Makes a row of a record, or raises an error about it.
        source: Their source, which says whether unusable rows are left out.
        account: Counts all rows, and the unusable ones by reason.
        shown: Number of reasons in a message.

    Raises:
        UserError: Some rows are unusable and not to be left out, or all are; raised after the last row.
    """
    places: dict[str, list[str]] = {}
    lacking = 0
    for record in records:
        account.read += 1
        try:
            row = make(record)
        except (UnusableRowError, UserError) as error:
            if isinstance(error, UserError) and error.where != record.where:
                raise
            reason = error.what if isinstance(error, UserError) else str(error)
            lacking += isinstance(error, NoReasoningError)
            account.unusable[reason] = account.unusable.get(reason, 0) + 1
            if len(of_reason := places.setdefault(reason, [])) < SHOWN:
                of_reason.append(record.where)
            continue
        yield row
    if lacking == account.read:
        raise no_reasoning(next(iter(places)), source, account)
    if places and (source.unusable_rows == "error" or sum(account.unusable.values()) == account.read):
        raise _unusable(places, source, account, shown, lacks_reasoning=lacking > 0)


def _unusable(
    places: dict[str, list[str]], source: DataSource, account: RowAccount, most: int, *, lacks_reasoning: bool
) -> UserError:
    """What is wrong with the rows, with their places; one faulty row is named as any other fault of a file is."""
    number = sum(account.unusable.values())
    fix = "correct the rows, or leave them out with `unusable_rows: drop` for this source"
    if any(reason.startswith("there is no column") for reason in places):
        fix = f"give all rows of the source the same columns, or {fix.partition(', or ')[2]}"
    fix += f" (--set {_KEYS.get(account.kind, 'data.train')}.unusable_rows=drop)"
    if lacks_reasoning:
        fix += f", or choose a format without reasoning ({_WITHOUT_REASONING})"
    if number == 1:
        ((reason, (place,)),) = places.items()
        return UserError(reason, where=place, fix=fix)
    names = {reason: [place.removeprefix(f"{source.label}, ") for place in shown] for reason, shown in places.items()}
    return UserError(unusable_text(names, account, most), where=source.label, fix=fix)


def unusable_text(places: Mapping[str, Sequence[str]], account: RowAccount, most: int = SHOWN) -> str:
    """How many rows cannot be used, with the reasons and the first places of each.

    Args:
        places: The first places by reason.
        account: Has the numbers of rows.
        most: Number of reasons to name.
    """
    reasons = []
    for reason, shown in list(places.items())[:most]:
        more = account.unusable[reason] - len(shown)
        reasons.append(f"{reason} ({'; '.join(shown)}{f' and {more} more' if more else ''})")
    others = len(places) - len(reasons)
    more_reasons = f"; and {others} other reasons" if others > 0 else ""
    number = sum(account.unusable.values())
    return f"{number} of the {account.read} rows cannot be used: {'; '.join(reasons)}{more_reasons}"


def no_reasoning(reason: str, source: DataSource, account: RowAccount) -> UserError:
    """Rows none of which has reasoning, with the ways to train on them all the same."""
    unread = f"; columns that are not read: {shortened(account.unread)}" if account.unread else ""
    return UserError(
        f"the rows have {reason}",
        where=source.label,
        fix=f"choose a format without reasoning ({_WITHOUT_REASONING}), map the column with the reasoning (columns:"
        f" {{reasoning: NAME}}{unread}), or write it before the response, between <think> and </think>",
    )


def lacks(answer_format: AnswerFormat, what: str = "no") -> str:
    """The reason for which rows without reasoning are unusable in a format."""
    return f"{what} reasoning, which the format {answer_format.name} asks for"


def some(rows: Iterable[ReasoningRow], source: DataSource, account: RowAccount) -> Iterator[ReasoningRow]:
    """The rows whose gold answers keep the format.

    Raises:
        UserError: There is none.
    """
    first = next(iterator := iter(rows), None)
    if first is None:
        raise UserError(
            f"all gold answers violate the answer format: {listed(account.violations)}",
            where=source.label,
            fix="correct the rows, choose another format, or keep them: format_violations: keep",
        )
    return itertools.chain([first], iterator)


def compliant(rows: Iterable[ReasoningRow], answer_format: AnswerFormat, account: RowAccount) -> Iterator[ReasoningRow]:
    """The rows whose gold answers keep their own format; the others are counted in `account`."""
    for row in rows:
        answers = [(turn.reasoning, turn.text) for turn in row.history if turn.role == "assistant"]
        problems = {
            problem
            for reasoning, response in ([] if row.is_text else [*answers, (row.reasoning, row.response)])
            for problem in gold_problems(answer_format, reasoning, response)
        }
        if not problems:
            yield row
            continue
        account.violating += 1
        account.marked_responses += bool(row.reasoning and split_marked(row.response)[0])
        for problem in sorted(problems):
            account.violations[problem] = account.violations.get(problem, 0) + 1
