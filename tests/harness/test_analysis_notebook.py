"""examples/analysis.ipynb: valid, without outputs, and executed on a run of the tiny recipe."""

import json
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "analysis.ipynb"


def test_it_shows_flips_lengths_and_a_plot_in_five_lines(tiny_run, tmp_path, monkeypatch):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = {cell.id: cell for cell in notebook.cells}
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert "Not medical advice" in cells["title"].source
    assert len(cells["analysis"].source.splitlines()) == 5
    cells["parameters"].source = cells["parameters"].source.replace('"runs/quickstart"', repr(str(tiny_run)))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {name: json.dumps(cell.get("outputs", [])) for name, cell in cells.items()}
    assert "Not medical advice." in shown["load"]
    assert "image/png" in shown["analysis"]
    assert "value_baseline" in shown["flips"]
    assert "mean" in shown["lengths"]
