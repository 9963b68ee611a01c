"""Models of many families respond as plain transformers does; those that the engine does not fit are an error."""

import json

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from benchmarks.families import FAMILIES
from benchmarks.model_families import check
from benchmarks.tiny_models import make_model, make_tokenizer
from reports.errors import UserError
from tests.harness.engines.test_engine import ask, check_scores, engine_on, few_shot, prompts, scores

SMALL = {"vocab_size": 500, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}


def save(folder, config):
    """A tiny random model of a configuration, with a tokenizer."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def greedy(model, prompt, count):
    tokens = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tuple(tokens[len(prompt) :])


def check_greedy(engine, model):
    requests = prompts(tokens=6)[1:4]
    for (_, request), response in zip(requests, ask(engine, requests), strict=True):
        assert response.tokens == greedy(model, request.prompt, 6)[: len(response.tokens)]


@pytest.mark.parametrize(
    "family",
    ["granite", "gemma3", "opt", "deepseek-v3"],
    ids=["scaled logits", "windows", "own positions", "latent attention"],
)
def test_a_family_scores_and_generates_as_plain_transformers(tmp_path, family):
    folder = make_model(family, tmp_path)
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    engine = engine_on(folder)
    requests = [*scores(), *few_shot()]
    check_scores(ask(engine, requests), requests, reference)
    check_greedy(engine, reference)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_and_scores_merged_and_unmerged_as_peft(tmp_path, family):
    outcome = check(family, tmp_path)
    assert outcome.holds, outcome


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        (
            transformers.BartConfig(
                **{**SMALL, "d_model": 64, "decoder_layers": 2, "decoder_attention_heads": 4, "is_decoder": True}
            ),
            "single",
        ),
        (transformers.MambaConfig(**{**SMALL, "state_size": 8}), "uncached"),
    ],
    ids=["positions that count padding", "another cache"],
)
def test_a_model_that_cannot_continue_padded_rows_generates_one_at_a_time(tmp_path, config, mode):
    folder = save(tmp_path, config)
    engine = engine_on(folder)
    assert engine.setup["batch_rows"] == 1, mode
    check_greedy(engine, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())


def test_a_configuration_saved_after_training_without_a_cache_generates_the_same(tmp_path):
    folder = make_model("gemma3", tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_cache": False}))
    check_greedy(engine_on(folder), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (transformers.BertConfig(**SMALL, num_attention_heads=4), "BertLMHeadModel is no causal language model"),
        (
            transformers.ModernBertDecoderConfig(**SMALL, num_attention_heads=4, pad_token_id=0),
            "ModernBertDecoderForCausalLM computes its logits otherwise than by its output layer",
        ),
    ],
    ids=["sees later tokens", "another output layer"],
)
def test_a_model_that_the_engine_does_not_fit_is_an_error_before_anything_is_scored(tmp_path, config, message):
    with pytest.raises(UserError, match=message):
        engine_on(save(tmp_path, config))


def test_logits_that_are_no_numbers_are_left_to_the_responses(tmp_path):
    def spoil(model):
        model.get_output_embeddings().weight.data[:] = torch.nan

    engine = engine_on(make_model("llama", tmp_path), prepare=spoil)
    assert not ask(engine, scores(count=1))[0].is_finite
