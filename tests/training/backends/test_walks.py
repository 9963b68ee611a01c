"""A trainer's model keeps its parameters, their number and its mode in mind while it trains, and no longer."""

from types import SimpleNamespace
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from benchmarks.families import FAMILIES
from benchmarks.tiny_models import make_config, make_tokenizer
from tests.training.backends.test_packing import trained
from training.backends.walks import shorten_walks


def test_validation_between_steps_leaves_dropout_on_in_training(tiny_recipe, tmp_path):
    settings = ("lora.dropout=0.5", "trainer.max_steps=4", "trainer.eval_steps=1", "data.validation_rows=2")
    theirs = trained(tiny_recipe, tmp_path / "theirs", *settings, speedups=())
    ours = trained(tiny_recipe, tmp_path / "ours", *settings, speedups=(shorten_walks,))
    assert ours[1] == theirs[1]
    without = trained(tiny_recipe, tmp_path / "without", *settings[1:], speedups=(shorten_walks,))
    assert without[1] != ours[1]


def test_the_model_is_as_before_once_training_ends():
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_config(make_config(FAMILIES["llama"], make_tokenizer()))
    model = get_peft_model(base, LoraConfig(target_modules=["q_proj"], r=2))
    callbacks: list[Any] = []
    shorten_walks(SimpleNamespace(model=model, add_callback=callbacks.append), None)
    model.eval()
    weights, count, own = [*model.parameters()], model.num_parameters(exclude_embeddings=True), {*vars(model)}
    callbacks[0].on_train_begin()
    assert all(module.training for module in model.modules())
    for mode in (False, True, True, False, True):
        assert model.train(mode) is model
        assert {module.training for module in model.modules()} == {mode}
    base.eval()  # not by way of the model
    model.train()
    assert all(module.training for module in model.modules())
    assert all(one is other for one, other in zip(model.parameters(), weights, strict=True))
    assert list(model.parameters(recurse=False)) == []
    assert model.num_parameters(exclude_embeddings=True) == count
    callbacks[0].on_train_end()
    assert {*vars(model)} == own
    model.register_parameter("further", torch.nn.Parameter(torch.zeros(1)))
    assert len([*model.parameters()]) == len(weights) + 1
