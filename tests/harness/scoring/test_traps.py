"""The traps of lm-eval's own HF model class: each of these fails where one is fallen into."""

import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import Cost, GenerateRequest, GenerateResponse, PerplexityRequest, ScoreRequest
from tasks.formats import get_format
from tasks.rendering import load_tokenizer, render_prompt
from tests.harness.engines.test_engine import ask, check_scores, draw, engine_on, plain_logprob, scores

pytestmark = pytest.mark.usefixtures("without_plots")


def load(folder, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def test_embeddings_with_more_rows_than_the_tokenizer_has_words_are_left_alone(tiny_model, tmp_path):
    """Resizing them takes words out of the softmax, which moves every log-likelihood."""
    tokenizer = load_tokenizer(str(tiny_model))
    config = LlamaConfig.from_pretrained(tiny_model, vocab_size=len(tokenizer) + 60)
    torch.manual_seed(5)
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    wrapped = get_peft_model(model, LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    wrapped.save_pretrained(tmp_path / "adapter")
    for mode in ("merged", "unmerged"):
        bases: list = []
        engine = engine_on(tmp_path / "base", {"one": tmp_path / "adapter"}, prepare=bases.append, adapter_mode=mode)
        check_scores(ask(engine, scores("one")), scores("one"), wrapped.eval())
        assert len(bases[0].get_output_embeddings().weight) == config.vocab_size


def test_the_softmax_is_in_float32_where_the_model_is_in_bfloat16(tiny_model):
    states = []

    def record_states(model):
        model.get_output_embeddings().register_forward_pre_hook(lambda _, args: states.append(args[0]))
        states.append(model.get_output_embeddings())

    engine = engine_on(tiny_model, prepare=record_states, dtype=torch.bfloat16)
    text = draw(601, 4)
    (response,) = ask(engine, [("base", PerplexityRequest(text[1:], text[0]))])
    head, *_, hidden = states  # those before are of the check of the model
    with torch.inference_mode():
        logits = head(hidden)
    targets = torch.tensor(text[1:])[:, None]
    exact, narrow = (float(each.log_softmax(-1).gather(1, targets).sum()) for each in (logits.double(), logits))
    assert abs(narrow - exact) > 0.5
    assert response.logprob == pytest.approx(exact, abs=1e-2)


def test_only_the_logits_of_scored_tokens_are_computed(tiny_model):
    engine = engine_on(tiny_model)
    labels = [("base", ScoreRequest(draw(40, number), (token,))) for number in range(5) for token in (7, 8, 9)]
    ask(engine, [*labels, ("base", ScoreRequest(draw(50, 6), draw(4, 7)))])
    assert engine.stats.logits == 5 + 4


def test_texts_are_batched_by_length_not_in_the_order_of_documents(tiny_model):
    engine = engine_on(tiny_model, batch_tokens=800)
    lengths = [20, 190, 21, 200, 22, 195, 23, 198, 24, 199]
    ask(engine, [("base", PerplexityRequest(draw(length, length), 0)) for length in lengths])
    assert sum(lengths) == 1092
    assert (engine.stats.passes, engine.stats.tokens) == (3, 1110)


def test_finished_rows_are_computed_no_further(tiny_model):
    engine = engine_on(tiny_model, batch_rows=8)
    responses = ask(engine, [("base", GenerateRequest(draw(9, number), 2 + 6 * number)) for number in range(6)])
    assert engine.stats.decoded == sum(len(response.tokens) - 1 for response in responses)


class CountingTokenizer:
    """A tokenizer that notes how many tokens it decodes at a time."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.eos_token_id = tokenizer.eos_token_id
        self.decoded = []

    def decode(self, ids, **more):
        """Text of tokens."""
        self.decoded.append(len(ids))
        return self.tokenizer.decode(ids, **more)


def test_only_tokens_that_can_complete_a_stop_string_are_decoded(tiny_model):
    (response,) = ask(engine_on(tiny_model), [("base", GenerateRequest(draw(9, 0), 60))])
    tokenizer = CountingTokenizer(load_tokenizer(str(tiny_model)))
    letter = next(chr(code) for code in range(0x3B1, 0x3C9) if chr(code) not in response.text)
    end = AnswerEnd(tokenizer, [tokenizer.eos_token_id])
    for count in range(1, len(response.tokens)):
        assert not end.reached(response.tokens[:count], (letter,))
    tokens = response.tokens[:-1]
    unfinished = sum("\ufffd" in tokenizer.tokenizer.decode([token]) for token in tokens)
    assert tokenizer.decoded.count(1) == len(set(tokens))  # each token's own text, once
    assert len(tokenizer.decoded) == len(set(tokens)) + unfinished


def test_reasoning_reaches_the_metrics_and_the_samples(tiny_recipe, tmp_path):
    from harness.opening import open_run
    from harness.planning.run_plan import make_plan
    from harness.scoring.lm import RequestMaker
    from harness.scoring.questions import make_questions
    from harness.scoring.samples import make_samples

    recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run", settings=["format.name=think"])
    plan = make_plan(recipe, folder, "base", ["medbench_generation"])
    (loaded,) = plan.tasks
    questions = make_questions(loaded, RequestMaker(load_tokenizer(str(plan.base.folder)), 0), 0)
    text = "<think>\nfirst this then that\n</think>\nIt is so."
    answer = GenerateResponse(text, (1, 2), "stop", Cost(0.1, 0.1, 1))
    logged = questions.evaluate(lambda _: answer)["samples"][loaded.name]
    for sample in make_samples(loaded, "base", logged):
        assert sample.output == text
        assert sample.metrics["reasoning_words"] == 4


def test_an_error_in_the_chat_template_is_not_swallowed(tiny_model):
    """lm-eval would leave the system message out and go on."""
    tokenizer = load_tokenizer(str(tiny_model))
    broken = type(tokenizer).from_pretrained(tiny_model)
    broken.chat_template = "{{ raise_exception('only with a system message') }}"
    with pytest.raises(Exception, match="only with a system message"):
        render_prompt(broken, get_format("think"), "Why?")


def test_a_base_in_4_bits_is_scored_with_its_4_bit_values(tiny_model):
    from harness.engines.transformers_engine import TransformersEngine
    from training.models.device import device_of
    from training.models.loading import load_base, load_for_scoring
    from training.recipes.recipe import QuantizationSection

    base = type("Base", (), {"folder": tiny_model, "name": "tiny"})
    settings = QuantizationSection(method="nf4")

    def dense():
        return load_for_scoring(base, settings, train_dtype="float32", dtype="float32", device=device_of("cpu"))

    engine = TransformersEngine(dense, load_tokenizer(str(tiny_model)), {})
    kernels = load_base(base, settings, dtype="float32", device=device_of("cpu")).eval()
    full = load(tiny_model)
    for (_, request), answer in zip(scores(), ask(engine, scores()), strict=True):
        assert answer.logprob == pytest.approx(plain_logprob(kernels, request), abs=1e-3)
        assert answer.logprob != pytest.approx(plain_logprob(full, request), abs=1e-3)


def test_answers_are_kept_for_the_weights_that_gave_them(tiny_recipe, tiny_run, tmp_path, command):
    """lm-eval's cache of answers does not know which model or adapter they are from."""
    from safetensors.torch import load_file, save_file

    adapter = shutil.copytree(tiny_run / "adapter", tmp_path / "adapter")
    words = ("score", "--recipe", tiny_recipe, "--models", f"base,mine={adapter}", "--out", tmp_path / "run")
    assert command(*words)[0] == 0
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: 2 * weight for name, weight in weights.items()}, adapter / "adapter_model.safetensors")
    code, out, _ = command(*words)
    assert code == 0
    assert out.count("base, medbench_pubmedqa: answered already, kept") == 1
    assert "mine, medbench_pubmedqa: answered already" not in out
