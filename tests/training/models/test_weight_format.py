"""Which share of a base's weights is quantised: planned from the configuration, counted after loading, and stated."""

import json
import shutil

import pytest
import torch

from benchmarks.tiny_models import make_model
from reports.document.reading import read_results
from reports.errors import UserError
from training.log import read_log
from training.models.architecture import architecture, model_shell
from training.models.base_model import find_base
from training.models.device import device_of
from training.models.loading import load_base, load_for_scoring
from training.models.weight_format import quantised_share, quantised_weights, weight_format
from training.recipes.recipe import ModelSection, QuantizationSection

CPU = device_of("cpu")
SCORING = {"train_dtype": "float32", "dtype": "float32", "device": CPU}


@pytest.fixture
def base(tmp_path):
    return lambda family: find_base(ModelSection(base=str(make_model(family, tmp_path / family))))


@pytest.mark.parametrize(
    ("family", "share", "words"),
    [
        ("llama", 1, "NF4 with double quantisation, dequantised once to float32"),
        ("gpt2", 1, "NF4 with double quantisation, dequantised once to float32"),
        (
            "qwen3-moe",
            0.199,
            "NF4 with double quantisation in 19.9 % of the layers' weights, dequantised once to float32",
        ),
        ("falcon", 0, "float32, not quantised (NF4 quantises none of its layers)"),
    ],
)
def test_the_planned_share_of_quantised_weights_is_that_of_the_loaded_model(base, family, share, words):
    model = base(family)
    held = weight_format(model, QuantizationSection())
    assert held.share == pytest.approx(share, abs=5e-4)
    assert held.in_scoring("float32", dense=True) == words
    assert quantised_share(load_base(model, QuantizationSection(), dtype="float32", device=CPU), model) == held.share
    scored = load_for_scoring(model, QuantizationSection(), **SCORING)
    assert quantised_weights(scored) == 0
    assert torch.isfinite(scored(torch.arange(9)[None]).logits).all()


@pytest.mark.parametrize(
    ("family", "warning"),
    [
        ("llama", ""),
        ("mixtral", "quantization.method nf4 quantises only 11.1 % of the layers' weights: "),
        ("falcon", "quantization.method nf4 quantises none of the layers' weights: "),
    ],
)
def test_a_recipe_that_quantises_little_is_warned_of(base, family, warning):
    assert weight_format(base(family), QuantizationSection()).warning.startswith(warning)
    assert not weight_format(base(family), None).warning


def test_a_model_of_which_nothing_can_be_quantised_is_loaded_as_it_is(base):
    model = base("falcon")
    plain = load_for_scoring(model, None, **SCORING)
    int8 = QuantizationSection(method="int8")
    scored = load_for_scoring(model, int8, **SCORING)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), scored.parameters(), strict=True))
    assert weight_format(model, int8).summary == "none (int8 quantises none of its layers)"


@pytest.mark.parametrize(
    ("own", "summary", "words"),
    [
        (
            {"quant_method": "gptq", "bits": 4},
            "gptq, by its checkpoint",
            "GPTQ by its checkpoint, held so, computed in float16",
        ),
        (
            {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
            "nf4, by its checkpoint",
            "NF4 by its checkpoint, dequantised once to float16",
        ),
        (
            {"quant_method": "bitsandbytes", "load_in_8bit": True},
            "int8, by its checkpoint",
            "INT8 by its checkpoint, dequantised once to float16",
        ),
    ],
)
def test_a_quantised_checkpoint_is_called_by_its_own_method(tiny_model, tmp_path, own, summary, words):
    folder = shutil.copytree(tiny_model, tmp_path / "own")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": own}))
    for quantization in (None, QuantizationSection(method="fp4")):
        held = weight_format(find_base(ModelSection(base=str(folder))), quantization)
        assert held.summary == summary
        assert held.in_scoring("float16", dense=True) == words


def test_the_training_log_and_the_results_state_the_share(tiny_run):
    log, results = read_log(tiny_run / "adapter"), read_results(tiny_run)
    assert log.quantized_share == results.training.quantized_share == 1
    assert [model.quantized_share for model in results.models] == [1, 1]
    assert results.reproduction.quantization == "nf4, double quantisation"


def test_a_base_that_is_quantised_otherwise_than_planned_is_an_error(tiny_model, tmp_path):
    """As where a later transformers replaces other layers."""
    base = find_base(ModelSection(base=str(shutil.copytree(tiny_model, tmp_path / "model"))))
    planned = architecture(base)
    model_shell.cache_clear()
    del planned.quantisable[0]
    with pytest.raises(UserError, match="nf4 was to quantise 69,632 weights, but 73,728 are quantised"):
        load_base(base, QuantizationSection(), dtype="float32", device=CPU)
    architecture.cache_clear()
