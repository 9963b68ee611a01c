"""The traps of lm-eval's own HF model class: each of these fails where one is fallen into."""

import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from harness.engines.interface import Cost, GenerateAnswer, GenerateRequest, PerplexityRequest, ScoreRequest
from tasks.formats import get_format
from tasks.rendering import load_tokenizer, render_prompt
from tests.harness.engines.test_engine import ask, check_scores, draw, engine_on, plain_logprob, scores


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
        engine = engine_on(tmp_path / "base", {"one": tmp_path / "adapter"}, adapters=mode)
        check_scores(ask(engine, scores("one")), scores("one"), wrapped.eval())
        assert len(engine._model.model.get_output_embeddings().weight) == config.vocab_size


def test_the_softmax_is_in_float32_where_the_model_is_in_bfloat16(tiny_model):
    engine = engine_on(tiny_model)
    engine._model.model.to(torch.bfloat16)
    text = draw(601, 4)
    (answer,) = ask(engine, [("base", PerplexityRequest(text[1:], text[0]))])
    with torch.inference_mode():
        states, _ = engine._model.states([text[:-1]])
        logits = engine._model.logits(states[0])
    wanted = torch.tensor(text[1:])[:, None]
    exact, narrow = (float(each.log_softmax(-1).gather(1, wanted).sum()) for each in (logits.double(), logits))
    assert abs(narrow - exact) > 0.5
    assert answer.logprob == pytest.approx(exact, abs=1e-2)


def test_only_the_logits_that_are_asked_for_are_computed(tiny_model, monkeypatch):
    engine = engine_on(tiny_model)
    seen = []
    logits = engine._model.logits

    def watched(states):
        seen.append(len(states))
        return logits(states)

    monkeypatch.setattr(engine._model, "logits", watched)
    labels = [("base", ScoreRequest(draw(40, number), (word,))) for number in range(5) for word in (7, 8, 9)]
    asked = [*labels, ("base", ScoreRequest(draw(50, 6), draw(4, 7)))]
    ask(engine, asked)
    assert sum(seen) == 5 + 4


def test_texts_are_batched_by_length_not_in_the_order_of_documents(tiny_model, monkeypatch):
    engine = engine_on(tiny_model, batch_tokens=800)
    computed = []
    states = engine._model.states

    def watched(rows, *args, **kwargs):
        computed.append(len(rows) * max(map(len, rows)))
        return states(rows, *args, **kwargs)

    monkeypatch.setattr(engine._model, "states", watched)
    lengths = [20, 190, 21, 200, 22, 195, 23, 198, 24, 199]
    ask(engine, [("base", PerplexityRequest(draw(length, length), 0)) for length in lengths])
    assert sum(computed) < 1.1 * sum(lengths)


def test_rows_that_are_done_are_computed_no_further(tiny_model, monkeypatch):
    engine = engine_on(tiny_model, batch_rows=8)
    rows = []
    step = engine._model.next_logits

    def watched(tokens, *args):
        rows.append(len(tokens))
        return step(tokens, *args)

    monkeypatch.setattr(engine._model, "next_logits", watched)
    found = ask(engine, [("base", GenerateRequest(draw(9, number), 2 + 6 * number)) for number in range(6)])
    assert sum(rows) == sum(len(answer.tokens) - 1 for answer in found)


def test_text_is_made_only_of_tokens_that_can_complete_a_stop_string(tiny_model, monkeypatch):
    engine = engine_on(tiny_model)
    whole = ask(engine, [("base", GenerateRequest(draw(9, number), 60)) for number in range(4)])
    letter = next(chr(code) for code in range(0x3B1, 0x3C9) if all(chr(code) not in answer.text for answer in whole))
    decoded = []
    decode = engine.tokenizer.decode

    def watched(ids, **more):
        decoded.append(len(ids))
        return decode(ids, **more)

    monkeypatch.setattr(engine.tokenizer, "decode", watched)
    fresh = engine_on(tiny_model)
    found = ask(fresh, [("base", GenerateRequest(draw(9, number), 60, stop=(letter,))) for number in range(4)])
    different = {token for answer in found for token in answer.tokens}
    parts = sum(count > 1 for count in decoded)
    unfinished = sum("\ufffd" in decode([token]) for answer in found for token in answer.tokens)
    assert parts <= len(found) + unfinished
    assert len(decoded) - parts <= len(different)


def test_reasoning_reaches_the_metrics_and_the_samples(tiny_recipe, tmp_path):
    from harness.api import open_run
    from harness.planning.run_plan import make_plan
    from harness.scoring.lm import RequestMaker
    from harness.scoring.questions import make_questions
    from harness.scoring.samples import make_samples

    recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run", settings=["format.name=think"])
    plan = make_plan(recipe, folder, "base", ["medbench_generation"])
    (loaded,) = plan.tasks
    questions = make_questions(loaded, RequestMaker(load_tokenizer(str(plan.base.folder)), 0), 0)
    text = "<think>\nfirst this then that\n</think>\nIt is so."
    answer = GenerateAnswer(text, (1, 2), "stop", Cost(0.1, 0.1, 1))
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
