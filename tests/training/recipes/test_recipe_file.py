"""Recipes: every fault is reported at once, with its place and a suggestion."""

import pytest
import yaml

from reports.errors import UserError
from training.recipes.recipe_file import load_recipe, recipe_names, recipe_yaml


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


@pytest.mark.parametrize("override", ["lora.r", "=3", "lora..r=3", "name.inner=3", "lora.r=[", "seed=-1", "seed=yes"])
def test_overrides_that_make_no_sense_are_refused(override):
    with pytest.raises(UserError, match="--set"):
        load_recipe("quickstart", [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a mapping of sections"),
        ("- a\n", "a mapping of sections"),
        ("name: x\n  bad: y\n", "line 2: not YAML"),
        ("name: x\nname: y\n", "line 2: not YAML: the key name is given twice"),
        ("name: &a x\nother: *a\n", "line 2: not YAML: aliases"),
        ("name: !!python/object/apply:os.system [id]\n", "line 1: not YAML"),
        ("name: x\n", "trainer: missing"),
    ],
)
def test_files_that_are_no_recipe_are_refused(write, text, message):
    with pytest.raises(UserError, match=message):
        load_recipe(write(text))


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
    with pytest.raises(UserError, match=f"{path}: description holds what looks like an access token"):
        load_recipe(path)


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(UserError) as caught:
        load_recipe("quikstart")
    assert caught.value.what == "there is no recipe of that name, nor such a file"
    names = ", ".join(recipe_names())
    assert caught.value.fix == f"did you mean quickstart? available recipes: {names}; or give the path of a YAML file"


def test_a_resolved_recipe_is_plain_yaml():
    assert yaml.safe_load(recipe_yaml(load_recipe("quickstart")))["trainer"]["max_steps"] > 0
