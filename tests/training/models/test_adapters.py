"""Adapters are checked against their base before anything is loaded."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from reports.errors import UserError
from training.models.adapter_config import check_config, merge_command
from training.models.adapters import find_adapter
from training.models.base_model import find_base
from training.recipes.recipe import ModelSection


def test_a_fitting_adapter_is_found(base, adapter):
    found = find_adapter("mine", str(adapter), base)
    assert (found.name, found.folder) == ("mine", adapter)


def test_an_adapter_of_another_base_is_refused(wide_model, adapter):
    other = find_base(ModelSection(base=str(wide_model)))
    with pytest.raises(UserError, match="the adapter is for another base"):
        find_adapter("mine", str(adapter), other)


def test_weights_that_do_not_fit_the_base_that_they_name_are_no_reason_to_give_that_base(wide_model, adapter):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": f"hub/{wide_model.name}"}))
    with pytest.raises(UserError) as caught:
        find_adapter("mine", str(adapter), find_base(ModelSection(base=str(wide_model))))
    assert f"it names this base (hub/{wide_model.name}), but its weights are of another one" in caught.value.fix


def test_an_adapter_for_layers_that_the_base_lacks_is_refused(base, adapter):
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    renamed = {key.replace("layers.1.", "layers.7."): value for key, value in weights.items()}
    save_file(renamed, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"layers\.7\..* which .* does not have"):
        find_adapter("mine", str(adapter), base)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "there is no adapter_config.json"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "invalid JSON"),
        (
            lambda folder: (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"})),
            "not a LoRA adapter",
        ),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x" * 40), "not a safetensors file"),
        (lambda folder: (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin"), "pickled"),
    ],
)
def test_broken_adapter_folders_are_refused(base, adapter, change, message):
    change(adapter)
    with pytest.raises(UserError, match=message):
        find_adapter("mine", str(adapter), base)


def test_a_missing_folder_and_a_missing_hub_id_are_told_apart(base, tmp_path):
    with pytest.raises(UserError, match="no such adapter folder"):
        find_adapter("mine", str(tmp_path / "none"), base)
    with pytest.raises(UserError, match="hub model nobody/none"):
        find_adapter("mine", "nobody/none", base)


def test_a_base_without_safetensors_or_that_is_nowhere_is_refused(tmp_path):
    with pytest.raises(UserError, match="no safetensors"):
        find_base(ModelSection(base=str(tmp_path)))
    with pytest.raises(UserError, match="no such model folder"):
        find_base(ModelSection(base=str(tmp_path / "none" / "deeper")))
    with pytest.raises(UserError, match="hub model nobody/none"):
        find_base(ModelSection(base="nobody/none"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["out"], "it is no adapter but holds out\n.*such as NAME=.*/out, or all of them: 'NAME=.*/\\*'$"),
        (
            ["checkpoint-100", "checkpoint-20"],
            "holds checkpoint-20, checkpoint-100\n.*such as NAME=.*/checkpoint-100, or .*'NAME=.*/checkpoint-\\*'$",
        ),
        (["run/checkpoint-5", "run/final"], "holds run/checkpoint-5, run/final\n.*such as NAME=.*/run/final$"),
        ([f"c{number}" for number in range(12)], "c9 and 2 more\n"),
    ],
)
def test_a_folder_of_adapters_is_refused_with_their_names(base, adapter, tmp_path, names, message):
    for name in names:
        shutil.copytree(adapter, tmp_path / "outputs" / name)
    with pytest.raises(UserError, match=f"(?s){message}"):
        find_adapter("mine", str(tmp_path / "outputs"), base)


WITHOUT_EMBEDDINGS = "and its own rows are not in the file\n.*save_embedding_layers=True"
FOREIGN = "which is the name of a weight in a compiled or wrapped model\n.*save_pretrained from the model inside"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name: name.replace("model.layers", "_orig_mod.model.layers"), FOREIGN),
        (lambda name: name.replace(".self_attn", "._fsdp_wrapped_module.self_attn"), FOREIGN),
        (lambda name: f"module.{name}", FOREIGN),
        (lambda name: name.removeprefix("base_model.model."), "do not begin with base_model.model"),
    ],
)
def test_weights_that_peft_would_not_load_are_refused(base, adapter, change, message):
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({change(name): weight for name, weight in weights.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match=message):
        find_adapter("mine", str(adapter), base)


@pytest.mark.parametrize(
    ("settings", "saves", "message"),
    [
        (
            {},
            True,
            "was enlarged by 4 to 504 rows of .*, which needs its tokenizer, .*\n.*copy the tokenizer .* python -c",
        ),
        ({"target_modules": ["embed_tokens"]}, False, WITHOUT_EMBEDDINGS),
        ({"target_modules": ["lm_head"]}, False, WITHOUT_EMBEDDINGS),
        ({"trainable_token_indices": [502]}, False, "names the token 502, but there are only 500\n.*python -c"),
    ],
)
def test_a_resized_vocabulary_without_its_rows_or_tokenizer_is_not_another_base(
    base, tiny_model, tmp_path, settings, saves, message
):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.resize_token_embeddings(504)
    lora = LoraConfig(**{"r": 4, "target_modules": ["q_proj"], **settings})
    get_peft_model(model, lora).save_pretrained(tmp_path / "more", save_embedding_layers=saves)
    with pytest.raises(UserError, match=message):
        find_adapter("mine", str(tmp_path / "more"), base)


def config(**more):
    return check_config({"peft_type": "LORA", "peft_version": "0.99.0", **more}, Path("folder") / "adapter_config.json")


@pytest.mark.parametrize(
    "more",
    [
        {"later_switch": False, "later_number": 0, "later_config": None, "later_names": [], "later_map": {}},
        {"later_config": {"is_on": False, "names": [], "kind": "none"}},
        {"enable_lora": None, "merge_weights": False},  # of PEFT 0.2
        {"qalora_group_size": 32, "megatron_core": "megatron.core", "loftq_config": {}, "corda_config": None},
        {"runtime_config": {"ephemeral_gpu_offload": True}, "auto_mapping": {"unsloth_fixed": True}},
        {"init_lora_weights": "eva", "eva_config": {"rho": 2.0}},
        {"init_lora_weights": "orthogonal", "lora_dropout": 0.5, "inference_mode": False},
    ],
)
def test_settings_that_change_nothing_are_accepted(more):
    assert config(**more).r == 8


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"later_switch": True}, "later_switch"),
        ({"later_number": 3, "later_config": {"is_on": True}}, "later_config, later_number"),
        ({"velora_config": {}}, "velora_config"),  # an empty object switches it on
        ({"kasa_config": {"beta": 0.1}}, "kasa_config"),
        ({"init_lora_weights": "later"}, "init_lora_weights=later"),
    ],
)
def test_settings_of_other_kinds_are_refused_by_name(more, named):
    message = rf"the adapter sets {named}, which medbench does not support \(written by PEFT 0.99.0\)\n.*python -c"
    with pytest.raises(UserError, match=message):
        config(**more)


def test_what_cannot_be_merged_either_gets_no_command():
    with pytest.raises(UserError, match=r"alora_invocation_tokens.*\n.*PEFT cannot merge this kind either$"):
        config(alora_invocation_tokens=[1, 2])


def test_the_command_for_a_merge_works(tiny_model, tmp_path, monkeypatch):
    """With LoRA of a tied embedding and more tokens, where merging into shared weights would change the head too."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    def resized():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        model.resize_token_embeddings(520)
        return model

    folder = tmp_path / "my adapter's"
    lora = LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"], init_lora_weights=False)
    get_peft_model(resized(), lora).save_pretrained(folder)
    command, setting = merge_command(folder, str(tiny_model), 520).split(", then ")
    monkeypatch.chdir(tmp_path)
    exec(shlex.split(command)[2], {})
    merged = tmp_path / shlex.split(setting)[1].removeprefix("model.base=")
    ids = torch.tensor([[5, 6, 7, 8]])
    wanted = PeftModel.from_pretrained(resized(), folder)(ids).logits
    logits = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)(ids).logits
    assert torch.allclose(logits, wanted, atol=1e-3)
    assert (merged / "tokenizer.json").is_file()
