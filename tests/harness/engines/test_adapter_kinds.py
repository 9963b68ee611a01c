"""Every kind of adapter that PEFT loads answers as in plain transformers and PEFT, and leaves the base as it was."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
)

from tests.harness.engines.test_engine import ask, engine_on, plain_logprob, prompts, scores
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


def save_adapter(base, folder, rows=None, **settings):
    """Save a random adapter, with an effect that is plain to see."""
    torch.manual_seed(2)
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
    for (_, request), response in zip(scores(), ask(engine, scores(name)), strict=True):
        assert response.logprob == pytest.approx(plain_logprob(reference, request), abs=0.003)
    for (_, request), response in zip(prompts(), ask(engine, prompts(name)), strict=True):
        ids = torch.tensor([request.prompt])
        wanted = reference.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=request.max_new_tokens, do_sample=False
        )
        assert list(response.tokens) == wanted[0, len(request.prompt) :].tolist()


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
    assert ask(engine, scores("one"))[0].logprob != pytest.approx(ask(engine, scores())[0].logprob, abs=0.003)


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
