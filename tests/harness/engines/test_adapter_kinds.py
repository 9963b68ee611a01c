"""Every kind of adapter that PEFT loads answers as in plain transformers and PEFT, and leaves the base as it was."""

import itertools
import json
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    SiglipVisionConfig,
)

from harness.engines.adapter_switch import adapter_switch
from harness.engines.interface import GenerateRequest
from tests.harness.engines.test_engine import ask, engine_on, plain_logprob, plain_tokens, scores
from training.models.adapters import find_adapter
from training.models.base_model import find_base
from training.recipes.recipe import ModelSection

SIZES = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
BASES = {
    "tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "untied": LlamaConfig(**SIZES, attention_bias=True, tie_word_embeddings=False),
    "conv1d": GPT2Config(
        vocab_size=512, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2, bos_token_id=0, eos_token_id=1
    ),
    "experts": MixtralConfig(**SIZES, num_local_experts=4),
    "images": Gemma3Config(
        text_config=Gemma3TextConfig(**SIZES, head_dim=8),
        vision_config=SiglipVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        mm_tokens_per_image=4,
        image_token_index=3,
    ),
    "scaled": Gemma3TextConfig(**SIZES, head_dim=8, layer_types=["full_attention"] * 2),
}


@pytest.fixture(scope="module")
def make_base(tiny_model, tmp_path_factory):
    """Save a tiny random model of a kind, with a tokenizer, once."""
    folders = {}

    def make(kind):
        if kind not in folders:
            torch.manual_seed(0)
            folders[kind] = tmp_path_factory.mktemp(kind)
            model = AutoModelForCausalLM.from_config(BASES[kind])
            model.generation_config.eos_token_id = 1
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    torch.nn.init.normal_(parameter, std=0.2)
            model.save_pretrained(folders[kind])
            for path in tiny_model.glob("*token*"):
                (folders[kind] / path.name).write_bytes(path.read_bytes())
        return folders[kind]

    return make


def load(folder, rows=None):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if rows is not None:
        torch.manual_seed(1)
        model.resize_token_embeddings(rows)
    return model


def save_adapter(base, folder, rows=None, seed=2, **settings):
    """Save a random adapter, with an effect that is plain to see."""
    torch.manual_seed(seed)
    wrapped = get_peft_model(load(base, rows), LoraConfig(r=4, lora_alpha=16, init_lora_weights=False, **settings))
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad and ".lora_" not in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    wrapped.save_pretrained(folder)
    return folder


KINDS = {
    "lora": ("tied", {"target_modules": ["q_proj", "down_proj"]}, "merged"),
    "all linear layers": ("untied", {"target_modules": "all-linear"}, "merged"),
    "rslora": ("tied", {"target_modules": ["q_proj"], "use_rslora": True}, "merged"),
    "patterns": (
        "tied",
        {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
        "merged",
    ),
    "one layer": ("tied", {"target_modules": ["q_proj"], "layers_to_transform": [1]}, "merged"),
    "untied head": ("untied", {"target_modules": ["q_proj", "lm_head"]}, "merged"),
    "conv1d": ("conv1d", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}, "merged"),
    "dora": ("tied", {"target_modules": ["q_proj"], "use_dora": True}, "unmerged"),
    "lora bias": ("tied", {"target_modules": ["q_proj"], "lora_bias": True}, "unmerged"),
    "biases of targets": ("untied", {"target_modules": ["q_proj"], "bias": "lora_only"}, "unmerged"),
    "all biases": ("untied", {"target_modules": ["q_proj"], "bias": "all"}, "unmerged"),
    "all biases, conv1d": ("conv1d", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "bias": "all"}, "unmerged"),
    "tied embedding": ("tied", {"target_modules": ["q_proj", "embed_tokens"]}, "unmerged"),
    "tied head": ("tied", {"target_modules": ["q_proj", "lm_head"]}, "unmerged"),
    "tied pair": ("tied", {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True}, "unmerged"),
    "embedding": ("untied", {"target_modules": ["embed_tokens", "lm_head"]}, "unmerged"),
    "scaled embedding": ("scaled", {"target_modules": ["q_proj", "embed_tokens"]}, "unmerged"),
    "saved head": ("untied", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, "unmerged"),
    "saved pair": (
        "tied",
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        "unmerged",
    ),
    "saved norms": ("tied", {"target_modules": ["q_proj"], "modules_to_save": ["norm"]}, "unmerged"),
    "saved block": ("tied", {"target_modules": ["q_proj"], "modules_to_save": ["mlp"]}, "unmerged"),
    "saved attention": ("tied", {"target_modules": ["down_proj"], "modules_to_save": ["self_attn"]}, "unmerged"),
    "tokens": ("untied", {"target_modules": ["q_proj"], "trainable_token_indices": [5, 9]}, "unmerged"),
    "tied tokens": ("tied", {"target_modules": ["q_proj"], "trainable_token_indices": [5, 9]}, "unmerged"),
    "scaled tokens": ("scaled", {"target_modules": ["q_proj"], "trainable_token_indices": [5, 9]}, "unmerged"),
    "experts": (
        "experts",
        {"target_modules": ["q_proj"], "target_parameters": ["experts.gate_up_proj", "experts.down_proj"]},
        "unmerged",
    ),
    "experts alone": ("experts", {"target_modules": [], "target_parameters": ["experts.down_proj"]}, "unmerged"),
}


def check_answers(engine, name, reference):
    """Log-likelihoods within 0.003 nats of a plain model's, and the same greedy answers."""
    scored = scores(name, count=4)
    generated = [(name, GenerateRequest(request.context, 8)) for _, request in scored[:2]]
    responses = ask(engine, [*scored, *generated])
    for (_, request), response in zip(scored, responses[:4], strict=True):
        assert response.logprob == pytest.approx(plain_logprob(reference, request), abs=0.003)
    for (_, request), response in zip(generated, responses[4:], strict=True):
        assert list(response.tokens) == plain_tokens(reference, request)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_answers_as_in_plain_peft(make_base, tmp_path, kind):
    base_kind, settings, mode = KINDS[kind]
    base = make_base(base_kind)
    folder = save_adapter(base, tmp_path / "adapter", **settings)
    find_adapter("one", str(folder), find_base(ModelSection(base=str(base))))
    engine = engine_on(base, {"one": folder})
    assert engine.setup["adapters"] == mode
    check_answers(engine, "one", PeftModel.from_pretrained(load(base), str(folder)).eval())
    check_answers(engine, "base", load(base))
    changed, unchanged = ask(engine, [*scores("one", count=1), *scores(count=1)])
    assert changed.logprob != pytest.approx(unchanged.logprob, abs=0.003)


MIXED = ("saved head", "untied head", "embedding", "tokens", "all biases", "all linear layers", "saved head")


def test_adapters_of_all_kinds_are_scored_in_one_run_and_leave_no_trace(make_base, tmp_path):
    """PEFT itself cannot hold a saved head and LoRA of the head at once."""
    base = make_base("untied")
    folders = {
        f"{number} {kind}": save_adapter(base, tmp_path / str(number), seed=number, **KINDS[kind][1])
        for number, kind in enumerate(MIXED)
    }
    model = load(base)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    ids = torch.tensor([[1, 2, 3, 4]])
    base_logits = model(ids).logits
    switch = adapter_switch(model, folders, "auto")
    for name in (*folders, *reversed(folders)):
        switch.use(name)
        reference = PeftModel.from_pretrained(load(base), str(folders[name])).eval()
        assert torch.equal(model(ids).logits, reference(ids).logits), name
    switch.use("base")
    assert torch.equal(model(ids).logits, base_logits)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in before.items())


@pytest.mark.parametrize("kind", [kind for kind, (_, _, mode) in KINDS.items() if mode == "merged"])
def test_merged_and_unmerged_scores_agree(make_base, tmp_path, kind):
    base = make_base(KINDS[kind][0])
    folder = save_adapter(base, tmp_path / "adapter", **KINDS[kind][1])
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    logits = {}
    for mode in ("merged", "unmerged"):
        model = load(base)
        switch = adapter_switch(model, {"one": folder}, mode)
        switch.use("one")
        assert switch.mode == mode
        logits[mode] = model(ids).logits
    assert torch.allclose(logits["merged"], logits["unmerged"], atol=1e-4)


RESIZED = {
    "resized": ("tied", {"target_modules": ["q_proj"]}),
    "resized, untied": ("untied", {"target_modules": ["q_proj"]}),
    "resized, lora of both": ("untied", {"target_modules": ["embed_tokens", "lm_head"]}),
    "resized, lora of a tied embedding": ("tied", {"target_modules": ["q_proj", "embed_tokens"]}),
    "resized, saved": ("untied", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}),
    "resized, saved and tied": (
        "tied",
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    ),
    "resized, tokens": ("untied", {"target_modules": ["q_proj"], "trainable_token_indices": [512, 515]}),
    "resized, tied tokens": ("tied", {"target_modules": ["q_proj"], "trainable_token_indices": [512, 515]}),
    "resized, scaled": ("scaled", {"target_modules": ["q_proj"]}),
    "resized, conv1d": ("conv1d", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
}


def add_tokens(base, folder, count):
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([f"<extra {number}>" for number in range(count)])
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("kind", RESIZED)
def test_an_adapter_with_more_tokens_answers_as_in_plain_peft(make_base, tmp_path, kind):
    base_kind, settings = RESIZED[kind]
    base = make_base(base_kind)
    folder = save_adapter(base, tmp_path / "adapter", rows=516, **settings)
    add_tokens(base, folder, 16)
    find_adapter("one", str(folder), find_base(ModelSection(base=str(base))))
    engine = engine_on(base, {"one": folder})
    check_answers(engine, "one", PeftModel.from_pretrained(load(base, 516), str(folder)).eval())
    check_answers(engine, "base", load(base))


def rename(*pairs):
    """Change the names of weights by (old, new) parts."""

    def renamed(name):
        for old, new in pairs:
            name = name.replace(old, new)
        return name

    return lambda weights: {renamed(name): weight for name, weight in weights.items()}


def with_single_experts(weights):
    """The weights as transformers 4 named them: LoRA of each expert's own layers."""
    rest = {name: weight for name, weight in weights.items() if "experts" not in name}
    for layer, expert in itertools.product(range(2), range(4)):
        for name, (inputs, outputs) in {"w1": (32, 48), "w2": (48, 32), "w3": (32, 48)}.items():
            place = f"base_model.model.model.layers.{layer}.block_sparse_moe.experts.{expert}.{name}"
            rest |= {
                f"{place}.lora_A.weight": torch.randn(4, inputs),
                f"{place}.lora_B.weight": torch.randn(outputs, 4),
            }
    return rest


LAYOUTS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "raw": ("tied", {"target_modules": ["q_proj"]}, rename((".weight", ".default.weight"))),
    "raw, of another name": ("tied", {"target_modules": ["q_proj"]}, rename((".weight", ".sft.weight"))),
    "raw, embedding": (
        "tied",
        {"target_modules": ["embed_tokens"]},
        rename(("embedding_A", "embedding_A.default"), ("embedding_B", "embedding_B.default")),
    ),
    "magnitudes of DoRA": (
        "tied",
        {"target_modules": ["q_proj"], "use_dora": True},
        rename(("magnitude_vector", "magnitude_vector.weight")),
    ),
    "Gemma 3 of transformers 4.51": (
        "images",
        {"target_modules": r".*language_model.*q_proj"},
        rename(("model.language_model.layers", "language_model.model.layers")),
    ),
    "single experts": ("experts", {"target_modules": ["q_proj", "w1", "w2", "w3"]}, with_single_experts),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_of_other_versions_are_read_as_peft_reads_them(make_base, tmp_path, layout):
    kind, settings, change = LAYOUTS[layout]
    base = make_base(kind)
    folder = save_adapter(base, tmp_path / "adapter", **settings)
    path = folder / "adapter_model.safetensors"
    as_saved = load_file(path)
    save_file(change(as_saved), path)
    config = json.loads((folder / "adapter_config.json").read_text())
    if layout == "single experts":
        config |= {"target_parameters": None, "rank_pattern": {}, "alpha_pattern": {}, **settings}
        (folder / "adapter_config.json").write_text(json.dumps(config))
    find_adapter("one", str(folder), find_base(ModelSection(base=str(base))))
    model = load(base)
    switch = adapter_switch(model, {"one": folder}, "unmerged")
    switch.use("one")
    if ".sft" in "".join(load_file(path)):  # which PEFT reads under the name `default` only
        save_file(as_saved, path)
    reference = PeftModel.from_pretrained(load(base), str(folder)).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(model(input_ids=ids).logits, reference(input_ids=ids).logits)
    assert not torch.allclose(model(input_ids=ids).logits, load(base)(input_ids=ids).logits, atol=1e-3)
