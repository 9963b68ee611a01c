"""Public multiple-choice data sets that a model reasons about before it gives the letter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports.document.row_account import RowAccount
from tasks.benchmarks import BENCHMARKS
from tasks.multiple_choice import ChoiceItem, reasoned_documents
from tasks.multiple_choice_sets import REASONED
from tasks.public_rows import load_split
from tasks.task_settings import TaskSettings

if TYPE_CHECKING:
    from datasets import Dataset


def reasoned_set(*, benchmark: str, folders: Mapping[str, str] | None = None, **settings: Any) -> dict[str, Dataset]:
    """The questions of a data set as lm-eval documents; their ids are the places of the items in the split.

    Tasks that score the same items by log-likelihood count them in the same way. The options stay in their order.

    Args:
        benchmark: Name in the catalogue, which has the data set and its commit.
        folders: Local folders in place of data sets of the hub, by id.
        settings: See `tasks.task_settings`.
    """
    entry = BENCHMARKS[benchmark]
    choice_set, account = REASONED[entry.source_id], RowAccount(kind="multiple-choice")
    rows = load_split(entry.source, choice_set.split, folders or {}, entry.revision)
    own = {str(place): item for place, item in enumerate(choice_set.questions(rows, account))}
    return reasoned_documents(
        [item | ChoiceItem(id=place) for place, item in own.items()],  # type: ignore[typeddict-item]
        TaskSettings(**settings),
        account,
        fields={place: {"item": item["id"], "subject": item.get("subject", "")} for place, item in own.items()},
    )
