"""Sampled tokens: their distribution against transformers' own warpers, and what they depend on."""

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from harness.engines.interface import GenerateRequest
from harness.engines.sampling import Draws, choose
from tests.harness.engines.test_engine import ask, engine, prompts  # noqa: F401 - the fixture too

WORDS = 40


def wanted_shares(logits, request):
    scores = TemperatureLogitsWarper(request.temperature)(None, logits[None])
    if request.top_k:
        scores = TopKLogitsWarper(request.top_k)(None, scores)
    if request.top_p < 1:
        scores = TopPLogitsWarper(request.top_p)(None, scores)
    return scores.softmax(-1)[0]


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.5}, {"top_k": 5}, {"top_p": 0.7}, {"temperature": 2.0, "top_k": 20, "top_p": 0.9}],
)
def test_shares_are_those_of_transformers_own_settings(settings):
    request = GenerateRequest((1,), 1, **{"temperature": 1.0, **settings})
    logits = 2 * torch.randn(WORDS, generator=torch.Generator().manual_seed(3))
    count = 4000
    numbers = [(place + 0.5) / count for place in range(count)]
    tokens = choose(logits.repeat(count, 1), [request] * count, numbers)
    shares = torch.bincount(tokens, minlength=WORDS) / count
    assert torch.allclose(shares, wanted_shares(logits, request), atol=2 / count)


def test_rows_of_one_batch_keep_their_own_settings():
    logits = torch.randn(3, WORDS, generator=torch.Generator().manual_seed(4))
    greedy, narrow = GenerateRequest((1,), 1), GenerateRequest((1,), 1, temperature=1.0, top_p=1e-9)
    chosen = choose(logits, [greedy, None, narrow], [0.0, 0.0, 0.99])
    assert chosen.tolist() == logits.argmax(-1).tolist()


def test_numbers_depend_on_the_seed_alone():
    one, same, other = (GenerateRequest((1,), 8, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert [Draws(one).at(place) for place in range(8)] == [Draws(same).at(place) for place in range(8)]
    assert Draws(one).at(0) != Draws(other).at(0)


def test_a_sampled_answer_depends_on_its_seed_not_on_the_batch(engine):  # noqa: F811
    def texts(asked):
        return [answer.text for answer in ask(engine, asked)]

    sampled = texts(prompts(temperature=1.0, seed=3))
    assert sampled == texts(prompts(temperature=1.0, seed=3))
    assert sampled != texts(prompts(temperature=1.0, seed=4))
    assert texts(prompts(temperature=1.0, seed=3)[4:5]) == sampled[4:5]
    assert texts(prompts(temperature=1.0, top_p=1e-6)) == texts(prompts())
