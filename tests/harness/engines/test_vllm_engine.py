"""The vLLM engine on a stand-in for vLLM: the same answers as the transformers engine, settings, and start."""

import json
import os
import shutil

import pytest
import torch

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import GenerateRequest, PerplexityRequest, ScoreRequest
from harness.engines.vllm_engine import VllmEngine
from reports.errors import UserError
from tasks.rendering import load_tokenizer
from tests.harness.engines import fake_vllm
from tests.harness.engines.test_engine import ask, draw, engine_on, few_shot, prompts, scores

pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.fixture(autouse=True)
def vllm(monkeypatch, tmp_path):
    for name in ("VLLM_CACHE_ROOT", "VLLM_NO_USAGE_STATS", "VLLM_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path))
    fake_vllm.install(monkeypatch)


def start(tiny_model, adapters=None, requests=(), **settings):
    tokenizer = load_tokenizer(str(tiny_model))
    ends = settings.pop("ends", None)
    ends = ends or dict.fromkeys(["base", *(adapters or {})], AnswerEnd(tokenizer, [tokenizer.eos_token_id]))
    return VllmEngine(tiny_model, tokenizer, adapters or {}, requests, ends=ends, dtype="float32", settings=settings)


def everything():
    labels = [("base", ScoreRequest((5, 6, 7), (token,))) for token in range(8, 11)]
    texts = [("base", PerplexityRequest(draw(30, 7), 0)), ("one", PerplexityRequest(draw(900, 8), 0))]
    mixed = [*scores(), *scores("one"), *few_shot("one"), *labels, *texts, *prompts(), *prompts("one")]
    return mixed[::2] + mixed[1::2]


def test_all_answers_are_those_of_the_transformers_engine_in_one_batch(tiny_model, tiny_run):
    folders = {"one": tiny_run / "adapter"}
    engine = start(tiny_model, folders, everything())
    found, wanted = ask(engine, everything()), ask(engine_on(tiny_model, folders), everything())
    assert engine.most_at_once > len(everything()) * 0.7  # labels of one question share a request
    for (_, request), one, other in zip(everything(), found, wanted, strict=True):
        if isinstance(request, GenerateRequest):
            assert one.tokens == other.tokens
            assert one.text == other.text
            assert one.finish_reason == other.finish_reason
        else:
            assert list(one.logprobs) == pytest.approx(list(other.logprobs), rel=1e-6, abs=1e-4)
            assert one.greedy == other.greedy
        assert one.cost.latency == 0.5
        assert one.cost.seconds >= 0


def test_each_model_ends_its_answers_at_its_own_tokens(tiny_model, tiny_run):
    """Another token than the base's end token, which does not end this model's answers; both engines agree."""
    tokenizer, folders = load_tokenizer(str(tiny_model)), {"one": tiny_run / "adapter"}
    requests = [*prompts("base"), *prompts("one")]
    whole = ask(engine_on(tiny_model, folders), requests)
    end = whole[-1].tokens[3]
    ends = {"base": AnswerEnd(tokenizer, []), "one": AnswerEnd(tokenizer, [end])}
    answers = ask(start(tiny_model, folders, requests, ends=ends), requests)
    for one, other in zip(answers, ask(engine_on(tiny_model, folders, ends=ends), requests), strict=True):
        assert (one.tokens, one.text, one.finish_reason) == (other.tokens, other.text, other.finish_reason)
    first = whole[-1].tokens.index(end) + 1
    assert (answers[-1].tokens, answers[-1].finish_reason) == (whole[-1].tokens[:first], "stop")
    assert {answer.finish_reason for answer in answers[: len(prompts())]} == {"length"}


def test_a_text_longer_than_the_window_is_scored_in_windows_one_token_shorter(tiny_model):
    engine = start(tiny_model)
    other = engine_on(tiny_model)
    assert engine.max_length == other.max_length - 1
    asked = [("base", PerplexityRequest(draw(1400, 8), 0))]
    other.max_length = engine.max_length
    assert ask(engine, asked)[0].logprob == pytest.approx(ask(other, asked)[0].logprob, rel=1e-6)


def test_more_choices_than_vllm_gives_at_once_are_asked_in_parts(tiny_model):
    asked = [("base", ScoreRequest((5, 6, 7), (token,))) for token in range(300)]
    engine = start(tiny_model)
    assert len(ask(engine, asked)) == 300
    assert engine.most_at_once == 3


def test_settings_are_chosen_and_passed_through(tiny_model, tiny_run):
    folders = dict.fromkeys(("a", "b", "c"), tiny_run / "adapter")
    engine = start(tiny_model, folders, tensor_parallel_size=2, gpu_memory_utilization=0.5)
    (settings,) = fake_vllm.LLM.made
    assert settings["max_loras"] == 4
    assert settings["max_lora_rank"] == 8
    assert settings["tensor_parallel_size"] == 2
    assert settings["gpu_memory_utilization"] == 0.5
    assert settings["max_model_len"] == 1024  # the model's own window
    assert engine.setup["start_seconds"] >= 0


def test_what_it_compiles_is_kept_between_runs_and_nothing_is_sent(tiny_model, tmp_path):
    start(tiny_model)
    assert os.environ["VLLM_CACHE_ROOT"] == str(tmp_path / "vllm")
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"


def test_closing_it_ends_its_process(tiny_model):
    running = fake_vllm.LLM.running
    engine = start(tiny_model)
    assert fake_vllm.LLM.running == running + 1
    engine.close()
    assert fake_vllm.LLM.running == running


def test_a_wrong_setting_is_one_clear_error(tiny_model):
    with pytest.raises(UserError, match="unexpected keyword argument 'nonsense'"):
        start(tiny_model, nonsense=1)


@pytest.mark.parametrize("change", [{"use_dora": True}, {"rank_pattern": {"q_proj": 2}}, {"alpha_pattern": {"x": 1}}])
def test_adapters_that_vllm_would_read_wrongly_are_refused(tiny_model, tiny_run, tmp_path, change):
    folder = shutil.copytree(tiny_run / "adapter", tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match="vLLM cannot take the adapter one"):
        start(tiny_model, {"one": folder})


def test_a_quantised_base_is_written_out_dense_once(tiny_recipe, tmp_path):
    from harness.engines.dense_checkpoint import dense_checkpoint
    from harness.opening import open_run
    from harness.planning.run_plan import make_plan
    from training.models.device import device_of
    from training.models.loading import load_for_scoring

    recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run")
    plan = make_plan(recipe, folder, "base", ["medbench_pubmedqa"])
    loads = []

    def load():
        loads.append(1)
        settings = {"train_dtype": "float32", "dtype": "float32", "device": device_of("cpu")}
        return load_for_scoring(plan.base, recipe.quantization, **settings)

    (first, second), wanted = (dense_checkpoint(plan, load) for _ in range(2)), load().state_dict()
    assert first == second
    assert first.is_relative_to(folder.path / "cache")
    assert len(loads) == 2
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(first).state_dict()
    assert all(torch.equal(weight, plain[name]) for name, weight in wanted.items())
    full, _ = open_run(str(tiny_recipe), out=tmp_path / "run", settings=["scoring.base=full"])
    plan = make_plan(full, folder, "base", ["medbench_pubmedqa"])
    assert dense_checkpoint(plan, load) == plan.base.folder


def test_each_whole_model_is_started_and_ended_by_itself(tiny_recipe, tiny_model, wide_model, tmp_path):
    from harness.engines.choice import Choice, start_engine
    from harness.opening import open_run
    from harness.planning.run_plan import make_plan

    recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run", settings=["scoring.base=full"])
    plan = make_plan(recipe, folder, f"base,wide={wide_model}", ["medbench_perplexity"])
    requests = [*scores("wide"), *scores("base")]
    engine = start_engine(plan, Choice("vllm", "", 0.0), requests)
    answers = ask(engine, requests)
    engine.close()
    wanted = [*ask(engine_on(wide_model), scores("base")), *ask(engine_on(tiny_model), scores("base"))]
    for one, other in zip(answers, wanted, strict=True):
        assert list(one.logprobs) == pytest.approx(list(other.logprobs), rel=1e-6, abs=1e-4)
    assert (engine.setup["loads"], engine.setup["engine"]) == (2, "vllm")
