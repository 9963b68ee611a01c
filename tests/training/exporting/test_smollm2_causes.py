"""Causes in weights of the real SmolLM2, a quarter of its layers, with an adapter and every fault planted."""

import pytest
import torch

from tests.conftest import first_layers
from tests.training.exporting import planted
from tests.training.exporting.test_weight_causes import Case

pytestmark = [pytest.mark.slow, pytest.mark.real_model]
Q_PROJ = "model.layers.3.self_attn.q_proj.weight"
NORM = "model.layers.5.input_layernorm.weight"
LAYERS = 8  # of 30, for time; what is found is found layer by layer
STRENGTH = 11 * (LAYERS / 30) ** 0.5  # norm of the adapter's change, that of the quickstart's for as many layers


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """SmolLM2 with an adapter as strong as the quickstart's."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    work = tmp_path_factory.mktemp("smollm2")
    folder = first_layers(work / "base", LAYERS)
    wrapped = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, init_lora_weights=False, target_modules="all-linear"),
    )
    wrapped.save_pretrained(work / "raw")
    case = Case(folder, planted.make_lora(work / "raw", work / "mine", seed=1), work / "target")
    strength = sum(float(change.square().sum()) for change in case.change.values()) ** 0.5
    mine = planted.make_lora(work / "raw", work / "mine", seed=1, size=STRENGTH / strength)
    return Case(folder, mine, work / "target")


def noisy(weights):
    generator = torch.Generator().manual_seed(0)
    return {
        name: weight + 0.02 * weight.std() * torch.randn(weight.shape, generator=generator)
        if planted.is_layer(name)
        else weight
        for name, weight in weights.items()
    }


def swapped(weights):
    result = dict(weights)
    for name in weights:
        if ".layers.3." in name:
            other = name.replace(".layers.3.", ".layers.7.")
            result[name], result[other] = weights[other], weights[name]
    return result


def other_adapter(case):
    return planted.changes(planted.make_lora(case.adapter, case.out.parent / "other", seed=5))


FAULTS = {
    "none": (lambda case: case.merged, []),
    "twice": (lambda case: planted.plus(case.trained, case.change, 2), ["merged_twice"]),
    "half": (lambda case: planted.plus(case.trained, case.change, 0.5), ["adapter_scale"]),
    "missing": (lambda case: case.trained, ["missing_adapter"]),
    "published base": (lambda case: case.base, ["missing_adapter"]),
    "wrong": (lambda case: planted.plus(case.trained, other_adapter(case)), ["wrong_adapter"]),
    "full base": (lambda case: planted.plus(case.base, case.change), ["precision"]),
    "q4_0": (lambda case: planted.quantised(case.merged, "q4_0"), ["precision"]),
    "q8_0": (lambda case: planted.quantised(case.merged, "q8_0"), ["precision"]),
    "half in q4_0": (
        lambda case: planted.quantised(planted.plus(case.trained, case.change, 0.5), "q4_0"),
        ["adapter_scale", "precision"],
    ),
    "missing in q4_0": (lambda case: planted.quantised(case.base, "q4_0"), ["missing_adapter", "precision"]),
    "swapped": (lambda case: swapped(case.merged), ["weights"]),
    "one layer": (lambda case: case.merged | {Q_PROJ: case.trained[Q_PROJ]}, ["weights"]),
    "norm": (lambda case: case.merged | {NORM: 1.5 * case.merged[NORM]}, ["weights"]),
    "noise": (lambda case: noisy(case.merged), ["weights"]),
    "half and noise": (lambda case: noisy(planted.plus(case.trained, case.change, 0.5)), ["adapter_scale", "weights"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_found(case, fault):
    plant, keys = FAULTS[fault]
    assert case.keys(plant(case), "float16" if "q4" in fault else "bfloat16") == keys


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_other_dtypes_without_a_fault_have_no_causes(case, dtype):
    assert case.keys(case.merged, dtype) == []
