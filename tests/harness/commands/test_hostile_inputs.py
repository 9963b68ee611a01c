"""Inputs that the command refuses before anything is done with them."""

import json
import shutil

import pytest

from harness.planning.lm_tasks import load_tasks
from reports.errors import UserError


def test_tasks_that_run_what_a_model_writes_are_refused(tiny_recipe, tmp_path, monkeypatch):
    from harness.opening import open_run
    from training.models.base_model import find_base

    recipe, _ = open_run(str(tiny_recipe), out=tmp_path / "run")
    monkeypatch.setattr("lm_eval.api.task.ConfigurableTask.UNSAFE_CODE", True, raising=False)
    with pytest.raises(UserError, match="runs the code that a model writes"):
        load_tasks(["medbench_perplexity"], recipe, find_base(recipe.model))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a\\b", "a/b"])
def test_tasks_that_lead_elsewhere_are_unknown(tiny_recipe, tmp_path, command, name):
    code, _, err = command("score", "--recipe", tiny_recipe, "--tasks", name, "--out", tmp_path / "run")
    assert code == 2
    assert "knows no task" in err


@pytest.mark.parametrize("command_line", [("report",), ("convert", "--to", "lm_eval"), ("gate",)])
def test_results_whose_names_lead_elsewhere_are_refused(tiny_run, tmp_path, command, command_line):
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("*.safetensors"))
    value = json.loads((run / "results.json").read_text())
    value["tasks"][0]["name"] = "../../../outside"
    (run / "results.json").write_text(json.dumps(value))
    code, _, err = command(command_line[0], run, *command_line[1:])
    assert code == 2
    assert "is not a valid file name" in err


def test_a_date_in_results_cannot_lead_a_table_elsewhere(tiny_run, tmp_path, command):
    run = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("*.safetensors"))
    value = json.loads((run / "results.json").read_text())
    value["created"] = "/../../../../led-out-by-a-date"
    (run / "results.json").write_text(json.dumps(value))
    assert command("convert", run, "--to", "lm_eval", "--out", tmp_path / "out")[0] == 0
    assert all("results_" in path.name or "samples_" in path.name for path in (tmp_path / "out").rglob("*.json*"))
    assert not list(tmp_path.parent.rglob("led-out-by-a-date*"))


def test_yaml_that_grows_without_bound_is_refused(tiny_recipe, tmp_path, command):
    laughs = tmp_path / "laughs.yaml"
    laughs.write_text(
        "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{m}, *{m}]\n" for m, n in zip("abcdef", "bcdefg", strict=True))
    )
    deep = tmp_path / "deep.yaml"
    deep.write_text("a: " + "[" * 500 + "]" * 500)
    for path, message in ((laughs, "aliases"), (deep, "nested too deeply")):
        for words in (("plan", path), ("gate", tmp_path, "--policy", path)):
            code, _, err = command(*words)
            assert code == 2
            assert message in err
