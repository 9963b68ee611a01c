"""What became of the rows of all sources of a run, for the plan, the terminal and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from reports.document.row_account import RowAccount
from tasks import catalog
from tasks.data import DataSource
from tasks.data.selection import describe_selection

if TYPE_CHECKING:
    from harness.planning.lm_tasks import LoadedTask
    from training.recipes.recipe import Recipe
    from training.splits import TrainingRows

_TRAINING = "training data"


class SourceAccount(NamedTuple):
    """One source.

    Attributes:
        role: What its rows are for, in words.
        key: Its key in the recipe.
        source: Its public name, and the selected rows in words.
        account: What became of its rows.
    """

    role: str
    key: str
    source: str
    account: RowAccount

    def remarks(self) -> list[str]:
        """What the user should know about rows that are left out or faulty, a sentence each."""
        return self.account.remarks(self.key, is_trained_on=self.role == _TRAINING)


def source_accounts(recipe: Recipe, rows: TrainingRows | None, tasks: Sequence[LoadedTask]) -> list[SourceAccount]:
    """The sources of the training rows and of the scored items, each once."""
    data, accounts = recipe.data, []
    trained = {} if rows is None else rows.accounts
    if "train" in trained:
        accounts.append(_account(_TRAINING, "data.train", data.train, trained["train"]))
    if "validation" in trained and data.validation is not None:
        accounts.append(_account("validation data", "data.validation", data.validation, trained["validation"]))
    for loaded in tasks:
        if loaded.account is None or loaded.source is None:
            continue
        if loaded.name in catalog.PUBMEDQA_LABELS:
            role, key = "PubMedQA items", "data.pubmedqa"
        elif loaded.name in catalog.QUESTION_LABELS:
            role, key = "own questions", "data.questions"
        else:
            role, key = "held-out rows", "data.reasoning" if data.reasoning_rows is None else "data.train"
        account = _account(role, key, loaded.source, loaded.account)
        if account not in accounts:
            accounts.append(account)
    return accounts


def _account(role: str, key: str, source: DataSource, account: RowAccount) -> SourceAccount:
    return SourceAccount(role, key, f"{source.public_name} ({describe_selection(source)})", account)


def remarks(recipe: Recipe, rows: TrainingRows | None, tasks: Sequence[LoadedTask]) -> list[str]:
    """What the user should know about rows that are left out or faulty, a sentence each."""
    return [
        f"{source.role}, {source.source}: {remark}"
        for source in source_accounts(recipe, rows, tasks)
        for remark in source.remarks()
    ]


def altered_line(turns: int) -> str:
    """What happens to earlier answers that the chat template alters."""
    return (
        f"{turns} answers of earlier turns are not learned, because the chat template alters them; templates of"
        " reasoning models leave out earlier reasoning"
    )
