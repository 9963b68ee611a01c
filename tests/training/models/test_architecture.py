"""A base's layers are read from its configuration, and remembered."""

import json
import shutil
from dataclasses import replace

import pytest

from reports.errors import UserError
from tasks.rendering import load_tokenizer
from training.models.architecture import architecture, embedding_rows
from training.models.base_model import find_base
from training.models.model import base_model
from training.recipes.recipe import ModelSection


@pytest.fixture
def base(tiny_model, tmp_path, monkeypatch):
    """A base that nothing is known of."""
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    architecture.cache_clear()
    yield find_base(ModelSection(base=str(tiny_model)))
    architecture.cache_clear()


def of_kind(tmp_path, **config):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    return base_model(tmp_path / "other", "other", "f" * 64)


def test_the_layers_of_a_llama_with_tied_embeddings(base):
    built, rows = architecture(base), embedding_rows(base)
    inner = {"q_proj": (64, 64), "k_proj": (64, 32), "v_proj": (64, 32), "o_proj": (64, 64)}
    inner |= {"gate_proj": (64, 128), "up_proj": (64, 128), "down_proj": (128, 64)}
    assert rows == len(load_tokenizer(str(base.folder)))
    assert {name.rpartition(".")[2]: shape for name, shape in built.linear.items()} == inner | {"lm_head": (64, rows)}
    assert built.head == "lm_head"
    assert {*built.linear} - {*built.quantisable} == {"lm_head"}
    weights = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    assert built.layer_weights == built.quantisable_weights == weights
    assert built.quantisable_share == 1
    assert built.parameters == weights + 64 * rows + 5 * 64  # with the embedding once, and five norms
    assert (built.layers, built.flash_attention) == (2, True)


def test_the_layers_of_a_gpt2_have_inputs_first(tmp_path):
    sizes = {"n_embd": 8, "n_layer": 3, "n_head": 2, "vocab_size": 50, "n_positions": 16}
    base = of_kind(tmp_path, model_type="gpt2", architectures=["GPT2LMHeadModel"], **sizes)
    built = architecture(base)
    shapes = {name.rpartition(".h.0.")[2]: shape for name, shape in built.linear.items() if ".h.0." in name}
    assert shapes == {
        "attn.c_attn": (8, 24),
        "attn.c_proj": (8, 8),
        "mlp.c_fc": (8, 32),
        "mlp.c_proj": (32, 8),
    }
    assert built.layer_weights == built.quantisable_weights == 3 * (8 * 24 + 8 * 8 + 2 * 8 * 32)
    assert (built.layers, embedding_rows(base)) == (3, 50)


def test_a_layer_that_a_checkpoint_keeps_in_16_bits_is_not_quantised(tmp_path):
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    skips = {"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": ["lm_head", "o_proj"]}
    config = sizes | {"vocab_size": 50, "model_type": "llama", "quantization_config": skips}
    built = architecture(of_kind(tmp_path, **config))
    assert {name.rpartition(".")[2] for name in {*built.linear} - {*built.quantisable}} == {"lm_head", "o_proj"}
    assert built.quantisable_share == 1 - 8 * 8 / (4 * 8 * 8 + 3 * 8 * 16)


def test_layers_are_built_once_and_then_read(base, tmp_path):
    built = architecture(base)
    assert {name.rpartition(".")[2] for name in built.linear} > {"q_proj", "down_proj"}
    assert built.parameters > 0
    (path,) = (tmp_path / "home" / "architectures").iterdir()
    architecture.cache_clear()
    assert architecture(base) == built
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"layers": 99}))
    architecture.cache_clear()
    assert architecture(base) == replace(built, layers=99)
    path.write_text(json.dumps({"linear": 3}))
    architecture.cache_clear()
    assert architecture(base) == built
    assert json.loads(path.read_text()) == value


def test_another_configuration_is_another_architecture(base, tmp_path):
    folder = shutil.copytree(base.folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    other = architecture(find_base(ModelSection(base=str(folder))))
    assert other.layers == 1
    assert other.parameters < architecture(base).parameters


def test_an_unknown_kind_of_model_is_one_message(base, tmp_path):
    folder = shutil.copytree(base.folder, tmp_path / "other")
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-kind"}))
    with pytest.raises(UserError, match="does not know this kind of model"):
        architecture(find_base(ModelSection(base=str(folder))))
