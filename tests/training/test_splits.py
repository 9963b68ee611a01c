"""Rows are divided by seed, and none is both trained on and asked."""

import pytest

from reports.errors import UserError
from tasks.data import load_reasoning
from training.recipes.recipe_file import load_recipe
from training.splits import example_source, held_out_source, training_rows

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
    first, again, second = (ids(training_rows(recipe).validation) for recipe in (one, one, other))
    assert first == again != second


def test_validation_rows_select_the_checkpoint_where_the_best_is_kept():
    kept = ["trainer.keep_best=true", "trainer.eval_steps=2"]
    for settings, expected in ((kept, True), ([], False)):
        recipe = load_recipe("quickstart", [*SAME_SOURCE, *settings])
        assert training_rows(recipe).validation_selects_checkpoint is expected


@pytest.mark.parametrize("setting", ["data.validation_rows=96", "data.reasoning_rows=96"])
def test_a_division_that_leaves_nothing_to_train_on_is_refused(setting):
    recipe = load_recipe("quickstart", ["data.reasoning=null", setting])
    with pytest.raises(UserError, match="leaves none to train on") as caught:
        training_rows(recipe)
    assert caught.value.where == setting.partition("=")[0]


def test_a_validation_source_of_its_own_is_drawn_from_by_seed_and_takes_no_row():
    source = "data.validation={source: samples:reasoning_heldout, rows: 5}"
    settings = ["data.validation_rows=null", "data.train.rows=40", source]
    recipes = [load_recipe("quickstart", [*settings, f"seed={seed}"]) for seed in (1, 1, 2)]
    divided = [training_rows(recipe) for recipe in recipes]
    assert [len(rows.train) for rows in divided] == [40, 40, 40]
    assert set(divided[0].accounts) == {"train", "validation"}
    first, again, other = (ids(rows.validation) for rows in divided)
    assert first == again == ids(load_reasoning(recipes[0].data.validation, seed=1))
    assert first != other


def test_few_shot_examples_are_none_of_the_held_out_rows():
    settings = [*SAME_SOURCE, "data.train.exclude_ids=[reasoning-1]"]
    zero_shot, few_shot = (load_recipe("quickstart", [*settings, f"scoring.num_fewshot={n}"]) for n in (0, 2))
    assert example_source(zero_shot) == zero_shot.data.train
    unwanted, held_out = example_source(few_shot).exclude_ids, held_out_source(few_shot).ids
    assert isinstance(unwanted, list)
    assert isinstance(held_out, list)
    assert {*unwanted} == {*held_out, "reasoning-1"}
    own = load_recipe("quickstart", ["scoring.num_fewshot=2"])
    assert example_source(own) == own.data.train


def test_without_a_source_the_held_out_rows_are_the_samples():
    recipe = load_recipe("quickstart", ["data.reasoning=null", "data.reasoning_rows=null"])
    assert held_out_source(recipe).source == "samples:reasoning_heldout"


def test_rows_that_repeat_each_other_are_on_the_same_side(write_rows):
    rows = [{"question": f"{n % 5}?", "complex_cot": "So.", "response": "Yes."} for n in range(15)]
    source = f"data.train={{source: {write_rows(*rows)}}}"
    settings = [source, "data.keep_duplicates=true", "data.reasoning=null", "data.reasoning_rows=1"]
    recipe = load_recipe("quickstart", [*settings, "data.validation_rows=1"])
    divided = training_rows(recipe)
    held_out = load_reasoning(held_out_source(recipe), seed=recipe.seed)
    assert (len(divided.train), len(divided.validation), len(held_out)) == (9, 1, 1)
    assert not ids(divided.train) & (ids(divided.validation) | ids(held_out))
    assert len(training_rows(load_recipe("quickstart", [source])).train) == 5
    removed = training_rows(load_recipe("quickstart", [source])).accounts["train"]
    assert "data.keep_duplicates=true" in removed.remarks("data.train")[0]
    assert "data.keep_duplicates" not in removed.remarks("data.train", is_trained_on=False)[0]


def test_gold_answers_that_violate_their_format_are_counted_and_left_out_on_request(write_rows):
    answers = ("Yes.", "<think>Few.</think>Yes.", "No.")
    rows = [{"question": f"{n}?", "complex_cot": "So.", "response": text} for n, text in enumerate(answers)]
    settings = [f"data.train.source={write_rows(*rows)}", "data.train.rows=null", "format.name=think"]
    kept, dropped = (
        training_rows(load_recipe("quickstart", [*settings, f"data.train.format_violations={what}"]))
        for what in ("keep", "drop")
    )
    assert (len(kept.train), len(dropped.train)) == (3, 2)
    problems = {"duplicate: <think>": 1, "duplicate: </think>": 1, "empty: response": 1}
    assert kept.accounts["train"].violations == dropped.accounts["train"].violations == problems
    (remark,) = kept.accounts["train"].remarks("data.train")
    assert "read the reasoning from the response, where 1 have it (--set data.train.kind=question-answer)" in remark
    assert "(--set data.train.format_violations=drop)" in remark
    read = training_rows(
        load_recipe("quickstart", [*settings[:2], "data.train.kind=question-answer", "format.name=plain"])
    )
    assert [row.reasoning for row in read.train] == ["", "Few.", ""]
    assert read.accounts["train"].unused_reasoning == 1
