"""Recipes: every fault is reported at once, with its place and a suggestion."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from reports.errors import UserError
from training.recipes.recipe_file import load_recipe, recipe_names, recipe_yaml
from training.recipes.strict_yaml import check, read_yaml


@pytest.fixture
def write(tmp_path):
    def make(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return make


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_survives_a_round_trip(name, write):
    recipe = load_recipe(name)
    assert load_recipe(write(recipe_yaml(recipe))) == recipe


def test_all_faults_are_reported_together_with_their_lines(write):
    path = write(
        "name: mine\n"
        "lorra: {r: 8}\n"
        "trainer:\n"
        "  max_steps: 3\n"
        "  epochs: 2\n"
        "  batch_size: four\n"
        "quantization:\n"
        "  method: int8\n"
        "  double_quant: true\n"
    )
    with pytest.raises(UserError) as caught:
        load_recipe(path, ["scoring.limt=3"])
    message = str(caught.value)
    assert "5 faults" in message
    assert f"{path}, line 2: lorra: unknown key; did you mean lora?" in message
    assert f"{path}, line 6: trainer.batch_size: input should be a valid integer (found 'four')" in message
    assert f"{path}, line 3: trainer: give either epochs or max_steps" in message
    assert f"{path}, line 7: quantization: double_quant goes with nf4 or fp4, not with int8" in message
    assert "--set scoring.limt=3: scoring.limt: unknown key; did you mean limit?" in message


def test_overrides_change_values_and_are_typed_as_yaml():
    recipe = load_recipe("quickstart", ["lora.r=8", "trainer.learning_rate=2e-4", "data.train.rows=5"])
    assert (recipe.lora.r, recipe.trainer.learning_rate, recipe.data.train.rows) == (8, 2e-4, 5)


@pytest.mark.parametrize(
    ("override", "what", "fix"),
    [
        ("lora.r", "expected key=value, such as lora.r=8", None),
        ("=3", "expected key=value, such as lora.r=8", None),
        ("lora..r=3", "expected key=value, such as lora.r=8", None),
        ("name.inner=3", "name is not a section", "set name itself, or a key of a section"),
        ("name.inner.most=3", "name is not a section", "set name itself, or a key of a section"),
        ("lora.r=[", "the value is not YAML", "quote it, such as name='\"a: b\"'"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(override, what, fix):
    with pytest.raises(UserError) as caught:
        load_recipe("quickstart", [override])
    assert (caught.value.what, caught.value.where, caught.value.fix) == (what, f"--set {override}", fix)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("seed=-1", "input should be greater than or equal to 0 (found -1)"),
        ("seed=yes", "input should be a valid integer (found True)"),
    ],
)
def test_overrides_with_a_wrong_value_are_refused(override, fault):
    with pytest.raises(UserError) as caught:
        load_recipe("quickstart", [override])
    assert str(caught.value) == f"the recipe has a fault:\n  - --set {override}: seed: {fault}"


NESTED = "".join(f"k{number}: 1\n" for number in range(20)) + "name: " + "[" * 40
VALUE = "correct the value"


@pytest.mark.parametrize(
    ("text", "line", "what", "fix"),
    [
        ("", "", "a recipe is a mapping of sections", "start from the quickstart recipe"),
        ("- a\n", "", "a recipe is a mapping of sections", "start from the quickstart recipe"),
        ("name: x\n  bad: y\n", ", line 2", "not YAML: mapping values are not allowed here", "correct the line"),
        ("name: x\nname: y\n", ", line 2", "not YAML: the key name is given twice", "correct the line"),
        ("name: &a x\nb: *a\n", ", line 2", "not YAML: aliases (*name) are not used here", "correct the line"),
        (NESTED, ", line 21", "not YAML: nested too deeply", "correct the line"),
        ("a: \x00\n", "", "not YAML: unacceptable character #x0000: special characters are not allowed", VALUE),
        ("a: !!float x\n", "", "not YAML: could not convert string to float: 'x'", VALUE),
    ],
)
def test_files_that_are_no_recipe_are_refused(write, text, line, what, fix):
    path = write(text)
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    assert (caught.value.what, caught.value.where, caught.value.fix) == (what, f"{path}{line}", fix)


def test_a_yaml_tag_runs_no_code(write):
    path = write("name: !!python/object/apply:os.system [id]\n")
    with pytest.raises(UserError, match="not YAML: could not determine a constructor for the tag") as caught:
        load_recipe(path)
    assert caught.value.where == f"{path}, line 1"


def test_a_recipe_without_a_section_that_has_no_default_is_refused(write):
    path = write("name: x\n")
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    assert f"{path}: trainer: missing; it has no default" in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused_with_the_system_s_reason(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.mkdir()
    with pytest.raises(UserError) as caught:
        read_yaml(path, "recipe")
    expected = ("cannot read the recipe (Is a directory)", str(path), "check the path")
    assert (caught.value.what, caught.value.where, caught.value.fix) == expected
    with pytest.raises(UserError) as caught:
        read_yaml(Path("a\0b"), "policy")
    assert caught.value.what == "cannot read the policy (embedded null byte)"


def test_the_kind_of_an_entry_is_checked_by_the_key_that_names_it():
    class Cat(BaseModel):
        kind: Literal["cat"]
        lives: int

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Pets(BaseModel):
        model_config = ConfigDict(extra="forbid")
        pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]

    def fault(value):
        with pytest.raises(UserError) as caught:
            check(Pets, {"pets": [{"kind": "dog"}, value]}, "file", "list", {("pets", 1): "file, line 3"})
        return str(caught.value).removeprefix("the list has a fault:\n  - ")

    assert fault({"kind": "dgo"}) == "file, line 3: pets.1.kind: there is no kind 'dgo'; did you mean dog?"
    assert fault({"kind": "horse"}) == "file, line 3: pets.1.kind: there is no kind 'horse'; known: 'cat', 'dog'"
    assert fault({"lives": 9}) == "file, line 3: pets.1: expected a mapping with the key kind"
    assert fault({"kind": "cat"}) == "file, line 3: pets.1.lives: missing; it has no default"
    assert check(Pets, {"pets": [{"kind": "dog"}]}, "file", "list").pets == [Dog(kind="dog")]


def test_a_fault_of_a_section_that_was_set_names_the_setting(write):
    with pytest.raises(UserError) as caught:
        load_recipe("quickstart", ["data.questions.columns={question: q}", "scoring.served={concurrency: 0}"])
    message = str(caught.value)
    assert "--set data.questions.columns={question: q}: data.questions.source: missing" in message
    assert "--set scoring.served={concurrency: 0}: scoring.served.concurrency: input should be" in message


def test_a_file_that_is_no_text_or_too_large_for_a_recipe_is_refused_by_its_name(write, tmp_path):
    large = write("#" * 2**20 + "\nname: x\n")
    with pytest.raises(UserError, match="the recipe is larger than 1 MB") as caught:
        load_recipe(large)
    assert (caught.value.where, caught.value.fix) == (large, "give a recipe, not a data file")
    (tmp_path / "latin.yaml").write_bytes("name: Müller\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8 text") as caught:
        load_recipe(str(tmp_path / "latin.yaml"))
    assert (caught.value.where, caught.value.fix) == (f"{tmp_path / 'latin.yaml'}, line 1", "save it as UTF-8 YAML")


def test_an_access_token_in_a_recipe_is_refused_with_its_place(write):
    path = write(recipe_yaml(load_recipe("quickstart")).replace("description: ", "description: hf_" + "a" * 34 + " "))
    with pytest.raises(UserError) as caught:
        load_recipe(path)
    assert caught.value.what == "description holds what looks like an access token or a password"
    assert caught.value.where == path
    fix = "take it out: tokens come from HF_TOKEN or `hf auth login`; revoke it if others could see the file"
    assert caught.value.fix == fix


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(UserError) as caught:
        load_recipe("quikstart")
    assert caught.value.what == "there is no recipe of that name, nor such a file"
    names = ", ".join(recipe_names())
    assert caught.value.fix == f"did you mean quickstart? available recipes: {names}; or give the path of a YAML file"


def test_a_resolved_recipe_is_plain_yaml():
    assert yaml.safe_load(recipe_yaml(load_recipe("quickstart")))["trainer"]["max_steps"] > 0
