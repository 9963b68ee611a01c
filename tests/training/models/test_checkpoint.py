"""What a configuration means is compared with the headers of the weights before memory is taken."""

import json
import shutil
import subprocess

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from reports.errors import UserError
from training.models.adapters import find_adapter
from training.models.architecture import model_shell
from training.models.base_model import find_base, find_base_config
from training.models.device import device_of
from training.models.loading import check_weights, load_base, load_for_scoring
from training.models.model import base_model
from training.recipes.recipe import ModelSection, QuantizationSection


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def configure(folder, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    model_shell.cache_clear()  # by the folder, whose configuration no run changes
    return find_base(ModelSection(base=str(folder)))


def load(base):
    return load_base(base, None, dtype="float32", device=device_of("cpu"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden_layers": 900}, "num_hidden_layers is 900, but the files hold 20 tensors"),
        (
            {"num_hidden_layers": 12},
            r"means 475,\d+ weights, but the files hold at most 106,\d+, without .*; model.layers has 12 layers, in",
        ),
        ({"num_hidden_layers": 1}, "by the configuration, model.layers has 1 layers, in the files 2"),
        ({"num_hidden_layers": 0}, "by the configuration, model.layers has 0 layers, in the files 2"),
        ({"num_hidden_layers": -1}, "by the configuration, model.layers has 0 layers, in the files 2"),
        ({"transformers_weights": "more/model.safetensors"}, "it names other weights"),
        (
            {"hidden_size": 4096, "head_dim": 1024},
            r"embed_tokens.weight has the shape \[\d+, 4096\], in the files",
        ),
        ({"intermediate_size": 1 << 20}, r"gate_proj.weight has the shape \[1048576, 64\], in the files \[128, 64\]"),
        ({"vocab_size": 1 << 23}, r"embed_tokens.weight has the shape \[8388608, 64\]"),
        ({"tie_word_embeddings": False}, "the configuration means"),
        ({"hidden_size": 1 << 25}, "hidden_size is 33554432"),
        ({"num_attention_heads": 1 << 20}, "num_attention_heads is 1048576"),
        ({"num_hidden_layers": 500, "num_experts": 500}, "it has 500 layers of 500 experts"),
        ({"text_config": {"num_hidden_layers": 5000}}, "num_hidden_layers is 5000"),
        ({"quantization_config": {"load_in_4bit": True}}, "bitsandbytes quantised the weights, but none in the files"),
    ],
)
def test_a_configuration_of_another_model_is_refused_before_loading(model, settings, message):
    with pytest.raises(UserError, match=message) as caught:
        load(configure(model, **settings))
    assert caught.value.where == str(model / "config.json")


def test_a_run_ends_before_it_loads_anything(model, tiny_recipe, tmp_path, command):
    configure(model, num_hidden_layers=12)
    code, out, err = command(
        "run", "--recipe", tiny_recipe, "--models", "base", "--set", f"model.base={model}", "--out", tmp_path / "out"
    )
    assert code == 2
    assert "the configuration means" in err
    assert "Score" not in out


def test_shards_are_added_up(model):
    """The index says which files count; another file in the folder lends no weights."""
    whole = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(whole)
    index: dict[str, str] = {}
    for number, part in enumerate((names[:9], names[9:])):
        file = f"model-{number}.safetensors"
        save_file({name: whole[name] for name in part}, model / file, {"format": "pt"})
        index |= dict.fromkeys(part, file)
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    save_file({"padding": torch.zeros(10**6)}, model / "more.safetensors")
    loaded = load(configure(model)).state_dict()
    assert torch.equal(loaded["model.norm.weight"], whole["model.norm.weight"].float())
    with pytest.raises(UserError, match="the configuration means"):
        check_weights(configure(model, num_hidden_layers=12))


def test_a_quantised_checkpoint_holds_two_weights_in_a_byte(model):
    how = {"dtype": "bfloat16", "device": device_of("cpu")}
    load_base(find_base(ModelSection(base=str(model))), QuantizationSection(), **how).save_pretrained(model)
    assert load_base(find_base(ModelSection(base=str(model))), None, **how).config.quantization_config.load_in_4bit
    with pytest.raises(UserError, match="the configuration means"):
        check_weights(configure(model, num_hidden_layers=4))


def test_a_checkpoint_that_is_quantised_in_part_is_refused(model):
    """Its configuration says that all layers are; bitsandbytes dequantises none of them then."""
    dense = load_file(model / "model.safetensors")
    how = {"dtype": "float32", "device": device_of("cpu")}
    load_base(find_base(ModelSection(base=str(model))), QuantizationSection(), **how).save_pretrained(model)
    name = "model.layers.0.mlp.up_proj.weight"
    quantised = load_file(model / "model.safetensors")
    others = {key: value for key, value in quantised.items() if not key.startswith(name)}
    save_file({**others, name: dense[name]}, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="was to quantise 73,728 weights, but 65,536 are quantised"):
        load_for_scoring(find_base(ModelSection(base=str(model))), None, train_dtype="float32", **how)


def large(folder, config):
    """A model of a real size: its configuration and a sparse file with the header of its weights, tied ones once."""
    config.save_pretrained(folder)
    base = base_model(folder, folder.name, "")
    header, size = {}, 0
    held = model_shell(base).state_dict(keep_vars=True)
    names = {id(weight): name for name, weight in reversed(held.items())}
    for name in names.values():
        weight = held[name]
        end = size + 2 * weight.numel()
        header[name] = {"dtype": "BF16", "shape": list(weight.shape), "data_offsets": [size, end]}
        size = end
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + size)
    return base


@pytest.mark.parametrize(
    "config",
    [
        transformers.LlamaConfig(vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_key_value_heads=8),
        transformers.Qwen2Config(),
        transformers.Gemma2Config(),
        transformers.MistralConfig(),
        transformers.Phi3Config(),
        transformers.MixtralConfig(),
        transformers.GPT2Config(),
    ],
    ids=lambda config: config.model_type,
)
def test_models_that_people_use_are_accepted(tmp_path, config):
    base = large(tmp_path, config)
    check_weights(base)
    config.intermediate_size = config.n_inner = 2 * (getattr(config, "intermediate_size", None) or 3072)
    config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="by the configuration"):
        check_weights(base_model(tmp_path, "larger", ""))


def test_layers_are_counted_in_files_without_the_prefix_of_the_whole_model(tmp_path):
    base = large(tmp_path, transformers.GPT2Config(n_layer=3))
    path = tmp_path / "model.safetensors"
    content = path.read_bytes().replace(b'"transformer.h', b'            "h')  # spaces between JSON's parts
    path.write_bytes(content)
    check_weights(base)
    transformers.GPT2Config(n_layer=2).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"transformer\.h has 2 layers, in the files 3"):
        check_weights(base_model(tmp_path, "fewer", ""))


def test_layers_that_the_models_class_leaves_out_are_not_counted(model):
    """Such as those that predict further tokens."""
    weights = load_file(model / "model.safetensors")
    further = {name.replace("layers.1", "layers.2"): weight for name, weight in weights.items() if "layers.1" in name}
    save_file({name: weight.clone() for name, weight in (weights | further).items()}, model / "model.safetensors")
    with pytest.raises(UserError, match=r"model\.layers has 2 layers, in the files 3"):
        check_weights(configure(model))
    check_weights(configure(model, num_nextn_predict_layers=1))
    with pytest.raises(UserError, match=r"model\.layers has 2 layers, in the files 3"):
        check_weights(configure(model, num_nextn_predict_layers="1"))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"rms_norm_eps": 1.0}),
        ("config.json", {"rope_parameters": {"rope_theta": 9.0, "rope_type": "default"}}),
        ("generation_config.json", {"eos_token_id": 3}),
    ],
)
def test_a_bases_hash_covers_what_decides_its_answers(model, file, change):
    before = find_base(ModelSection(base=str(model)))
    path = model / file
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | change))
    after = find_base(ModelSection(base=str(model)))
    assert after.sha256 == before.sha256
    assert after.config_sha256 != before.config_sha256


@pytest.mark.parametrize("find", [find_base, find_base_config], ids=["weights", "configuration"])
def test_a_base_folder_with_an_adapter_beside_the_weights_is_rejected_with_a_command_that_separates_them(
    model, adapter, find
):
    """Transformers would attach the adapter, or load the base that the adapter names, from anywhere."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, model)
    with pytest.raises(UserError, match="this base folder contains an adapter too") as caught:
        find(ModelSection(base=str(model)))
    command, _, rest = caught.value.fix.partition("; ")
    assert rest == "the adapter is scored with --models base,NAME=ITS-FOLDER"
    subprocess.run(command, shell=True, check=True)
    base = find(ModelSection(base=str(model)))
    assert find_adapter("mine", str(model / "adapter"), base).is_adapter


def test_a_folder_with_an_adapter_alone_is_no_base(adapter):
    with pytest.raises(UserError, match="it holds an adapter, not a whole model"):
        find_base(ModelSection(base=str(adapter)))


def test_adapter_weights_within_the_bases_own_file_are_not_ignored(model):
    weights = load_file(model / "model.safetensors")
    weights["model.layers.0.self_attn.q_proj.lora_A.weight"] = torch.zeros(4, 64)
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights of an adapter, such as model\.layers\.0.*lora_A"):
        load_base(find_base(ModelSection(base=str(model))), None, dtype="float32", device=device_of("cpu"))
