"""The notebook in examples/: valid, without outputs, its settings real, and executed from top to bottom headless."""

import json
import os
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

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


def run_on_colab(notebook, name, monkeypatch, **modules):
    """Run a cell with stand-ins for Colab's modules; the names that it binds."""
    for module, value in modules.items():
        monkeypatch.setitem(sys.modules, f"google.colab.{module}", value)
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(**modules))
    (cell,) = [cell for cell in notebook.cells if cell.id == name]
    assert "colab-only" in cell.metadata["tags"]
    names: dict = {}
    exec(cell.source, names)
    return names


class MissingError(Exception):
    """What Colab raises for a secret that is not there."""


@pytest.mark.parametrize("secrets", [{"HF_TOKEN": "a-token"}, {}])
def test_the_token_comes_from_colabs_secrets_and_is_not_shown(notebook, secrets, monkeypatch, capsys):
    def get(name):
        if name not in secrets:
            raise MissingError
        return secrets[name]

    monkeypatch.setenv("HF_TOKEN", "")  # so that it is removed after the test
    userdata = SimpleNamespace(get=get, SecretNotFoundError=MissingError, NotebookAccessError=MissingError)
    run_on_colab(notebook, "token", monkeypatch, userdata=userdata)
    assert os.environ["HF_TOKEN"] == secrets.get("HF_TOKEN", "")
    printed = capsys.readouterr().out
    assert ("no HF_TOKEN" in printed) == (not secrets)
    assert "a-token" not in printed


def test_the_run_folder_goes_to_the_mounted_drive(notebook, monkeypatch):
    mounted: list[str] = []
    names = run_on_colab(notebook, "drive", monkeypatch, drive=SimpleNamespace(mount=mounted.append))
    assert names["OUT"].startswith(f"{mounted[0]}/MyDrive/")
    order = [cell.id for cell in notebook.cells]
    assert order.index("install") < order.index("restart-text") < order.index("parameters")
    assert order.index("parameters") < order.index("token") < order.index("drive") < order.index("plan")


@pytest.fixture
def small(notebook, tiny_model):
    """The notebook with small settings, without the cells for Colab."""
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
    return notebook


def check_outputs(shown, folder):
    """Check what the cells show, by their names, and what the run left."""
    assert "recipe quickstart" in shown["plan"]
    assert "trainable parameters" in shown["plan"]
    assert "Result" in shown["run"]
    assert "## Results" in shown["report"]
    assert (folder / "runs" / "colab.zip").stat().st_size > 10_000
    assert (folder / "runs" / "colab" / "adapter" / "adapter_model.safetensors").is_file()


def test_its_cells_run_from_top_to_bottom_and_show_the_report(small, command, tmp_path, monkeypatch):
    """In a shell of this process, whose lines with "!" call the command here."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # the shell replaces it
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}), ipython_dir=str(tmp_path / "ipython"))
    printed = []

    def system(line):
        words = shlex.split(shell.var_expand(line, depth=1))
        assert words[:2] == ["TTY_COMPATIBLE=0", "medbench"]
        code, out, err = command(*words[2:])
        printed.append(out + err)
        shell.user_ns["_exit_code"] = code

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shell, "system", system)
    shown = {}
    for cell in small.cells:
        if cell.cell_type == "code":
            printed.clear()
            done = shell.run_cell(cell.source)
            done.raise_error()
            shown[cell.id] = "".join(printed) + getattr(done.result, "data", "")
    check_outputs(shown, tmp_path)


@pytest.mark.slow
def test_it_runs_in_a_kernel_of_its_own(small, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    NotebookClient(small, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.id: json.dumps(cell.get("outputs", [])) for cell in small.cells}
    check_outputs(shown, tmp_path)
    assert "text/markdown" in shown["report"]
