"""Names cannot lead out of the folders that they are put into."""

import pytest
from pydantic import ValidationError

from reports.document.schema import ModelInfo, TaskInfo
from reports.names import is_hub_id, is_plain_name

ESCAPES = [
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\0b",
    "C:x",
    "con",
    "NUL.txt",
    "",
    " ",
    "x" * 300,
    "a\nb",
    "x.",
]


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_lead_elsewhere_are_none(name):
    assert not is_plain_name(name)
    with pytest.raises(ValidationError):
        TaskInfo(name=name, title="t")
    with pytest.raises(ValidationError):
        ModelInfo(name=name, kind="base", source="s", sha256="0", weights="w")


@pytest.mark.parametrize("name", ["medbench_pubmedqa", "mmlu_pro-health.v2", "adapter", "Größe", "a b"])
def test_ordinary_names_are_names(name):
    assert is_plain_name(name)


def test_hub_ids_are_owner_and_name():
    assert is_hub_id("meta-llama/Meta-Llama-3-8B")
    for text in ("../x", "a/..", "a/b/c", "/a", "a/", "~/x", "a/b\0", "a/.b", "a/b..c", "ö/x", "a/b--c", "name"):
        assert not is_hub_id(text), text


@pytest.mark.parametrize("name", ["con", "nul", "aux.1"])
def test_reserved_names_are_no_names_of_models_or_recipes(name, command, tiny_recipe, tmp_path):
    for words in (("--models", f"base,{name}=x"), ("--set", f"name={name}")):
        code, _, err = command("score", "--recipe", tiny_recipe, *words, "--out", tmp_path / "run")
        assert code == 2, err
        assert "name" in err
