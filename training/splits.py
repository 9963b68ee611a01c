"""Divides a recipe's rows: what is trained on, what validates, and what is held out to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.errors import UserError
from tasks.data import DataSource, load_reasoning, sample_indices, split_off
from tasks.data.selection import read_ids

if TYPE_CHECKING:
    from tasks.data import ReasoningRow
    from training.recipes.recipe import Recipe


@dataclass(frozen=True)
class TrainingRows:
    """The rows to train on and the rows whose loss is followed meanwhile.

    Attributes:
        validation_selects_checkpoint: Whether the adapter with the lowest validation loss is saved, so that it has
            learned from those rows.
    """

    train: list[ReasoningRow]
    validation: list[ReasoningRow]
    validation_selects_checkpoint: bool = False


def training_rows(recipe: Recipe) -> TrainingRows:
    """Read and divide the rows of a recipe.

    Raises:
        UserError: The data cannot be read, or the division leaves nothing to train on.
    """
    rows, _ = _held_out(recipe)
    drawn = sample_indices(len(rows), recipe.data.train.rows, recipe.seed)
    rows = [rows[index] for index in drawn]
    selects = recipe.trainer.keep_best
    if recipe.data.validation is not None:
        return TrainingRows(rows, load_reasoning(recipe.data.validation, seed=recipe.seed), selects)
    if recipe.data.validation_rows is None:
        return TrainingRows(rows, [])
    _check("data.validation_rows", recipe.data.validation_rows, len(rows))
    return TrainingRows(*split_off(rows, recipe.data.validation_rows, recipe.seed), selects)


def held_out_source(recipe: Recipe) -> DataSource:
    """Where the held-out reasoning rows come from: their own source, or rows split off the training source by seed."""
    if recipe.data.reasoning_rows is None:
        return recipe.data.reasoning or DataSource(source="samples:reasoning_heldout")
    _, held_out = _held_out(recipe)
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


def _held_out(recipe: Recipe) -> tuple[list[ReasoningRow], list[ReasoningRow]]:
    """(rows that may be trained on, rows held out of the same source); the first are not yet drawn from."""
    rows = load_reasoning(recipe.data.train.model_copy(update={"rows": None}), seed=recipe.seed)
    if recipe.data.reasoning_rows is None:
        return rows, []
    _check("data.reasoning_rows", recipe.data.reasoning_rows, len(rows))
    return split_off(rows, recipe.data.reasoning_rows, recipe.seed)


def _check(key: str, wanted: int, there: int) -> None:
    if wanted >= there:
        raise UserError(f"taking {wanted} of {there} rows leaves none to train on", where=key, fix="take fewer")
