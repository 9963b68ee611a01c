"""The text of `--models`: names, kinds that are given or detected, and sources that hold colons and equals signs."""

import pytest

from harness.planning.model_names import ModelArgument, parse_models
from reports.errors import UserError


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, file in (("lora", "adapter_config.json"), ("merged", "config.json"), ("C:", "config.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")


@pytest.mark.parametrize(
    ("text", "name", "kind", "source"),
    [
        ("base", "base", "base", None),
        ("adapter", "adapter", "adapter", None),
        ("mine=lora", "mine", "adapter", "lora"),
        ("mine=merged", "mine", "full", "merged"),
        ("full=lora", "full", "adapter", "lora"),  # the name says nothing about the kind
        ("gguf=merged", "gguf", "full", "merged"),
        ("served=model.gguf", "served", "gguf", "model.gguf"),
        ("pool=owner/name", "pool", None, "owner/name"),
        ("mine=full:owner/name", "mine", "full", "owner/name"),
        ("mine=adapter:owner/name", "mine", "adapter", "owner/name"),
        ("mine=full:lora", "mine", "full", "lora"),
        ("mine=gguf:weights.bin", "mine", "gguf", "weights.bin"),
        ("mine = full : merged ", "mine", "full", "merged"),
        ("mine=http://localhost:8000/v1#tiny", "mine", "served", "http://localhost:8000/v1#tiny"),
        ("mine=served:http://localhost:8000/v1#a:b=c", "mine", "served", "http://localhost:8000/v1#a:b=c"),
        ("mine=https://host/v1", "mine", "served", "https://host/v1"),
        (r"mine=C:\models\merged", "mine", "adapter", r"C:\models\merged"),
        ("mine=C:", "mine", "full", "C:"),
        ("mine=full:C:", "mine", "full", "C:"),
        ("mine=base:merged", "mine", "adapter", "base:merged"),  # no kind of a source, so a folder that is not there
        ("mine=pool:merged", "mine", "adapter", "pool:merged"),
    ],
)
def test_a_model_has_a_name_a_kind_and_a_source(text, name, kind, source):
    (argument,) = parse_models(text)
    assert argument == ModelArgument(name, kind, source)
    assert parse_models(str(argument)) == [argument]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("full", "full needs a source: full=SOURCE"),
        ("served", "served needs a source"),
        ("mine=", "mine needs a source"),
        ("mine=full:", "mine needs a source"),
        ("base=merged", "base takes no source"),
        ("adapter=full:merged", "adapter takes no source"),
        ("a b=merged", "'a b' is no name"),
        ("../x=merged", r"is no name for a model"),
        ("=merged", "'' is no name"),
        ("mine=merged,mine=lora", "the name mine is given twice"),
        ("", "no model is named"),
        ("mine=gguf:no*.gguf", "nothing matches"),
        ("adapter@", "'adapter@' names no step"),
        ("adapter@0", "names no step"),
        ("adapter@-5", "names no step"),
        ("adapter@2.5", "names no step"),
        ("adapter@last", "names no step"),
        ("adapter@20=merged", "names no step"),
        ("adapter@20,adapter@20", "the name adapter-step-20 is given twice"),
        ("adapter-step-20=merged,adapter@20", "the name adapter-step-20 is given twice"),
        ("base@20", "base@20 needs a source"),
    ],
)
def test_other_texts_are_one_error_with_a_fix(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_models(text)
    assert error.value.fix


@pytest.mark.parametrize("step", ["20", "*"])
def test_a_checkpoint_has_a_name_that_a_path_can_have_once_its_step_is_known(step):
    (argument,) = parse_models(f"adapter@{step}")
    assert argument == ModelArgument(f"adapter-step-{step}", "adapter", None, step)
    assert argument.is_checkpoint
    assert not argument.is_own_adapter
    assert parse_models(str(argument)) == [argument]
