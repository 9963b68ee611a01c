"""Going on with some answers known: what is still asked is answered, to the bit, as it would have been at once."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from harness.engines.interface import Asked, GenerateRequest, PerplexityRequest, ScoreRequest
from harness.engines.transformers_engine import TransformersEngine
from tasks.rendering import load_tokenizer


def draw(length, seed):
    return tuple(torch.randint(2, 400, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def questions():
    """All kinds for two models: alone, with shared beginnings, of several windows, generated of many lengths."""
    asked: list[Asked] = []
    for model in ("base", "one"):
        asked += [(model, ScoreRequest(draw(5 + 9 * number, number), draw(1 + number % 3, 9))) for number in range(20)]
        asked += [
            (model, ScoreRequest((*draw(60, 1), *draw(20 + 3 * number, 50 + number)), draw(1 + choice, choice)))
            for number in range(4)
            for choice in range(1, 4)
        ]
        asked += [(model, PerplexityRequest(draw(40 * (number + 1), number), 0)) for number in range(3)]
        asked += [(model, GenerateRequest(draw(4 + 5 * number, number), 3 + 4 * number)) for number in range(11)]
        asked += [
            (model, GenerateRequest((*draw(30, 7), *draw(3 + number, number)), 12, temperature=1.0, seed=number))
            for number in range(4)
        ]
    return asked


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


def content(answer):
    return (answer.logprob, answer.greedy) if hasattr(answer, "logprob") else (answer.tokens, answer.finish_reason)


@pytest.mark.parametrize("kind", ["own attention", "sliding window"])
def test_the_rest_is_answered_to_the_bit_as_without_the_interruption(kind, tiny_model, sliding_model, tiny_run):
    model = tiny_model if kind == "own attention" else sliding_model
    adapters = {"one": tiny_run / "adapter"} if kind == "own attention" else {}
    asked = [each for each in questions() if each[0] == "base" or adapters]

    def engine():
        def load():
            return AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).eval()

        return TransformersEngine(load, load_tokenizer(str(model)), adapters, batch_tokens=300, batch_rows=4)

    whole = dict(engine().answer(asked))
    order = list(engine().answer(asked))
    assert {place: content(answer) for place, answer in order} == {p: content(a) for p, a in whole.items()}
    chance = random.Random(3)
    for done in (0, 5, 33, len(asked) // 2, len(asked) - 2, len(asked)):
        came = dict(order[:done])  # as a run leaves them that is killed
        mixed = {place: whole[place] for place in chance.sample(range(len(asked)), done)}
        for known in (came, mixed):
            rest = dict(engine().answer(asked, known))
            assert set(rest) == set(whole) - set(known)
            assert {p: content(a) for p, a in rest.items()} == {p: content(whole[p]) for p in rest}


def test_nothing_is_computed_where_all_is_known(tiny_model, monkeypatch):
    def load():
        return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()

    engine = TransformersEngine(load, load_tokenizer(str(tiny_model)), {}, batch_tokens=300, batch_rows=4)
    asked = [each for each in questions() if each[0] == "base"]
    known = dict(engine.answer(asked))
    monkeypatch.setattr(engine._model, "states", None)
    assert list(engine.answer(asked, known)) == []
