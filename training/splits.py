"""Divides a recipe's rows into training, validation and held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reports.document.row_account import RowAccount
from reports.errors import UserError
from tasks.data import DataSource, LoadedRows, count_violations, load_rows, sample_indices, split_off
from tasks.data.selection import read_ids
from tasks.formats import get_format

if TYPE_CHECKING:
    from tasks.data import ReasoningRow
    from training.recipes.recipe import Recipe


@dataclass(frozen=True)
class TrainingRows:
    """The rows to train on and the rows whose loss is followed meanwhile.

    Attributes:
        validation_selects_checkpoint: Whether the adapter with the lowest validation loss is saved, so that it has
            learned from those rows.
        choosing: Hashes of the texts of the items that chose its checkpoint, see `CheckpointChoice.sources`.
        accounts: What became of the other rows of their sources, by role: `train` and `validation`.
    """

    train: list[ReasoningRow]
    validation: list[ReasoningRow]
    validation_selects_checkpoint: bool = False
    choosing: frozenset[str] = frozenset()
    accounts: dict[str, RowAccount] = field(default_factory=dict, compare=False)


def training_rows(recipe: Recipe) -> TrainingRows:
    """Read and divide the rows of a recipe.

    Raises:
        UserError: The data cannot be read, or the division leaves nothing to train on.
    """
    answer_format, data = get_format(recipe.format.name), recipe.data
    rows, _, account = _held_out(recipe)
    drawn = sample_indices(len(rows), data.train.rows, recipe.seed)
    rows, validation = [rows[index] for index in drawn], []
    accounts = {}
    if data.validation is not None:
        loaded = load_rows(data.validation, seed=recipe.seed, answer_format=answer_format)
        validation, accounts["validation"] = loaded.rows, count_violations(loaded, answer_format)
    elif data.validation_rows is not None:
        rows, validation = _split_off("data.validation_rows", rows, data.validation_rows, recipe.seed)
    accounts["train"] = count_violations(LoadedRows(rows, account), answer_format)
    selects = bool(validation) and recipe.trainer.keep_best
    return TrainingRows(rows, validation, selects, accounts=accounts)


def held_out_source(recipe: Recipe) -> DataSource:
    """Where the held-out reasoning rows come from: their own source, or rows split off the training source by seed."""
    if recipe.data.reasoning_rows is None:
        return recipe.data.reasoning or DataSource(source="samples:reasoning_heldout")
    _, held_out, _ = _held_out(recipe)
    chosen = {"ids": [row.id for row in held_out], "exclude_ids": None, "rows": None}
    return recipe.data.train.model_copy(update=chosen)


def example_source(recipe: Recipe) -> DataSource:
    """Where few-shot examples for reasoning rows come from: the training source without the rows held out of it."""
    train = recipe.data.train
    if recipe.data.reasoning_rows is None or not recipe.scoring.num_fewshot:
        return train
    unwanted = [row.id for row in _held_out(recipe)[1]]
    unwanted += [] if train.exclude_ids is None else sorted(read_ids(train.exclude_ids))
    return train.model_copy(update={"exclude_ids": unwanted})


def _held_out(recipe: Recipe) -> tuple[list[ReasoningRow], list[ReasoningRow], RowAccount]:
    """(rows that may be trained on, rows held out of the same source, account); the first are not yet drawn from."""
    loaded = load_rows(
        recipe.data.train.model_copy(update={"rows": None}),
        seed=recipe.seed,
        answer_format=get_format(recipe.format.name),
        keep_duplicates=recipe.data.keep_duplicates,
    )
    if recipe.data.reasoning_rows is None:
        return loaded.rows, [], loaded.account
    rows, held_out = _split_off("data.reasoning_rows", loaded.rows, recipe.data.reasoning_rows, recipe.seed)
    return rows, held_out, loaded.account


def _split_off(
    key: str, rows: Sequence[ReasoningRow], wanted: int, seed: int
) -> tuple[list[ReasoningRow], list[ReasoningRow]]:
    """(the rest, `wanted` different rows drawn by seed); of rows that repeat each other all are on the same side."""
    unique = list({row.id: row for row in rows}.values())
    if wanted >= len(unique):
        raise UserError(f"taking {wanted} of {len(unique)} rows leaves none to train on", where=key, fix="take fewer")
    _, drawn = split_off(unique, wanted, seed)
    taken = {row.id for row in drawn}
    return [row for row in rows if row.id not in taken], drawn
