"""Which engine answers a plan, and why."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

import harness
from harness.api import open_run
from harness.engines import estimate
from harness.engines.choice import choose_engine
from harness.engines.estimate import _Work
from harness.engines.kinds import ENGINES
from harness.engines.start_times import known_start_seconds, remember_start
from harness.planning.run_plan import make_plan
from reports.document.reading import read_results
from reports.errors import UserError
from reports.files import read_json
from training.models.device import Cuda
from training.recipes.recipe import EngineName

SPEED = Path(__file__).parents[3] / "benchmarks" / "results" / "gpu" / "speed.json"


@pytest.fixture
def plan(tiny_recipe, tmp_path):
    def make(*settings):
        recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run", settings=settings)
        return make_plan(recipe, folder, "base", None)

    return make


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU and vLLM, on which estimates are given."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "vllm" else find(name))

    def times(plain, vllm):
        monkeypatch.setattr(estimate, "score_seconds", lambda _: plain)
        monkeypatch.setattr(estimate, "vllm_seconds", lambda _: vllm)

    return times


def on_gpu(plan):
    plan.device = Cuda()
    return plan


def test_every_engine_that_a_recipe_may_name_has_its_entry():
    assert set(ENGINES) == set(get_args(EngineName))


def test_a_cpu_is_scored_with_transformers(plan):
    choice = choose_engine(plan())
    assert choice.name == "transformers"
    assert "no NVIDIA or AMD card" in choice.why


def test_vllm_needs_room_for_dense_weights(plan, gpu):
    gpu(500.0, 200.0)
    planned = on_gpu(plan())
    planned.dense = False
    assert choose_engine(planned).why == "the base's dense weights do not fit into the card's memory"


def test_auto_takes_the_faster_by_estimate_and_says_why(plan, gpu):
    gpu(500.0, 200.0)
    choice = choose_engine(on_gpu(plan()))
    assert (choice.name, choice.seconds) == ("vllm", 200.0)
    assert "8 min 20 s with transformers, 3 min 20 s with vLLM" in choice.why
    gpu(100.0, 200.0)
    assert choose_engine(on_gpu(plan())).name == "transformers"


def test_the_recipe_can_say_which(plan, gpu):
    gpu(1.0, 200.0)
    assert choose_engine(on_gpu(plan("scoring.engine=vllm"))).name == "vllm"
    gpu(200.0, 1.0)
    assert choose_engine(on_gpu(plan("scoring.engine=transformers"))).name == "transformers"


def test_vllm_that_cannot_run_is_told(plan, monkeypatch):
    with pytest.raises(UserError, match="no NVIDIA or AMD card"):
        choose_engine(plan("scoring.engine=vllm"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"medbench\[vllm\]"):
        choose_engine(on_gpu(plan("scoring.engine=vllm")))


def test_a_long_plan_pays_the_start_of_vllm_and_a_short_one_does_not(plan, monkeypatch):
    monkeypatch.setattr(estimate, "matmul_flops", lambda *_: 8e14)
    monkeypatch.setattr(estimate, "_size", lambda _: (8_000_000_000, 32))

    def times(made):
        made.device = Cuda()
        return estimate.score_seconds(made), estimate.vllm_seconds(made)

    plain, vllm = times(plan())
    assert plain < vllm
    long = plan("scoring.max_new_tokens=512")
    for loaded in long.tasks:
        object.__setattr__(loaded, "indices", loaded.indices * 3000)
    plain, vllm = times(long)
    assert vllm < plain


def test_estimates_are_near_what_was_measured_on_an_h200(plan, monkeypatch):
    measured = read_json(SPEED)["stages"]
    questions, prompts = _Work(200 * 350, 0, 0), _Work(256 * 100, 256, 256)
    monkeypatch.setattr(estimate, "matmul_flops", lambda *_: 7.9e14)
    monkeypatch.setattr(estimate, "_size", lambda _: (8_030_261_248, 32))
    monkeypatch.setattr(estimate, "_work", lambda work: work)
    made = plan()
    made.device, made.models, made.tasks = Cuda(), ["base", "a0", "a1", "a2"], [questions, prompts]
    assert estimate.score_seconds(made) == pytest.approx(measured["ours"]["total_seconds"], rel=0.3)
    remember_start(made, measured["vllm"]["setup"]["start_seconds"])
    assert estimate.vllm_seconds(made) == pytest.approx(measured["vllm"]["total_seconds"], rel=0.3)


def test_steps_that_cannot_be_replayed_are_estimated_longer(plan, monkeypatch, tiny_model, tmp_path):
    monkeypatch.setattr(estimate, "matmul_flops", lambda *_: 7.9e14)
    made = on_gpu(plan())
    replayed = estimate.score_seconds(made)
    made.dense = False
    in_4_bits = estimate.score_seconds(made)
    assert in_4_bits > replayed
    config = json.loads((tiny_model / "config.json").read_text()) | {"sliding_window": 64}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    made.dense, made.base = True, replace(made.base, folder=tmp_path)
    assert estimate.score_seconds(made) == pytest.approx(in_4_bits)


def test_the_last_start_is_remembered(plan, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path))
    made = plan()
    assert known_start_seconds(made) > 100
    remember_start(made, 31.5)
    assert known_start_seconds(made) == 31.5
    assert known_start_seconds(plan("scoring.vllm={max_num_seqs: 8}")) > 100


def test_a_base_that_fits_in_4_bits_only_is_scored_so_with_adapters_beside_it(
    tiny_recipe, tiny_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("harness.planning.run_plan.fits_dense", lambda *_: False)
    models, settings = f"base,mine={tiny_run / 'adapter'}", ["scoring.noise_items=0"]
    results = harness.score(str(tiny_recipe), models=models, out=tmp_path / "run", settings=settings, quiet=True)
    assert results.models[0].weights == "NF4 with double quantisation, held so, computed in float32"
    assert results.engine["adapters"] == "unmerged"
    dense = {(each.model, each.task, each.metric): each.value for each in read_results(tiny_run).scores}
    for score in results.scores:
        if score.metric == "perplexity":
            before = dense[{"mine": "adapter"}.get(score.model, score.model), score.task, score.metric]
            assert score.value == pytest.approx(before, rel=1e-4)
