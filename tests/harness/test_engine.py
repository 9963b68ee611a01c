"""The transformers engine against plain references: log-likelihoods, generation, adapters, memory."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.engine import GenerateRequest, ScoreRequest
from harness.transformers_engine import TransformersEngine
from tasks.rendering import load_tokenizer


@pytest.fixture(scope="module")
def reference(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()


def engine_on(tiny_model, adapters=None, **settings):
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    settings = {"batch_tokens": 300, "batch_rows": 4, **settings}
    return TransformersEngine(model, load_tokenizer(str(tiny_model)), adapters or {}, **settings)


@pytest.fixture(scope="module")
def engine(tiny_model, tiny_run):
    return engine_on(tiny_model, {"one": tiny_run / "adapter"})


def ignore(_):
    pass


def requests(model="base", count=9):
    generator = torch.Generator().manual_seed(1)
    draw = lambda length: tuple(torch.randint(2, 400, (length,), generator=generator).tolist())  # noqa: E731
    return [ScoreRequest(model, draw(3 + 7 * number), draw(1 + number % 4)) for number in range(count)]


def plain_logprob(model, request):
    """Log-likelihood from the full logits in float64."""
    ids = torch.tensor([[*request.context, *request.continuation]])
    with torch.no_grad():
        logprobs = model(ids).logits[0].double().log_softmax(-1)
    start = len(request.context) - 1
    return sum(float(logprobs[start + place, token]) for place, token in enumerate(request.continuation))


def test_log_likelihoods_equal_a_plain_float64_reference(engine, reference):
    for request, answer in zip(requests(), engine.score(requests(), ignore), strict=True):
        assert answer.logprob == pytest.approx(plain_logprob(reference, request), abs=1e-4)


def test_the_order_and_size_of_batches_change_nothing(engine, tiny_model):
    wanted = [answer.logprob for answer in engine.score(requests(), ignore)]
    single = engine_on(tiny_model, batch_tokens=64)
    assert [a.logprob for a in single.score(requests()[::-1], ignore)][::-1] == pytest.approx(wanted, abs=1e-4)


def test_choices_of_one_token_share_a_pass_and_keep_their_own_figures(engine, reference, monkeypatch):
    context = (5, 6, 7, 8)
    asked = [ScoreRequest("base", context, (token,)) for token in (9, 10, 11)]
    passes = []
    hidden = engine._hidden

    def watched(rows):
        passes.append(len(rows))
        return hidden(rows)

    monkeypatch.setattr(engine, "_hidden", watched)
    answers = engine.score(asked, ignore)
    assert passes == [1]
    for request, answer in zip(asked, answers, strict=True):
        assert answer.logprob == pytest.approx(plain_logprob(reference, request), abs=1e-4)


def test_greedy_tells_whether_every_token_was_the_likeliest(engine, reference):
    context = (5, 6, 7, 8)
    best = int(reference(torch.tensor([context])).logits[0, -1].argmax())
    answers = engine.score([ScoreRequest("base", context, (best,)), ScoreRequest("base", context, (best + 1,))], ignore)
    assert [answer.greedy for answer in answers] == [True, False]


def test_a_context_longer_than_the_window_loses_its_start(engine, reference):
    long = ScoreRequest("base", tuple([5, 6, 7] * 500), (9, 10))
    cut = ScoreRequest("base", long.context[-(engine.max_length + 1 - 2) :], (9, 10))
    assert engine.score([long], ignore)[0].logprob == pytest.approx(plain_logprob(reference, cut), abs=1e-4)


def test_an_adapter_answers_as_in_plain_peft_and_the_base_stays_itself(engine, reference, tiny_model, tiny_run):
    from peft import PeftModel

    fresh = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    fresh = PeftModel.from_pretrained(fresh, str(tiny_run / "adapter")).eval()
    mixed = [each for pair in zip(requests("one"), requests("base"), strict=True) for each in pair]
    for request, answer in zip(mixed, engine.score(mixed, ignore), strict=True):
        plain = fresh if request.model == "one" else reference
        assert answer.logprob == pytest.approx(plain_logprob(plain, request), abs=1e-4)
    assert plain_logprob(fresh, mixed[0]) != pytest.approx(plain_logprob(reference, mixed[0]), abs=1e-3)


def prompts(model="base", tokens=20, **more):
    return [GenerateRequest(model, request.context, tokens, **more) for request in requests(model)]


def test_greedy_answers_equal_those_of_generate_token_for_token(engine, reference, tiny_model):
    tokenizer = load_tokenizer(str(tiny_model))
    for request, answer in zip(prompts(), engine.generate(prompts(), ignore), strict=True):
        ids = torch.tensor([request.prompt])
        wanted = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
        assert list(answer.tokens) == wanted[0, len(request.prompt) :].tolist()
        ended = answer.tokens[-1] == tokenizer.eos_token_id
        assert answer.finish_reason == ("stop" if ended else "length")
        assert tokenizer.eos_token not in answer.text


def test_rows_that_end_leave_the_others_unchanged(engine, reference, tiny_model):
    """With end tokens that come early, rows of one batch end at different steps."""
    whole = engine.generate(prompts(), ignore)
    ends = {answer.tokens[3 + number] for number, answer in enumerate(whole[:4])}
    early = engine_on(tiny_model)
    early._ends = frozenset(ends)
    for before, after in zip(whole, early.generate(prompts(), ignore), strict=True):
        length = next((place + 1 for place, token in enumerate(before.tokens) if token in ends), len(before.tokens))
        assert after.tokens == before.tokens[:length]
        assert after.finish_reason == ("stop" if length < 20 or before.tokens[-1] in ends else "length")


def test_stop_strings_end_a_row_and_are_cut_off(engine):
    whole = engine.generate(prompts()[:1], ignore)[0]
    stop = whole.text[6:9]
    (answer,) = engine.generate(prompts(stop=(stop,))[:1], ignore)
    assert answer.text == whole.text.split(stop)[0]
    assert answer.finish_reason == "stop"
    assert len(answer.tokens) < len(whole.tokens)


def test_sampling_depends_on_the_seed_not_on_the_batch(engine):
    def texts(asked):
        return [answer.text for answer in engine.generate(asked, ignore)]

    sampled = texts(prompts(temperature=1.0, seed=3))
    assert sampled == texts(prompts(temperature=1.0, seed=3))
    assert sampled != texts(prompts(temperature=1.0, seed=4))
    assert texts(prompts(temperature=1.0, seed=3)[4:5]) == sampled[4:5]
    assert texts(prompts(temperature=1.0, top_p=1e-6)) == texts(prompts())


def test_running_out_of_memory_halves_the_batch_and_goes_on(tiny_model, monkeypatch):
    engine = engine_on(tiny_model, batch_tokens=4096)
    wanted = [answer.logprob for answer in engine.score(requests(), ignore)]
    hidden = engine._hidden

    def small(rows):
        if len(rows) > 2:
            raise torch.OutOfMemoryError
        return hidden(rows)

    monkeypatch.setattr(engine, "_hidden", small)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert [a.logprob for a in engine.score(requests(), ignore)] == pytest.approx(wanted, abs=1e-4)
    assert math.isfinite(engine._batch_tokens)
    assert engine._batch_tokens < 4096


def test_progress_adds_up_to_the_requests(engine):
    for call, asked in ((engine.score, requests()), (engine.generate, prompts())):
        done: list[int] = []
        call(asked, done.append)
        assert sum(done) == len(asked)
