"""Which engine answers a plan, and why."""

import json
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from harness.console import Terminal
from harness.engines import estimate
from harness.engines.choice import choose_engine
from harness.engines.interface import CAPABILITIES, Unsupported
from harness.engines.kinds import ENGINES, engine_kind
from harness.engines.start_times import last_start_seconds, remember_start
from harness.opening import open_run
from harness.planning.run_plan import make_plan
from harness.runs.stages import score_stage
from reports.document.reading import read_results
from reports.errors import UserError
from reports.files import read_json
from tests.fake_torch import fake_torch
from tests.harness.plugins import use_engine
from training.models.architecture import architecture
from training.models.device import Cuda
from training.models.model import Model

pytestmark = pytest.mark.usefixtures("without_plots")

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "gpu"


@pytest.fixture
def plan(tiny_recipe, tmp_path):
    def make(*settings):
        recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run", settings=settings)
        return make_plan(recipe, folder, "base", None)

    return make


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU and vLLM, on which estimates are given."""
    vllm = ModuleType("vllm")
    vllm.__spec__ = ModuleSpec("vllm", None)
    monkeypatch.setitem(sys.modules, "vllm", vllm)

    def times(transformers, vllm):
        for name, estimated in (("transformers", lambda _: transformers), ("vllm", lambda _: vllm)):
            monkeypatch.setitem(ENGINES, name, replace(ENGINES[name], seconds=estimated))

    return times


@pytest.fixture
def llama_8b(tmp_path, tiny_model):
    """A base of the size of Llama 3.1 8B, without weights, and with the tokenizer of another."""
    config = {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
    config |= {"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False}
    (tmp_path / "8b").mkdir()
    (tmp_path / "8b" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    base = Model("base", "base", "8b", tmp_path / "8b", "", tiny_model, "8b")
    assert architecture(base).parameters == 8_030_261_248
    return base


def h200_speed(base, device, _):
    return estimate.speed_by_flops(base, device, 7.9e14)


def on_gpu(plan):
    return replace(plan, device=Cuda())


def test_a_cpu_is_scored_with_transformers(plan):
    choice = choose_engine(plan())
    assert choice.name == "transformers"
    assert "no NVIDIA or AMD card" in choice.why


def test_vllm_needs_room_for_dense_weights(plan, gpu):
    gpu(500.0, 200.0)
    planned = replace(on_gpu(plan()), dense=False)
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


def test_vllm_that_cannot_run_is_refused(plan, monkeypatch):
    with pytest.raises(UserError, match="no NVIDIA or AMD card"):
        choose_engine(plan("scoring.engine=vllm"))
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"medbench\[vllm\]"):
        choose_engine(on_gpu(plan("scoring.engine=vllm")))


def test_a_long_plan_pays_the_start_of_vllm_and_a_short_one_does_not(plan, llama_8b):
    def times(made):
        made = on_gpu(replace(made, base=llama_8b))
        return estimate.score_seconds(made, h200_speed), estimate.vllm_seconds(made, h200_speed)

    plain, vllm = times(plan())
    assert plain < vllm
    long = plan("scoring.max_new_tokens=512")
    for loaded in long.tasks:
        object.__setattr__(loaded, "indices", loaded.indices * 9000)
    plain, vllm = times(long)
    assert vllm < plain


def test_estimates_are_near_what_was_measured_on_an_h200(plan, llama_8b):
    measured = read_json(RESULTS / "speed.json")["stages"]
    config = SimpleNamespace(repeats=1, generation_kwargs={"max_gen_toks": 256})
    choice = SimpleNamespace(OUTPUT_TYPE="multiple_choice")
    questions = SimpleNamespace(read_tokens=lambda _: 200 * 350, task=choice, indices=range(200))
    generation = SimpleNamespace(OUTPUT_TYPE="generate_until", config=config)
    prompts = SimpleNamespace(read_tokens=lambda _: 256 * 100, task=generation, indices=range(256))
    base = plan()
    made = replace(on_gpu(base), base=llama_8b, models=base.models * 4, tasks=[questions, prompts])
    answering = estimate.score_seconds(made, h200_speed) - 12  # seconds of a typical start; that host's took 26
    assert answering == pytest.approx(measured["ours"]["again"]["answer_seconds"], rel=0.2)
    remember_start(made, measured["vllm"]["setup"]["start_seconds"])
    assert estimate.vllm_seconds(made, h200_speed) == pytest.approx(measured["vllm"]["total_seconds"], rel=0.3)


def test_questions_are_made_once_for_all_models_and_metrics_for_each(plan):
    made = plan()
    items = sum(len(loaded.indices) for loaded in made.tasks)
    times = [
        estimate.score_seconds(replace(made, models=made.models[:1] * count), lambda *_: estimate.Speed(0, 0, 0, 1.0))
        for count in (1, 3)
    ]
    assert times == [pytest.approx(12 + items * 6), pytest.approx(12 + items * (2.5 + 3 * 3.5))]


def test_a_training_is_estimated_from_the_mean_length_of_its_rows(plan):
    made = plan("trainer.max_steps=null", "trainer.epochs=2", "trainer.batch_size=1", "trainer.max_length=512")
    row = SimpleNamespace(texts=("q" * 35, "r" * 70, "a" * 35))
    rows = SimpleNamespace(train=[row] * 10)
    seconds = estimate.train_seconds(made.recipe, made.base, rows, made.device, "float32", lambda *_: 1e9)
    tokens = 2 * 10 * (140 / 3.5 + 60)
    assert seconds == pytest.approx(12 + 6 * architecture(made.base).parameters * tokens / (0.45 * 1e9))


def test_packed_batches_of_a_step_are_estimated_as_one(plan):
    made = plan("trainer.max_steps=3", "trainer.batch_size=2", "trainer.gradient_accumulation=4")
    rows = SimpleNamespace(train=[SimpleNamespace(texts=("q" * 140,))])
    seconds = estimate.train_seconds(made.recipe, made.base, rows, Cuda(fake_torch(cuda=True)), "", lambda *_: 1e9)
    tokens = 3 * 8 * (140 / 3.5 + 60)
    assert seconds == pytest.approx(12 + 6 * architecture(made.base).parameters * tokens / (0.65 * 1e9))
    seconds = estimate.train_seconds(made.recipe, made.base, rows, Cuda(fake_torch(cuda=True)), "", lambda *_: 1e15)
    assert seconds == pytest.approx(12 + 3 * architecture(made.base).layers * Cuda.train_layer_seconds)


def test_steps_that_cannot_be_replayed_are_estimated_longer(plan, tiny_model, tmp_path):
    made = on_gpu(plan())
    replayed = estimate.score_seconds(made, h200_speed)
    in_4_bits = estimate.score_seconds(replace(made, dense=False), h200_speed)
    assert in_4_bits > replayed
    config = json.loads((tiny_model / "config.json").read_text()) | {"sliding_window": 64}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    elsewhere = replace(made, base=replace(made.base, folder=tmp_path))
    assert estimate.score_seconds(elsewhere, h200_speed) == pytest.approx(in_4_bits)


class ScoringOnly:
    """An engine without generation and adapters."""

    capabilities = frozenset({"log_likelihoods"})


class NeedsGpu:
    """An engine that cannot score on a CPU."""

    capabilities = CAPABILITIES

    @staticmethod
    def unsupported(plan):
        """Whatever is planned on a CPU."""
        return Unsupported("there is no GPU", "rent one") if plan.device.type == "cpu" else None


def test_an_installed_package_adds_an_engine(plan, monkeypatch, tmp_path):
    use_engine(monkeypatch, tmp_path / "site", ScoringOnly, "scoring")
    choice = choose_engine(plan("scoring.engine=scoring", "scoring.tasks=[medbench_perplexity]"))
    assert (choice.name, choice.why) == ("scoring", "the recipe says so")
    kind = engine_kind("scoring")
    assert (kind.title, kind.packages, str(kind.start)) == ("scoring", ("medbench-plugin",), str(ScoringOnly))


@pytest.mark.parametrize(
    ("engine", "message", "fix"),
    [
        (ScoringOnly, "mine cannot score here: it does not support generation", "set scoring.engine=auto"),
        (NeedsGpu, "mine cannot score here: there is no GPU", "rent one"),
        (object, "the engine mine of the package medbench-plugin cannot be loaded: ", "update or reinstall"),
    ],
    ids=["lacks a capability", "is unsupported", "is no engine"],
)
def test_an_engine_that_cannot_score_the_plan_is_refused(plan, monkeypatch, tmp_path, engine, message, fix):
    use_engine(monkeypatch, tmp_path / "site", engine, "mine")
    with pytest.raises(UserError) as error:
        choose_engine(plan("scoring.engine=mine"))
    assert error.value.what.startswith(message)
    assert error.value.where == "scoring.engine"
    assert error.value.fix.startswith(fix)


def test_an_engine_without_adapters_scores_the_base_only(tiny_recipe, tiny_run, tmp_path, monkeypatch):
    use_engine(monkeypatch, tmp_path / "site", ScoringOnly, "scoring")
    recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run", settings=["scoring.engine=scoring"])
    plan = make_plan(recipe, folder, f"base,mine={tiny_run / 'adapter'}", ["medbench_perplexity"])
    with pytest.raises(UserError, match="it does not support adapters"):
        choose_engine(plan)


def test_an_unknown_engine_is_refused_with_those_that_are_installed(plan, monkeypatch, tmp_path):
    use_engine(monkeypatch, tmp_path / "site", NeedsGpu, "mine")
    with pytest.raises(UserError) as error:
        choose_engine(plan("scoring.engine=vlm"))
    assert error.value.what == "no engine is named 'vlm'; installed: mine, transformers, vllm"
    with pytest.raises(UserError, match=r"scoring\.engine"):
        plan("scoring.engine='no name'")


def test_the_last_start_is_remembered(plan, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path))
    made = plan()
    assert last_start_seconds(made) > 100
    remember_start(made, 31.5)
    assert last_start_seconds(made) == 31.5
    assert last_start_seconds(plan("scoring.vllm={max_num_seqs: 8}")) > 100


def test_a_base_that_fits_in_4_bits_only_is_scored_so_with_adapters_beside_it(tiny_recipe, tiny_run, tmp_path):
    recipe, folder = open_run(str(tiny_recipe), out=tmp_path / "run", settings=["scoring.noise_items=0"])
    folder.make()
    plan = replace(make_plan(recipe, folder, f"base,mine={tiny_run / 'adapter'}", None), dense=False)
    results = score_stage(plan, Terminal(quiet=True), {}, again=False)
    assert results.models[0].weights == "NF4 with double quantisation, held so, computed in float32"
    assert results.engine["adapters"] == "unmerged"
    dense = {(each.model, each.task, each.metric): each.value for each in read_results(tiny_run).scores}
    for score in results.scores:
        if score.metric == "perplexity":
            before = dense[{"mine": "adapter"}.get(score.model, score.model), score.task, score.metric]
            assert score.value == pytest.approx(before, rel=1e-4)
