"""Fused decoding steps: Triton's kernels against PyTorch's operations, and when a step is not used."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from harness.engines.causal_model import CausalModel
from harness.engines.fused_decoder import fits
from harness.engines.key_values import SlotKVCache
from tasks.rendering import load_tokenizer
from tests.harness.engines.test_engine import ask, engine_on, plain_tokens, prompts
from tests.interpreted import check_in_interpreter

SIZES = {
    "hidden_size": 96,
    "intermediate_size": 200,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "initializer_range": 0.2,
}


@pytest.mark.slow
def test_kernels_compute_what_pytorch_does():
    check_in_interpreter("tests.harness.engines.interpreted_kernels")


def test_a_step_continues_rows_as_the_model_does(tiny_model):
    causal = CausalModel(
        AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval(), load_tokenizer(str(tiny_model))
    )
    assert causal.fused is not None
    row = tuple(range(5, 25))
    with torch.inference_mode():
        made = causal.states([row[:-1]], keep=True)[1]
        slots = SlotKVCache(1, len(row))
        slots.put([0], made)
        logits = causal.next_logits(torch.tensor(row[-1:]), torch.tensor([len(row) - 1]), slots, len(row))
        wanted = causal.model(torch.tensor([row])).logits[0, -1:]
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)


def test_models_of_another_build_keep_their_own_step():
    from transformers import Gemma2Config, GPT2Config, GraniteConfig, Phi3Config

    for config in (
        Gemma2Config(**SIZES, head_dim=16),
        GPT2Config(n_embd=96, n_layer=2),
        Phi3Config(**SIZES, pad_token_id=0),
    ):
        assert not fits(AutoModelForCausalLM.from_config(config).base_model)
    scaled = AutoModelForCausalLM.from_config(GraniteConfig(**SIZES, residual_multiplier=0.2)).eval()
    assert fits(scaled.base_model)  # it has the same parts and scales what they give: only a comparison tells


def test_a_scaled_residual_is_noticed(tmp_path, tiny_model):
    from transformers import GraniteConfig

    small = AutoModelForCausalLM.from_pretrained(tiny_model).config
    config = GraniteConfig(**{**SIZES, "vocab_size": small.vocab_size}, residual_multiplier=0.2, eos_token_id=1)
    torch.manual_seed(2)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    load_tokenizer(str(tiny_model)).save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    causal = CausalModel(model, load_tokenizer(str(tiny_model)))
    assert causal.stats.shares_prefixes
    assert causal.fused is None


def test_an_adapter_that_brings_a_norm_of_its_own_is_computed_without_the_step(tmp_path, tiny_model):
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    settings = LoraConfig(target_modules=["v_proj"], modules_to_save=["norm"], init_lora_weights=False)
    wrapped = get_peft_model(base, settings).eval()
    with torch.no_grad():
        wrapped.base_model.model.model.norm.modules_to_save.default.weight.uniform_(-3, 3)
    wrapped.save_pretrained(tmp_path)
    engine = engine_on(tiny_model, {"one": tmp_path})
    for model in ("one", "base"):
        requests = prompts(model)
        plain = (
            wrapped if model == "one" else AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
        )
        for (_, request), response in zip(requests, ask(engine, requests), strict=True):
            assert list(response.tokens) == plain_tokens(plain, request)
