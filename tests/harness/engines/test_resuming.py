"""Resuming with some responses recorded: the others are, bit for bit, those of an uninterrupted run."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from harness.engines.interface import GenerateRequest, ModelRequest, PerplexityRequest, ScoreRequest
from harness.engines.transformers_engine import TransformersEngine
from tasks.rendering import load_tokenizer
from training.models.device import Device


class StepAhead(Device):
    """A CPU that, as GPUs do, is given the next decoding step before the tokens of the last one are read."""

    steps_ahead = 1


def draw(length, seed):
    return tuple(torch.randint(2, 400, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def all_kinds(model):
    """Requests without and with shared beginnings, of several windows, generated of many lengths."""
    requests = [
        *(ScoreRequest(draw(5 + 9 * number, number), draw(1 + number % 3, 9)) for number in range(20)),
        *(
            ScoreRequest((*draw(60, 1), *draw(20 + 3 * number, 50 + number)), draw(1 + choice, choice))
            for number in range(4)
            for choice in range(1, 4)
        ),
        *(PerplexityRequest(draw(40 * (number + 1), number), 0) for number in range(3)),
        *(GenerateRequest(draw(4 + 5 * number, number), 3 + 4 * number) for number in range(11)),
        *(
            GenerateRequest((*draw(30, 7), *draw(3 + number, number)), 12, temperature=1.0, seed=number)
            for number in range(4)
        ),
    ]
    return [ModelRequest(model, request) for request in requests]


@pytest.fixture(scope="module")
def sliding_model(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("models") / "sliding"
    small = AutoModelForCausalLM.from_pretrained(tiny_model).config
    sizes = {key: getattr(small, key) for key in ("vocab_size", "hidden_size", "intermediate_size", "eos_token_id")}
    config = MistralConfig(
        **sizes, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, sliding_window=8, bos_token_id=0
    )
    torch.manual_seed(1)
    MistralForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    load_tokenizer(str(tiny_model)).save_pretrained(folder)
    return folder


def engine_on(model, adapters, recorded, device=None, dtype=torch.bfloat16):
    def load():
        return AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()

    tokenizer = load_tokenizer(str(model))
    sizes = {"batch_tokens": 300, "batch_rows": 4}
    return TransformersEngine(load, tokenizer, adapters, device=device, recorded=recorded.get, **sizes)


def content(response):
    if hasattr(response, "logprobs"):
        return list(response.logprobs), response.greedy
    return response.tokens, response.text, response.finish_reason


@pytest.mark.parametrize("kind", ["own attention", "sliding window", "a step ahead"])
def test_the_missing_responses_are_bit_identical_to_an_uninterrupted_run(kind, tiny_model, sliding_model, tiny_run):
    model = sliding_model if kind == "sliding window" else tiny_model
    adapters = {} if kind == "sliding window" else {"one": tiny_run / "adapter"}
    device = StepAhead() if kind == "a step ahead" else None
    requests = [request for name in ("base", *adapters) for request in all_kinds(name)]
    order = list(engine_on(model, adapters, {}, device).respond(requests))
    whole = dict(order)
    chance = random.Random(3)
    for count in (0, 5, 33, len(requests) // 2, len(requests) - 2, len(requests)):
        killed = {index for index, _ in order[:count]}  # what a killed run leaves
        for indices in (killed, set(chance.sample(range(len(requests)), count))):
            recorded = {requests[index]: whole[index] for index in indices}
            rest = dict(engine_on(model, adapters, recorded, device).respond(requests))
            assert {i: content(r) for i, r in rest.items()} == {
                i: content(r) for i, r in whole.items() if i not in indices
            }


def test_a_step_ahead_gives_the_same_answers(tiny_model, tiny_run):
    """Answers end by their limit, by stop strings and by end tokens; what is computed after their end is dropped."""
    adapters = {"one": tiny_run / "adapter"}
    requests = [
        *(request for name in ("base", "one") for request in all_kinds(name)),
        *(ModelRequest("base", GenerateRequest(draw(9, number), 40, stop=("e", "a"))) for number in range(9)),
    ]
    plain, ahead = (  # in float32, since batches have other sizes, on which the rounding of bfloat16 depends
        dict(engine_on(tiny_model, adapters, {}, device, torch.float32).respond(requests))
        for device in (Device(), StepAhead())
    )
    reasons = {response.finish_reason for response in plain.values() if hasattr(response, "finish_reason")}
    assert reasons == {"stop", "length"}
    assert {number: content(response)[1:] for number, response in ahead.items()} == {
        number: content(response)[1:] for number, response in plain.items()
    }


def test_what_a_stopped_call_left_in_its_slots_is_forgotten(tiny_model):
    requests = [request for request in all_kinds("base") if isinstance(request.request, GenerateRequest)]
    for device in (Device(), StepAhead()):
        fresh = engine_on(tiny_model, {}, {}, device)
        wanted = {index: content(response) for index, response in fresh.respond(requests)}
        engine = engine_on(tiny_model, {}, {}, device)
        stopped = engine.respond(requests)
        next(stopped)
        stopped.close()
        assert {index: content(response) for index, response in engine.respond(requests)} == wanted


def test_nothing_is_computed_if_all_responses_are_recorded(tiny_model):
    requests = all_kinds("base")
    recorded = {requests[index]: response for index, response in engine_on(tiny_model, {}, {}).respond(requests)}
    engine = engine_on(tiny_model, {}, recorded)
    assert list(engine.respond(requests)) == []
    assert (engine.stats.passes, engine.stats.logits, engine.stats.decoded) == (0, 0, 0)
