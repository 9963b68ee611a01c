"""A user's own `tasks.py` and the like: medbench works beside them, or one message says which file is in the way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["tasks", "reports", "training", "harness"]
SCRIPT = "import sys; sys.argv[0] = 'medbench'; from medbench.__main__ import main; main()"  # as pip writes it
WAYS = {
    "command": ["-P", "-c", SCRIPT, "--help"],
    "-m medbench": ["-m", "medbench", "--help"],
    "-m harness": ["-m", "harness", "--help"],
}


def plant(folder: Path, name: str, kind: str) -> Path:
    """A module, a package or a folder without `__init__.py` that fails when it is imported."""
    file = folder / {"module": f"{name}.py", "package": f"{name}/__init__.py", "folder": f"{name}/notes.py"}[kind]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("MINE = True\n")
    return file


def python(*words: str, cwd: Path, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python in a folder; our packages come last on its path, `first` before them."""
    path = os.pathsep.join(map(str, [*([first] if first else []), ROOT]))
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["module", "package", "folder"])
@pytest.mark.parametrize("on_path", [False, True])
def test_commands_work_beside_modules_of_the_same_names(tmp_path, way, kind, on_path):
    for name in NAMES:
        if name != way.removeprefix("-m "):  # `python -m harness` is the user's own module there
            plant(tmp_path / "project", name, kind)
    project = tmp_path / "project"
    done = python(*WAYS[way], cwd=tmp_path if on_path else project, first=project if on_path else None)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: " in done.stdout


@pytest.mark.parametrize("kind", ["module", "package"])
def test_an_import_takes_our_package_and_warns(tmp_path, kind):
    file = plant(tmp_path, "tasks", kind)
    done = python("-c", "import medbench, tasks.catalog; print(tasks.catalog.__name__)", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "tasks.catalog\n")
    assert f"'tasks' is medbench's package now, not {file}: rename that to import both" in done.stderr


def test_a_folder_without_modules_of_its_own_needs_no_warning(tmp_path):
    plant(tmp_path, "tasks", "folder")
    done = python("-c", "import medbench, tasks.catalog", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["module", "package"])
def test_a_module_that_is_imported_already_is_named(tmp_path, name, kind):
    file = plant(tmp_path, name, kind)
    done = python("-c", f"import {name}, medbench", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: medbench: {file} hides medbench's own package '{name}'; rename it, or run the command medbench"
        " in a process that does not import it"
    )


def test_a_command_with_such_a_module_prints_one_message_and_ends_with_2(tmp_path):
    file = plant(tmp_path, "tasks", "module")
    (tmp_path / "sitecustomize.py").write_text("import tasks\n")
    for words in (WAYS["command"], WAYS["-m medbench"]):
        done = python(*words, cwd=tmp_path, first=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"medbench: {file} hides medbench's own package 'tasks'; rename it, or run the command medbench in a"
            " process that does not import it\n"
        )
