"""Scoring and its estimates on Apple's GPU, by a stand-in with its tensors on the CPU."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.answers.answer_keys import store_key
from harness.engines import estimate
from harness.engines.choice import choose_engine
from harness.engines.interface import GenerateRequest, ModelRequest, ScoreRequest
from harness.engines.kinds import ENGINES
from harness.engines.transformers_engine import TransformersEngine
from harness.environment import describe
from harness.opening import open_run
from harness.planning.run_plan import make_plan
from reports.errors import UserError
from tasks.rendering import load_tokenizer
from tests.fake_torch import MIB, fake_torch
from training.models.device import Mps, device_of
from training.splits import training_rows

pytestmark = pytest.mark.usefixtures("without_plots")


class MpsStandIn(Mps):
    """Apple's GPU by what it says of itself, with its tensors on the CPU."""

    place = "cpu"


MPS = MpsStandIn(fake_torch(mps=True))


def engine_on(tiny_model, device, **settings):
    def load():
        return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()

    return TransformersEngine(load, load_tokenizer(str(tiny_model)), {}, device=device, **settings)


def test_the_engine_takes_its_sizes_and_memory_from_the_device(tiny_model):
    """Answers are those of a CPU; the batches and what Metal holds are the device's own."""
    requests = [
        ModelRequest("base", ScoreRequest((5, 6, 7), (8, 9))),
        ModelRequest("base", GenerateRequest((5, 6, 7), 4)),
    ]
    engine = engine_on(tiny_model, MPS)
    assert (engine.setup["batch_tokens"], engine.setup["batch_rows"]) == (4096, 64)
    responses = dict(engine.respond(requests))
    expected = dict(engine_on(tiny_model, device_of("cpu")).respond(requests))
    assert responses[0].logprobs == expected[0].logprobs
    assert responses[1].text == expected[1].text
    assert [responses[index].cost.peak_memory for index in (0, 1)] == [70 * MIB, 70 * MIB]
    engine.close()
    MPS.torch.mps.empty_cache.assert_called()


@pytest.fixture
def plan(tiny_recipe, tmp_path):
    recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run")
    return replace(make_plan(recipe, folder, "base", ["medbench_pubmedqa"]), device=MPS)


def test_a_plan_is_scored_with_transformers_in_batches_of_the_device(plan):
    choice = choose_engine(plan)
    assert choice.name == "transformers"
    assert ENGINES["transformers"].batching(plan).startswith("4096 tokens, 64 generated rows")
    recipe = plan.recipe.model_copy(update={"scoring": plan.recipe.scoring.model_copy(update={"engine": "vllm"})})
    with pytest.raises(UserError, match=r"no NVIDIA or AMD card\n.*scoring\.engine=transformers"):
        choose_engine(replace(plan, recipe=recipe))


def test_times_are_estimated(plan):
    rows = training_rows(plan.recipe)
    assert estimate.score_seconds(plan) == pytest.approx(12, abs=5)
    assert estimate.train_seconds(plan.recipe, plan.base, rows, MPS, "float32") == pytest.approx(12, abs=5)


def test_results_name_the_chip(plan):
    environment = describe(MPS)
    assert (environment["device"], environment["gpu"]) == ("mps", "Apple M2 Pro")
    assert environment["gpu_memory_bytes"] == 240 * MIB
    assert store_key("model", MPS) != store_key("model", device_of("cpu"))


def test_results_name_rocm_and_cuda_by_their_versions():
    from training.models.device import Cuda

    assert describe(Cuda(fake_torch(cuda=True, hip="6.4")))["rocm"] == "6.4"
    assert describe(Cuda(fake_torch(cuda=True)))["cuda"] == "12.8"
