"""Which of TRL's losses a model is trained with: the one whose logits are the model's own."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.families import FAMILIES
from benchmarks.tiny_models import make_config, make_tokenizer
from training.backends.sft import balancing, pick_loss


@pytest.mark.parametrize(
    ("family", "loss"),
    [("llama", "chunked_nll"), ("cohere", "chunked_nll"), ("gemma2", "chunked_nll"), ("granite", "nll")],
)
def test_a_loss_in_chunks_is_used_where_trl_scales_logits_as_the_model_does(family, loss):
    """TRL knows Cohere's scale and Gemma's cap, not Granite's divisor: its loss would be that of another model."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(make_config(FAMILIES[family], tokenizer), dtype=torch.float32).eval()
    assert pick_loss(model, tokenizer) == loss


@pytest.mark.parametrize(
    ("family", "settings"), [("qwen3-moe", {}), ("llama", {}), ("granite-moe", {"router_aux_loss_coef": 0.0})]
)
def test_experts_are_balanced_where_trl_can_count_them(family, settings):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(make_config(FAMILIES[family], make_tokenizer()))
    assert balancing(model) == settings
