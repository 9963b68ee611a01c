"""Rows are divided by seed, and none is both trained on and asked."""

import pytest

from reports.errors import UserError
from tasks.data import load_reasoning
from training.recipes.recipe_file import load_recipe
from training.splits import held_out_source, training_rows

SAME_SOURCE = ["data.reasoning=null", "data.reasoning_rows=10", "data.train.rows=40", "data.validation_rows=6"]


def ids(rows):
    return {row.id for row in rows}


def test_one_source_gives_training_validation_and_held_out_rows_without_overlap():
    recipe = load_recipe("quickstart", SAME_SOURCE)
    rows = training_rows(recipe)
    held_out = load_reasoning(held_out_source(recipe), seed=recipe.seed)
    assert (len(rows.train), len(rows.validation), len(held_out)) == (34, 6, 10)
    assert len(ids(rows.train) | ids(rows.validation) | ids(held_out)) == 50


def test_the_held_out_rows_do_not_depend_on_how_many_are_trained_on():
    few, many = (load_recipe("quickstart", [*SAME_SOURCE, f"data.train.rows={rows}"]) for rows in (20, 60))
    assert held_out_source(few).ids == held_out_source(many).ids


def test_another_seed_divides_otherwise():
    one, other = (load_recipe("quickstart", [*SAME_SOURCE, f"seed={seed}"]) for seed in (1, 2))
    assert held_out_source(one).ids != held_out_source(other).ids


@pytest.mark.parametrize("setting", ["data.validation_rows=96", "data.reasoning_rows=96"])
def test_a_division_that_leaves_nothing_to_train_on_is_refused(setting):
    recipe = load_recipe("quickstart", ["data.reasoning=null", setting])
    with pytest.raises(UserError, match="leaves none to train on"):
        training_rows(recipe)
