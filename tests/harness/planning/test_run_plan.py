"""Models as values: what a plan holds of each, before and after the recipe's own adapter is trained."""

from dataclasses import FrozenInstanceError, replace

import pytest

from harness.folder import RunFolder
from harness.planning.model_names import ModelArgument, parse_models
from harness.planning.run_plan import make_plan, with_trained_adapter
from reports.document.reading import read_results
from reports.errors import UserError
from reports.files import sha256_file
from training.recipes.recipe_file import load_recipe


@pytest.fixture
def plan(tiny_recipe, tiny_run, tmp_path):
    """A plan of the base, the recipe's own adapter in an empty run folder, and an adapter that is there already."""
    models = f"mine={tiny_run / 'adapter'},base,adapter"
    return make_plan(load_recipe(str(tiny_recipe)), RunFolder(tmp_path), models, ["medbench_perplexity"])


def test_models_are_given_by_name_or_by_name_and_source():
    assert parse_models("base, adapter,mine=owner/name") == [
        ModelArgument("base", "base", None),
        ModelArgument("adapter", "adapter", None),
        ModelArgument("mine", None, "owner/name"),
    ]
    assert [str(model) for model in parse_models("mine = a/b,adapter")] == ["mine=a/b", "adapter"]
    assert [model.is_own_adapter for model in parse_models("base,adapter,mine=a/b")] == [False, True, False]
    with pytest.raises(UserError, match="base takes no source"):
        parse_models("base=folder")


def test_a_path_with_wildcards_is_all_models_that_it_matches(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("out/checkpoint-100", "out/checkpoint-20", "runs/a/adapter", "runs/b/adapter", "[x]*"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "adapter_config.json").write_text("{}")
    (tmp_path / "out" / "logs").mkdir()
    assert [str(model) for model in parse_models("base,d=out/checkpoint-*,e=runs/*/adapter,f=[x]*")] == [
        "base",
        "d-checkpoint-20=out/checkpoint-20",
        "d-checkpoint-100=out/checkpoint-100",
        "e-a=runs/a/adapter",
        "e-b=runs/b/adapter",
        "f=[x]*",
    ]
    assert [model.name for model in parse_models(f"d={tmp_path}/out/c*")] == ["d-checkpoint-20", "d-checkpoint-100"]
    (tmp_path / "model-f16.gguf").touch()
    assert parse_models("d=*.gguf") == [ModelArgument("d-model-f16.gguf", "gguf", "model-f16.gguf")]
    assert [model.kind for model in parse_models("d=full:out/checkpoint-*")] == ["full", "full"]
    with pytest.raises(UserError, match=r"d=out/x\*: nothing matches"):
        parse_models("d=out/x*")
    with pytest.raises(UserError, match=r"logs is no model: it has no adapter_config.json and no config.json"):
        parse_models("d=out/*")
    with pytest.raises(UserError, match="the name d-checkpoint-20 is given twice"):
        parse_models("d-checkpoint-20=x,d=out/checkpoint-*")


def test_a_model_says_what_it_is(plan, tiny_run, tmp_path):
    mine, base, own = plan.models
    weights = sha256_file(tiny_run / "adapter" / "adapter_model.safetensors")
    assert [(model.name, model.kind) for model in plan.models] == [
        ("mine", "adapter"),
        ("base", "base"),
        ("adapter", "adapter"),
    ]
    assert (mine.source, mine.folder, mine.sha256, mine.trained_here) == (
        "adapter",
        tiny_run / "adapter",
        weights,
        False,
    )
    assert (own.folder, own.sha256, own.trained_here) == (tmp_path / "adapter", "", True)
    assert own.source == f"trained by this recipe on {base.source}"
    assert {model.tokenizer for model in plan.models} == {base.folder}
    assert [model.quantization.method for model in plan.models] == ["nf4"] * 3
    assert mine.rows == own.rows
    assert base.rows is None
    assert plan.base is base
    assert plan.baseline is base
    assert plan.own_adapter is own
    assert plan.to_train is own.rows
    assert plan.adapters == {"mine": tiny_run / "adapter", "adapter": tmp_path / "adapter"}


def test_a_model_is_the_base_by_its_kind_and_not_by_its_name(plan):
    renamed = replace(plan.base, name="llama")
    assert replace(plan, models=(plan.models[0], renamed)).baseline is renamed
    assert not replace(plan.models[0], name="base").is_base


def test_a_trained_adapter_is_in_another_plan(plan, tiny_run):
    with pytest.raises(UserError, match="no such adapter folder"):
        with_trained_adapter(plan)
    plan.folder.adapter.symlink_to(tiny_run / "adapter")
    trained = with_trained_adapter(plan)
    assert trained.own_adapter.sha256 == trained.models[0].sha256
    assert trained.to_train is None
    assert plan.own_adapter.sha256 == ""


def test_plans_and_models_are_frozen(plan):
    with pytest.raises(FrozenInstanceError):
        plan.device = "cuda"
    with pytest.raises(FrozenInstanceError):
        plan.base.sha256 = ""


def test_results_say_what_each_model_is(tiny_run):
    results = read_results(tiny_run)
    base, own = results.models
    assert [(model.training_data, model.trained_here) for model in results.models] == [
        ("unknown", False),
        ("known", True),
    ]
    assert base.tokenizer_sha256 == own.tokenizer_sha256 == results.reproduction.tokenizer_sha256
    assert base.chat_template_sha256 == own.chat_template_sha256 == results.reproduction.chat_template_sha256
