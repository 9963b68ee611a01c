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
    ],
)
def test_other_texts_are_one_error_with_a_fix(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_models(text)
    assert error.value.fix
