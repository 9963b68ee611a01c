"""The notebook in examples/: valid, without outputs, its settings real, and executed from top to bottom headless."""

import json
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

from training.recipes.recipe_file import load_recipe

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOK = ROOT / "examples" / "colab.ipynb"
ROW = re.compile(r"^\| `(?P<recipe>[\w-]+)` \|.*\| (?P<settings>[^|]*) ?\|$", re.MULTILINE)


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def test_it_is_valid_and_holds_no_outputs_and_no_folder_of_a_machine(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|work|tmp|Users)/", text)
    assert "Not medical advice" in text
    assert len(tagged(notebook, "parameters")) == 1


def test_the_recipes_and_settings_that_it_names_are_real(notebook):
    (choose,) = [cell.source for cell in notebook.cells if "| recipe |" in cell.source]
    rows = [*ROW.finditer(choose)]
    assert len(rows) == 3
    for row in rows:
        words = row["settings"].strip().strip("`").split()
        assert set(words[::2]) <= {"--set"}
        assert load_recipe(row["recipe"], words[1::2]).trainer.max_steps


def test_it_runs_from_top_to_bottom_and_shows_the_report(notebook, tiny_model, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    (parameters,) = tagged(notebook, "parameters")
    values = {
        "trainer.max_steps": 2,
        "trainer.batch_size": 2,
        "model.base": tiny_model,
        "scoring.max_new_tokens": 8,
    }
    settings = " ".join(f'--set "{key}={value}"' for key, value in values.items())
    parameters.source += f"\nLIMIT = 2\nSETTINGS = {settings!r}"
    notebook.cells = [cell for cell in notebook.cells if "colab-only" not in cell.metadata.get("tags", ())]
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.id: json.dumps(cell.get("outputs", [])) for cell in notebook.cells}
    assert "recipe quickstart" in shown["plan"]
    assert "trainable parameters" in shown["plan"]
    assert "Result" in shown["run"]
    assert "## Results" in shown["report"]
    assert "text/markdown" in shown["report"]
    assert (tmp_path / "runs" / "colab.zip").stat().st_size > 10_000
    assert (tmp_path / "runs" / "colab" / "adapter" / "adapter_model.safetensors").is_file()
