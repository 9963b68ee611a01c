"""The transformers engine against plain references: log-likelihoods, generation, shared prefixes, memory."""

import math
import weakref

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import Cost, GenerateRequest, ModelRequest, ScoreRequest
from harness.engines.transformers_engine import TransformersEngine
from reports.errors import UserError
from tasks.rendering import load_tokenizer


@pytest.fixture(scope="module")
def reference(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()


def engine_on(folder, adapters=None, prepare=lambda _: None, dtype=torch.float32, **settings):
    """An engine on a saved model; `prepare` may change the loaded model."""

    def load():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        prepare(model)
        return model

    settings = {"batch_tokens": 300, "batch_rows": 4, **settings}
    return TransformersEngine(load, load_tokenizer(str(folder)), adapters or {}, **settings)


def before_each_pass(hook):
    """Changes a loaded model so that `hook` gets the input ids of each pass, decoding steps included."""

    def prepare(model):
        model.get_input_embeddings().register_forward_pre_hook(lambda _, args: hook(args[0]))

    return prepare


@pytest.fixture(scope="module")
def engine(tiny_model, tiny_run):
    return engine_on(tiny_model, {"one": tiny_run / "adapter"})


def ask(engine, requests):
    responses = dict(engine.respond([ModelRequest(*request) for request in requests]))
    return [responses[index] for index in range(len(requests))]


def draw(length, seed):
    return tuple(torch.randint(2, 400, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def scores(model="base", count=9):
    return [(model, ScoreRequest(draw(3 + 7 * number, number), draw(1 + number % 4, 99))) for number in range(count)]


def plain_logprob(model, request):
    """Log-likelihood from the full logits in float64."""
    return sum(plain_logprobs(model, request))


def plain_logprobs(model, request):
    """The log-probability of each token of the continuation, likewise."""
    ids = torch.tensor([[*request.context, *request.continuation]])
    with torch.no_grad():
        logprobs = model(ids).logits[0].double().log_softmax(-1)
    start = len(request.context) - 1
    return [float(logprobs[start + place, token]) for place, token in enumerate(request.continuation)]


def check_scores(found, asked, model):
    for (_, request), answer in zip(asked, found, strict=True):
        wanted = plain_logprobs(model, request)
        assert list(answer.logprobs) == pytest.approx(wanted, abs=1e-4)
        assert answer.logprobs.typecode == "f"
        assert answer.logprob == math.fsum(answer.logprobs) == pytest.approx(sum(wanted), abs=1e-4)


def test_log_likelihoods_equal_a_plain_float64_reference(engine, reference):
    check_scores(ask(engine, scores()), scores(), reference)


def test_the_order_and_size_of_batches_change_nothing(engine, tiny_model):
    wanted = [answer.logprob for answer in ask(engine, scores())]
    single = engine_on(tiny_model, batch_tokens=64)
    assert [a.logprob for a in ask(single, scores()[::-1])][::-1] == pytest.approx(wanted, abs=1e-4)


def test_choices_of_one_token_share_a_pass_and_keep_their_own_scores(tiny_model, reference):
    engine = engine_on(tiny_model)
    choices = [("base", ScoreRequest((5, 6, 7, 8), (token,))) for token in (9, 10, 11)]
    check_scores(ask(engine, choices), choices, reference)
    assert (engine.stats.passes, engine.stats.tokens, engine.stats.logits) == (1, 4, 1)


def few_shot(model="base"):
    """Questions with the same examples before them, each with choices of several tokens."""
    return [
        (model, ScoreRequest((*draw(60, 1), *draw(20 + 3 * question, 50 + question)), draw(1 + choice, choice)))
        for question in range(4)
        for choice in range(1, 5)
    ]


def test_few_shot_examples_and_questions_are_computed_once(tiny_model, reference):
    engine = engine_on(tiny_model)
    check_scores(ask(engine, few_shot()), few_shot(), reference)
    separately = sum(len(request.context) + len(request.continuation) for _, request in few_shot())
    assert separately == 1408
    assert (engine.stats.passes, engine.stats.tokens) == (3, 252)  # the examples, four questions, all choices


def test_shared_prefixes_that_do_not_fit_into_memory_are_computed_with_each_row(tiny_model, reference):
    def no_memory(ids):
        if ids.shape == (1, 60):  # the examples, to be kept
            raise torch.OutOfMemoryError

    engine = engine_on(tiny_model, prepare=before_each_pass(no_memory))
    check_scores(ask(engine, few_shot()), few_shot(), reference)
    assert engine.batch_tokens == 150


def test_greedy_tells_whether_every_token_was_the_likeliest(engine, reference):
    context = (5, 6, 7, 8)
    best = int(reference(torch.tensor([context])).logits[0, -1].argmax())
    asked = [("base", ScoreRequest(context, (token,))) for token in (best, best + 1)]
    assert [answer.greedy for answer in ask(engine, asked)] == [True, False]


def test_answers_carry_what_they_took(engine):
    asked = [*scores(), *prompts()]
    for answer in ask(engine, asked):
        assert isinstance(answer.cost, Cost)
        assert 0 < answer.cost.seconds <= answer.cost.latency + 1e-9
        assert answer.cost.peak_memory > 2**20


def prompts(model="base", tokens=20, **more):
    return [(model, GenerateRequest(request.context, tokens, **more)) for _, request in scores()]


def plain_tokens(model, request):
    ids = torch.tensor([request.prompt])
    mask = torch.ones_like(ids)
    found = model.generate(ids, attention_mask=mask, max_new_tokens=request.max_new_tokens, do_sample=False)
    return found[0, len(request.prompt) :].tolist()


def test_greedy_answers_equal_those_of_generate_token_for_token(engine, reference, tiny_model):
    tokenizer = load_tokenizer(str(tiny_model))
    for (_, request), answer in zip(prompts(), ask(engine, prompts()), strict=True):
        assert list(answer.tokens) == plain_tokens(reference, request)
        ended = answer.tokens[-1] == tokenizer.eos_token_id
        assert answer.finish_reason == ("stop" if ended else "length")
        assert tokenizer.eos_token not in answer.text


def test_prompts_that_begin_alike_share_that_part(tiny_model, reference):
    engine = engine_on(tiny_model)
    requests = [("base", GenerateRequest((*draw(40, 1), *draw(4 + number, number)), 8)) for number in range(4)]
    for (_, request), response in zip(requests, ask(engine, requests), strict=True):
        assert list(response.tokens) == plain_tokens(reference, request)
    assert (engine.stats.passes, engine.stats.tokens) == (2, 40 + 4 * 7)


def test_rows_that_end_are_replaced_and_leave_the_others_unchanged(engine, tiny_model):
    """With end tokens that come early, rows end at different steps and waiting prompts take their slots."""
    whole = ask(engine, prompts())
    ends = {response.tokens[3 + number] for number, response in enumerate(whole[:4])}

    def end_early(model):
        model.generation_config.eos_token_id = sorted(ends)

    early = engine_on(tiny_model, prepare=end_early)
    ends |= {load_tokenizer(str(tiny_model)).eos_token_id}
    for before, after in zip(whole, ask(early, prompts()), strict=True):
        length = next((place + 1 for place, token in enumerate(before.tokens) if token in ends), len(before.tokens))
        assert after.tokens == before.tokens[:length]
        assert after.finish_reason == ("stop" if length < 20 or before.tokens[-1] in ends else "length")


def test_different_limits_in_one_batch(engine, reference):
    asked = [("base", GenerateRequest(draw(9, number), 1 + 5 * number)) for number in range(6)]
    for (_, request), answer in zip(asked, ask(engine, asked), strict=True):
        assert list(answer.tokens) == plain_tokens(reference, request)


@pytest.mark.parametrize("stop", ["質問と回答は。", "\n\nQuestion:", "é"])
def test_a_stop_string_of_more_tokens_than_characters_ends_an_answer(tiny_model, stop):
    tokenizer = load_tokenizer(str(tiny_model))
    end = AnswerEnd(tokenizer, [tokenizer.eos_token_id])
    tokens = tokenizer(f"She has 38 °C. {stop}", add_special_tokens=False).input_ids
    reached = [end.reached(tokens[: count + 1], ("never there", stop)) for count in range(len(tokens))]
    assert reached == [False] * (len(tokens) - 1) + [True]
    assert end.text(tokens, (stop,)) == "She has 38 °C. "


def test_stop_strings_end_a_row_and_are_cut_off(engine):
    (whole,) = ask(engine, prompts()[:1])
    stop = whole.text[6:9]
    (answer,) = ask(engine, prompts(stop=("never there", stop))[:1])
    assert answer.text == whole.text.split(stop)[0]
    assert answer.finish_reason == "stop"
    assert len(answer.tokens) < len(whole.tokens)


def test_a_prompt_without_room_for_the_answer_loses_its_start(engine, reference):
    long = draw(engine.max_length + 30, 3)
    (answer,) = ask(engine, [("base", GenerateRequest(long, 6))])
    kept = GenerateRequest(long[-(engine.max_length - 6) :], 6)
    assert list(answer.tokens) == plain_tokens(reference, kept)


def test_running_out_of_memory_halves_the_batch_and_goes_on(tiny_model):
    wanted = ask(engine_on(tiny_model, batch_tokens=4096, batch_rows=8), [*scores(), *prompts()])
    fails = iter([False, True, False, True])

    def little_memory(ids):
        if ids.shape[1] > 1 and len(ids) > 2:
            raise torch.OutOfMemoryError
        if ids.shape[1] == 1 < len(ids) and next(fails, False):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    engine = engine_on(tiny_model, prepare=before_each_pass(little_memory), batch_tokens=4096, batch_rows=8)
    for before, after in zip(wanted, ask(engine, [*scores(), *prompts()]), strict=True):
        if hasattr(before, "tokens"):
            assert after.tokens == before.tokens
        else:
            assert after.logprob == pytest.approx(before.logprob, abs=1e-4)
    assert next(fails, None) is None
    assert 1 <= engine.batch_tokens < 4096


def test_one_row_that_does_not_fit_is_an_error(tiny_model):
    def no_memory(ids):
        if ids.shape[1] > 12:  # more than the engine checks the model with
            raise torch.OutOfMemoryError

    engine = engine_on(tiny_model, prepare=before_each_pass(no_memory))
    for request in (scores()[2], prompts()[-1]):
        with pytest.raises(torch.OutOfMemoryError):
            ask(engine, [request])


def test_a_model_with_a_sliding_window_keeps_its_own_attention(tmp_path, tiny_model):
    from transformers import MistralConfig, MistralForCausalLM

    small = AutoModelForCausalLM.from_pretrained(tiny_model).config
    sizes = {key: getattr(small, key) for key in ("vocab_size", "hidden_size", "intermediate_size", "eos_token_id")}
    config = MistralConfig(
        **sizes, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, sliding_window=8, bos_token_id=0
    )
    torch.manual_seed(1)
    MistralForCausalLM(config).save_pretrained(tmp_path)
    load_tokenizer(str(tiny_model)).save_pretrained(tmp_path)
    engine = engine_on(tmp_path)
    assert not engine.stats.shares_prefixes
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    asked = [*scores(), *few_shot()]
    check_scores(ask(engine, asked), asked, plain)
    for (_, request), answer in zip(prompts(), ask(engine, prompts()), strict=True):
        assert list(answer.tokens) == plain_tokens(plain, request)


def test_closing_it_gives_the_weights_back(tiny_model, tiny_run):
    weights = []
    engine = engine_on(
        tiny_model, {"one": tiny_run / "adapter"}, prepare=lambda model: weights.append(weakref.ref(model))
    )
    ask(engine, [*scores("one"), *prompts("one")])
    assert weights[0]() is not None
    engine.close()
    assert weights[0]() is None


def test_tokens_that_the_model_does_not_have_are_blamed_on_the_tokenizer(tiny_model):
    with pytest.raises(UserError, match=rf"{tiny_model}: its tokenizer gives the token 5000, but the model has only"):
        ask(engine_on(tiny_model), [("base", ScoreRequest((1, 5000), (2,)))])
