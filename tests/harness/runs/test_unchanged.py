"""A run that would only repeat a finished one is shown as it is, in a second; whatever changes is noticed."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import harness
from harness.engines.kinds import ENGINES
from harness.opening import open_run
from harness.runs.unchanged import is_unchanged, remember, signature

pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.fixture
def finished(tiny_recipe, tiny_run, tmp_path):
    """A copy of a finished run, and how to ask whether it would be repeated."""
    folder = shutil.copytree(tiny_run, tmp_path / "run")
    recipe, run_folder = open_run(str(tiny_recipe), out=folder)
    remember(run_folder, signature(recipe, run_folder, "base,adapter", None))

    def unchanged(*settings, models="base,adapter"):
        recipe, run_folder = open_run(str(tiny_recipe), out=folder, settings=settings)
        return is_unchanged(run_folder, signature(recipe, run_folder, models, None))

    return folder, unchanged


def test_a_finished_run_is_shown_without_planning_it(finished, tiny_recipe, monkeypatch, command):
    folder, _ = finished
    kind = replace(ENGINES["transformers"], seconds=lambda _: pytest.fail("planned"))
    monkeypatch.setitem(ENGINES, "transformers", kind)
    code, out, _ = command("run", "--recipe", tiny_recipe, "--out", folder)
    assert code == 0
    assert "base, medbench_generation: answered already, kept" in out
    assert "report.html" in out
    with pytest.raises(pytest.fail.Exception, match="planned"):
        harness.run(str(tiny_recipe), out=folder, again=True, quiet=True)


@pytest.mark.parametrize("name", ["samples/base/medbench_pubmedqa.jsonl", "adapter/adapter_model.safetensors"])
def test_a_file_that_changed_is_noticed(finished, name):
    folder, unchanged = finished
    assert unchanged()
    os.utime(folder / name, (1, 1))
    assert not unchanged()


def test_a_list_of_ids_in_the_home_folder_that_changed_is_noticed(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    recipe, folder = open_run(out=finished[0], settings=["data.train.ids=~/ids.txt"])
    (tmp_path / "ids.txt").write_text("1\n")
    before = signature(recipe, folder, "base", None)
    (tmp_path / "ids.txt").write_text("1\n2\n")
    assert before not in (None, signature(recipe, folder, "base", None))


@pytest.mark.parametrize("name", ["inputs.json", "finished.json", "rows.json"])
def test_a_data_file_may_have_any_name(finished, tmp_path, name):
    (tmp_path / name).write_text("{}")
    recipe, folder = open_run(out=finished[0], settings=[f"data.train.source={tmp_path / name}"])
    before = signature(recipe, folder, "base", None)
    (tmp_path / name).write_text('{"1": 2}')
    assert before not in (None, signature(recipe, folder, "base", None))


def test_a_file_that_joins_a_folder_of_data_is_noticed(finished, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.jsonl").write_text("{}")
    recipe, folder = open_run(out=finished[0], settings=[f"data.train.source={tmp_path / 'data'}"])
    before = signature(recipe, folder, "base", None)
    (tmp_path / "data" / "a.jsonl").write_text("{}")
    assert before not in (None, signature(recipe, folder, "base", None))


def test_another_recipe_or_model_is_another_run(finished):
    folder, unchanged = finished
    assert not unchanged("scoring.limit=5")
    assert not unchanged(models="base")
    assert not unchanged(models=f"base,adapter,other={folder / 'adapter'}")
    assert unchanged()


def test_what_is_on_the_hub_may_have_changed(finished):
    _, unchanged = finished
    assert not unchanged("data.reasoning={source: owner/rows}")
    assert not unchanged(models="base,adapter,other=owner/adapter")


def test_nothing_heavy_is_imported_for_it(finished, tiny_recipe):
    folder, _ = finished
    started = time.perf_counter()
    code = "import sys; from harness.__main__ import main; sys.argv = ['medbench', *sys.argv[1:]]; main()"
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, "run", "--recipe", str(tiny_recipe), "--out", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.perf_counter() - started < 5
    assert "answered already, kept" in found.stdout
    assert not any(line.endswith((" torch", " transformers", " lm_eval")) for line in found.stderr.splitlines())
