"""A model that gives NaN, infinity or numbers beyond floats is named and left out; the others' results are written."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.engines.answer_text import NO_TOKEN
from harness.engines.interface import GenerateRequest, ScoreRequest
from tests.harness.engines.test_engine import ask, engine_on

pytestmark = pytest.mark.usefixtures("without_plots")


def with_saved_modules(adapter, folder, tiny_model, size):
    """A copy of an adapter that brings a norm and a head of its own, with such large weights."""
    shutil.copytree(adapter, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"modules_to_save": ["model.norm", "lm_head"]}))
    head = load_file(tiny_model / "model.safetensors")["model.embed_tokens.weight"].float()
    more = {"model.norm.weight": torch.full((64,), size), "lm_head.weight": head.sign() * size}
    path = folder / "adapter_model.safetensors"
    save_file(load_file(path) | {f"base_model.model.{name}": value for name, value in more.items()}, path)
    return folder


def test_the_others_results_are_written(tiny_run, tiny_model, tiny_recipe, tmp_path, command):
    bad = with_saved_modules(tiny_run / "adapter", tmp_path / "bad", tiny_model, 1e19)  # logits of 64 times 1e38
    out = shutil.copytree(tiny_run, tmp_path / "run")
    code, said, err = command("run", "--recipe", tiny_recipe, "--models", f"base,bad={bad},adapter", "--out", out)
    assert (code, err) == (0, ""), err
    assert "note: bad answers with NaN or infinity in float32; it is left out" in said
    results, before = (json.loads((folder / "results.json").read_text()) for folder in (out, tiny_run))
    assert [model["name"] for model in results["models"]] == ["base", "adapter"]
    assert results["scores"] == before["scores"]
    assert "bad answers with NaN or infinity in float32; it is left out" in results["notes"]


@pytest.mark.slow
def test_log_likelihoods_that_no_perplexity_can_hold_are_still_scores(
    tiny_run, tiny_model, tiny_recipe, tmp_path, command
):
    bad = with_saved_modules(tiny_run / "adapter", tmp_path / "bad", tiny_model, 1e9)
    out = shutil.copytree(tiny_run, tmp_path / "run")
    code, _, err = command("run", "--recipe", tiny_recipe, "--models", f"base,bad={bad}", "--out", out)
    assert (code, err) == (0, "")
    scores = json.loads((out / "results.json").read_text())["scores"]
    perplexity = next(score["value"] for score in scores if score["model"] == "bad" and score["metric"] == "perplexity")
    assert perplexity is None  # exp(1e9) is no number


def test_a_run_without_other_models_ends_with_one_message(tiny_run, tiny_model, tiny_recipe, tmp_path, command):
    bad = with_saved_modules(tiny_run / "adapter", tmp_path / "bad", tiny_model, 1e19)
    code, _, err = command("run", "--recipe", tiny_recipe, "--models", f"bad={bad}", "--out", tmp_path / "run")
    assert code == 2
    assert err.startswith(f"error: {bad}: bad answers with NaN or infinity in float32\n  fix: ")
    code, _, err = command("ask", "Why?", "--recipe", tiny_recipe, "--models", f"bad={bad}", "--out", tmp_path / "run")
    assert code == 2
    assert "bad answers with NaN or infinity" in err


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_responses_say_that_they_are_no_numbers(tiny_model, value):
    def spoil(model):
        model.model.norm.weight.data.fill_(value)

    greedy = GenerateRequest((1, 2, 3), 8, stop=("x",))
    sampled = GenerateRequest((1, 2), 8, temperature=1.0, top_k=5)
    score, *generated = ask(
        engine_on(tiny_model, prepare=spoil), [("base", one) for one in (ScoreRequest((1, 2), (3, 4)), greedy, sampled)]
    )
    assert not score.is_finite
    assert [(one.tokens, one.text, one.is_finite) for one in generated] == [((NO_TOKEN,), "", False)] * 2
    whole = ask(engine_on(tiny_model), [("base", one) for one in (ScoreRequest((1, 2), (3, 4)), greedy, sampled)])
    assert [one.is_finite for one in whole] == [True] * 3
