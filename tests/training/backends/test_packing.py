"""Packing: rows in one sequence do not see each other, and are refused where they would."""

from itertools import chain

import pytest
import torch

from reports.errors import UserError
from training.backends.packing import check_apart, pack
from training.finetune import finetune
from training.models.base_model import find_base
from training.models.device import device_of
from training.models.loading import load_base
from training.recipes.recipe_file import load_recipe
from training.splits import training_rows


@pytest.fixture
def model(tiny_recipe):
    recipe = load_recipe(str(tiny_recipe), ["quantization.method=none"])
    return load_base(find_base(recipe.model), recipe.quantization, dtype="float32", device=device_of("cpu"))


def test_a_packed_row_has_the_logits_it_has_alone(model):
    check_apart(model)
    rows = [torch.arange(5, 17), torch.arange(60, 80), torch.arange(30, 39)]
    packed = model(
        input_ids=torch.cat(rows).unsqueeze(0),
        position_ids=torch.cat([torch.arange(len(row)) for row in rows]).unsqueeze(0),
        use_cache=False,
    ).logits[0]
    alone = torch.cat([model(input_ids=row.unsqueeze(0)).logits[0] for row in rows])
    assert torch.allclose(packed, alone, atol=1e-4)


def test_attention_that_sees_from_one_row_into_another_is_refused(model):
    forward = model.forward
    model.forward = lambda input_ids, position_ids, use_cache: forward(input_ids=input_ids, use_cache=use_cache)
    with pytest.raises(UserError, match=r"see each other\n.*packing=false"):
        check_apart(model)


def test_no_row_is_cut_or_lost_by_packing():
    from datasets import Dataset

    rows = [{"input_ids": [row] * (row + 2), "labels": [-100] + [row] * (row + 1)} for row in range(9)]
    packed = pack(Dataset.from_list(rows), 16)
    assert max(map(len, packed["input_ids"])) <= 16
    lengths, labels = ([*chain.from_iterable(packed[column])] for column in ("seq_lengths", "labels"))
    assert sorted(lengths) == sorted(len(row["input_ids"]) for row in rows)
    assert labels.count(-100) == len(rows)


def test_packed_rows_train_like_rows_one_by_one(tiny_recipe, tmp_path):
    """One batch of all rows has the same loss, packed or not: the mean over the same tokens."""
    losses = []
    for packing, batch in (("true", 1), ("false", 4)):
        settings = [f"trainer.packing={packing}", f"trainer.batch_size={batch}", "trainer.max_length=1024"]
        settings += ["trainer.max_steps=1", "trainer.eval_steps=null", "data.validation_rows=null", "data.train.rows=4"]
        recipe = load_recipe(str(tiny_recipe), [*settings, "trainer.gradient_accumulation=4"])
        if packing == "false":
            recipe = load_recipe(str(tiny_recipe), [*settings, "trainer.gradient_accumulation=1"])
        folder = tmp_path / packing
        log = finetune(recipe, find_base(recipe.model), training_rows(recipe), folder, lambda *_: None)
        losses.append(log.losses[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
