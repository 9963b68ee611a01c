"""Merging an adapter into its base: the folder is plain, whole, and agrees with the unmerged adapter."""

import json
import shutil

import pytest
import torch
from transformers import AutoTokenizer

from reports.errors import UserError
from tests.training.exporting.conftest import load
from training.exporting.agreement import compare, logits
from training.exporting.export_log import ExportLog
from training.models.base_model import find_base
from training.models.device import device_of
from training.models.loading import load_for_scoring
from training.recipes.recipe import ModelSection, QuantizationSection

PROMPTS = [[0, 5, 9, 31, 77, 140], [0, 3, 8, 200]]


def unmerged(base, adapter):
    from peft import PeftModel

    return PeftModel.from_pretrained(base, str(adapter)).eval()


def test_the_written_folder_is_plain_and_whole(tiny_run, tiny_model, merge):
    from transformers import AutoTokenizer

    log, folder = merge(tiny_run / "adapter")
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert names >= {"recipe.yaml", "export.json"}
    model = load(folder)
    assert model.dtype == torch.bfloat16
    assert model.config.tie_word_embeddings
    assert not hasattr(model.config, "quantization_config")
    assert (
        AutoTokenizer.from_pretrained(folder).chat_template == AutoTokenizer.from_pretrained(tiny_model).chat_template
    )
    assert ExportLog.model_validate(json.loads((folder / "export.json").read_text())) == log
    assert log.mean_kl < log.tolerance_kl < log.adapter_kl
    assert log.base_weights == "as_trained"
    assert log.weights == "NF4 with double quantisation, dequantised once to float32"
    assert [path.name for path in folder.parent.iterdir()] == ["merged"]
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o044 == 0o044, path
        assert path.name == "recipe.yaml" or str(tiny_model.parent).encode() not in path.read_bytes(), path


def test_the_card_names_the_base_and_says_what_it_is_not_for(tiny_run, merge):
    from huggingface_hub import ModelCard

    _, folder = merge(tiny_run / "adapter")
    card = ModelCard.load(folder / "README.md")
    assert (card.data.base_model, card.data.library_name) == ("tiny", "transformers")
    assert "Not medical advice" in card.text
    assert "synthetic" in card.text
    assert "NF4" in card.text


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_merged_weights_are_the_sum_rounded_once(tiny_run, tiny_model, merge, dtype):
    """Against the arithmetic of LoRA itself, not PEFT's merge: W + alpha / r * B A on the weights that training saw."""
    from safetensors.torch import load_file

    adapter = tiny_run / "adapter"
    _, folder = merge(adapter, dtype=dtype)
    base = find_base(ModelSection(base=str(tiny_model)))
    seen = load_for_scoring(
        base, QuantizationSection(), train_dtype="float32", dtype="float32", device=device_of("cpu")
    )
    lora = load_file(adapter / "adapter_model.safetensors")
    merged = load_file(folder / "model.safetensors")
    names = [key for key in lora if key.endswith("lora_A.weight")]
    assert len(names) == 2 * 7
    for key in names:
        name = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        update = 8 / 4 * lora[key.replace("lora_A", "lora_B")] @ lora[key]
        wanted = (seen.get_submodule(name).weight + update).to(merged[f"{name}.weight"].dtype)
        torch.testing.assert_close(
            merged[f"{name}.weight"], wanted, rtol=2**-7 if dtype != "float32" else 1e-5, atol=1e-6
        )
        assert (merged[f"{name}.weight"] == wanted).float().mean() > (0.999 if dtype != "float32" else 0.5)


def test_the_finer_the_dtype_the_better_the_agreement(tiny_run, merge):
    divergence = {}
    for dtype in ("bfloat16", "float16", "float32"):
        log, folder = merge(tiny_run / "adapter", dtype=dtype)
        shutil.rmtree(folder)
        divergence[dtype] = log.mean_kl
    # Rounding errors go with the unit roundoff, divergence with its square: 8 times finer is 64 times nearer.
    assert divergence["bfloat16"] / divergence["float16"] == pytest.approx(64, rel=0.7)
    assert divergence["float32"] < 1e-9


def test_the_bases_own_weights_can_be_taken_instead(tiny_run, tiny_model, merge):
    adapter = tiny_run / "adapter"
    log, folder = merge(adapter, base_weights="full", dtype="float32")
    assert (log.base_weights, log.weights) == ("full", "its own weights in bfloat16")
    with torch.inference_mode():
        wanted = logits(unmerged(load(tiny_model, dtype=torch.float32), adapter), PROMPTS)
        assert compare(wanted, logits(load(folder), PROMPTS)).mean_kl < 1e-9
    shutil.rmtree(folder)
    _, folder = merge(adapter, dtype="float32")
    assert compare(wanted, logits(load(folder), PROMPTS)).mean_kl > 1e-6


def test_weights_go_into_several_files_when_they_are_large(tiny_run, merge):
    log, folder = merge(tiny_run / "adapter", max_shard_size="100KB")
    assert log.files > 1
    assert len(list(folder.glob("model-*.safetensors"))) == log.files
    assert (folder / "model.safetensors.index.json").is_file()
    load(folder)


@pytest.mark.parametrize(
    "lora",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"use_dora": True},
        {"use_rslora": True, "lora_alpha": 3},
        {"target_modules": ["q_proj"], "lora_bias": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 32}},
    ],
    ids=["tied head", "saved head", "dora", "rslora", "bias", "patterns"],
)
def test_kinds_of_lora_are_merged_as_they_compute_or_refused(tiny_model, make_adapter, merge, lora):
    """An adapter on a tied head changes the head alone: the written model has its embeddings untied."""
    adapter = make_adapter(**lora)
    if lora.get("lora_bias"):  # transformers has no place for a bias that this architecture lacks
        with pytest.raises(UserError):
            merge(adapter, base_weights="full", dtype="float32")
        return
    log, folder = merge(adapter, base_weights="full", dtype="float32")
    assert log.mean_kl < 1e-9
    wanted = logits(unmerged(load(tiny_model, dtype=torch.float32), adapter), PROMPTS)
    assert compare(wanted, logits(load(folder), PROMPTS)).mean_kl < 1e-9
    head = "lm_head" in (*lora.get("target_modules", ()), *lora.get("modules_to_save", ()))
    assert load(folder).config.tie_word_embeddings == (not head)


def test_a_vocabulary_that_the_adapter_resized_is_written(tiny_model, tmp_path, merge):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer

    folder, base = tmp_path / "more", load(tiny_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens(["<extra>"])
    tokenizer.save_pretrained(folder)
    base.resize_token_embeddings(len(tokenizer))
    lora = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(base, lora).save_pretrained(folder, save_embedding_layers=True)
    log, merged = merge(folder, base_weights="full", dtype="float32")
    assert log.mean_kl < 1e-9
    assert load(merged).get_input_embeddings().weight.shape == (len(tokenizer), 64)
    assert load(merged).config.vocab_size == len(AutoTokenizer.from_pretrained(merged)) == len(tokenizer)


def test_a_base_that_is_quantised_already_is_merged_as_it_is(tiny_model, tiny_run, tiny_recipe, tmp_path, merge):
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    quantised = tmp_path / "tiny-4bit"
    AutoModelForCausalLM.from_pretrained(tiny_model, quantization_config=nf4).save_pretrained(quantised)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(quantised)
    given = f"model.base={quantised}"
    log, folder = merge(tiny_run / "adapter", given)
    assert "its own quantised checkpoint" in log.weights
    assert "was trained on other weights than those of tiny-4bit" in log.notes[0]
    assert not hasattr(load(folder).config, "quantization_config")
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="there are no full-precision weights"):
        merge(tiny_run / "adapter", given, base_weights="full")


def test_odd_generation_settings_of_the_base_are_kept(tiny_model, tiny_run, tmp_path, merge):
    """Settings that transformers refuses to save, such as Llama 2's, must not stop an export."""
    base = shutil.copytree(tiny_model, tmp_path / "tiny")
    settings = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps({**settings, "do_sample": False, "temperature": 0.6}))
    _, folder = merge(tiny_run / "adapter", f"model.base={base}")
    assert json.loads((folder / "generation_config.json").read_text())["temperature"] == 0.6


def test_the_token_that_ends_a_turn_ends_answers_of_the_exported_model(tiny_run, tmp_path, merge):
    adapter = shutil.copytree(tiny_run / "adapter", tmp_path / "own")
    (adapter / "training_log.json").unlink()
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|start|>{% endfor %}"
    (adapter / "chat_template.jinja").write_text(template)
    _, folder = merge(adapter)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), load(folder)
    assert tokenizer.chat_template == template
    own = model.config.eos_token_id
    assert model.generation_config.eos_token_id == [own, tokenizer.convert_tokens_to_ids("<|start|>")]


def test_what_a_killed_export_left_is_no_hindrance(tiny_run, merge, tmp_path):
    left = tmp_path / "out" / ".merged.part"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    _, folder = merge(tiny_run / "adapter")
    assert not (folder / "half").exists()
    assert not left.exists()
