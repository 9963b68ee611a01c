"""Adapters of random weights, and exports of them onto the tiny model."""

import pytest
import torch

from training.exporting.export import export_merged
from training.models.adapters import find_adapter
from training.models.base_model import find_base
from training.recipes.recipe_file import load_recipe


def ignore(*_):
    pass


def load(folder, **more):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, **more).eval()


@pytest.fixture
def make_adapter(tiny_model, tmp_path):
    """Save an adapter with random weights, strong enough to be seen."""
    from peft import LoraConfig, get_peft_model

    def make(base=tiny_model, **lora):
        settings = {"r": 4, "init_lora_weights": False, "target_modules": ["q_proj", "down_proj"], **lora}
        torch.manual_seed(3)
        model = get_peft_model(load(base), LoraConfig(task_type="CAUSAL_LM", **settings))
        model.save_pretrained(tmp_path / "made", save_embedding_layers=False)
        return tmp_path / "made"

    return make


@pytest.fixture
def merge(tiny_recipe, tmp_path):
    """Export an adapter folder onto the recipe's base: (the log, the written folder)."""

    def call(folder, *settings, **more):
        recipe = load_recipe(str(tiny_recipe), settings)
        base = find_base(recipe.model)
        out = tmp_path / "out" / "merged"
        how = {"base_weights": "as_trained", "dtype": "bfloat16", "max_shard_size": "5GB", "say": ignore, **more}
        return export_merged(recipe, base, find_adapter("mine", str(folder), base), out, **how), out

    return call
