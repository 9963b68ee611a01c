"""Checks before a run that the columns of `scoring.slices` are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.comparison.slicing import CLASS, LENGTH
from reports.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask

_SHOWN = 20


def check_slices(columns: Sequence[str], tasks: Sequence[LoadedTask]) -> None:
    """Check that each column is one of the items that any task asks; the items are read only until all are seen.

    Raises:
        UserError: No item of any task has a value of a column.
    """
    missing = [column for column in dict.fromkeys(columns) if column not in (CLASS, LENGTH)]
    available: dict[str, None] = {}
    for loaded in tasks:
        for document in loaded.documents() if missing else ():
            available |= dict.fromkeys(name for name, value in loaded.fields(document).items() if value.strip())
            missing = [column for column in missing if column not in available]
            if not missing:
                break
    if missing and tasks:
        names = [*available, CLASS, LENGTH]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        hint = did_you_mean(missing[0], names)
        raise UserError(
            f"no item of {', '.join(loaded.name for loaded in tasks)} has a value of {', '.join(missing)}",
            where="scoring.slices",
            fix=f"{f'{hint} ' if hint else ''}The columns are {', '.join(names[:_SHOWN])}{more}",
        )
