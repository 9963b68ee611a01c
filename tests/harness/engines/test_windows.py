"""What is longer than a model's window: prompts lose their start, texts and gold answers are scored in parts."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.engines.interface import GenerateRequest, PerplexityRequest, ScoreRequest
from harness.engines.windows import fit_to_context, model_window, windows
from tests.harness.engines.test_engine import ask, draw, engine_on, plain_logprob, plain_logprobs


@pytest.fixture(scope="module")
def engine(tiny_model):
    return engine_on(tiny_model)


@pytest.fixture(scope="module")
def reference(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()


def test_a_context_longer_than_the_window_loses_its_start(engine, reference):
    long = ScoreRequest(tuple([5, 6, 7] * 500), (9, 10))
    cut = ScoreRequest(long.context[-(engine.max_length + 1 - 2) :], (9, 10))
    assert ask(engine, [("base", long)])[0].logprob == pytest.approx(plain_logprob(reference, cut), abs=1e-4)


def test_every_token_of_a_continuation_longer_than_the_window_is_scored_once(engine, reference):
    """Else its log-likelihood would be that of its end, told of all its tokens."""
    window, context = engine.max_length, draw(30, 1)
    text = draw(2 * window, 6)
    (answer,) = ask(engine, [("base", ScoreRequest(context, text))])
    parts = [(0, window - 30), *((start, start + window // 2) for start in range(window - 30, 2 * window, window // 2))]
    assert parts[-1][0] < 2 * window <= parts[-1][1]
    wanted = [
        nats
        for start, end in parts
        for nats in plain_logprobs(
            reference, ScoreRequest((*context, *text[:start])[-(window + 1 - len(text[start:end])) :], text[start:end])
        )
    ]
    assert list(answer.logprobs) == pytest.approx(wanted, abs=1e-3)
    assert answer.logprob == pytest.approx(sum(wanted), abs=1e-2)


@pytest.mark.parametrize("most", [1000, 5000])
def test_a_prompt_is_not_cut_for_an_answer_that_may_fill_the_window(engine, most):
    window = engine.max_length
    short, long = GenerateRequest(draw(100, 7), most), GenerateRequest(draw(window, 7), most)
    assert fit_to_context(short, window) == (short.prompt, min(most, window - 100))
    assert fit_to_context(long, window) == (long.prompt[-(window - window // 2) :], window // 2)


def test_a_text_longer_than_the_window_is_scored_once_in_windows(engine, reference):
    text = draw(engine.max_length + 70, 5)
    (answer,) = ask(engine, [("base", PerplexityRequest(text, 0))])
    first = ScoreRequest((0,), text[: engine.max_length])
    rest = ScoreRequest(text[70 - 1 : engine.max_length], text[engine.max_length :])
    wanted = plain_logprob(reference, first) + plain_logprob(reference, rest)
    assert answer.logprob == pytest.approx(wanted, abs=1e-3)


def test_a_continuation_that_just_fits_is_scored_at_once():
    whole, longer = (ScoreRequest((1, 2), tuple(range(length))) for length in (8, 9))
    assert [*windows(whole, 8)] == [whole]
    assert [part.continuation for part in windows(longer, 8)] == [(0, 1, 2, 3, 4, 5), (6, 7, 8)]


def test_the_window_is_the_lesser_of_the_models_and_the_tokenizers():
    def window(tokenizer, **sizes):
        text = SimpleNamespace(**sizes)
        return model_window(SimpleNamespace(get_text_config=lambda: text), SimpleNamespace(model_max_length=tokenizer))

    assert window(10**30, max_position_embeddings=512) == 512
    assert window(300, max_position_embeddings=512) == 300
    assert window(10**30) == window(10**30, max_position_embeddings=None) == 2048
