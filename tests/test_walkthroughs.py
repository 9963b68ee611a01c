"""The walkthroughs in docs/, followed to the letter in a copy of the checkout."""

import contextlib
import importlib
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from reports.document.reading import read_results
from tests.harness.plugins import install_engine
from tests.pages import ROOT, WALKTHROUGHS, blocks, commands, name_of, text_of, write

PACKAGES = ("harness", "training", "tasks", "reports", "tests")


@contextlib.contextmanager
def modules_of(checkout):
    """Import medbench from another checkout."""
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES}
    for name in kept:
        del sys.modules[name]
    sys.path.insert(0, str(checkout))
    try:
        yield
    finally:
        sys.path.remove(str(checkout))
        for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
            del sys.modules[name]
        sys.modules.update(kept)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of medbench to change."""
    folder = tmp_path / "checkout"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    monkeypatch.chdir(folder)
    return folder


def install(package, monkeypatch):
    """Do what pip does with a package of one module: its metadata and its module on the path."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group, points in project["entry-points"].items():
        for name, target in points.items():
            install_engine(package, name, target, package=project["name"], version=project["version"], group=group)
    monkeypatch.syspath_prepend(package)


@pytest.mark.parametrize("page", WALKTHROUGHS, ids=name_of)
def test_a_walkthrough_followed_to_the_letter_works(page, checkout, tiny_model, command, tmp_path, monkeypatch):
    small = [f"model.base={tiny_model}", "model.dtype=float32", "scoring.noise_items=0", "scoring.max_new_tokens=4"]
    small += ["trainer.epochs=0.3"] if page.name == "add-a-recipe.md" else []
    said = {}
    with modules_of(checkout):
        assert Path(importlib.import_module("harness").__file__).is_relative_to(checkout)
        for block in blocks(text_of(page)):
            if block.file and block.language not in ("sh", "text"):
                write(block, checkout)
            for line in commands(block.text) if block.language == "sh" else ():
                head, *words = shlex.split(line)
                if head == "cp":
                    shutil.copy(*words)
                elif head == "pip":
                    install(checkout / words[-1], monkeypatch)
                elif head == "pytest":
                    assert pytest.main([*words, f"--basetemp={tmp_path / 'base'}", "-p", "no:cacheprovider"]) == 0, line
                else:
                    assert head == "medbench", line
                    more = [each for setting in small for each in ("--set", setting)] if words[0] != "list" else []
                    code, out, err = command(*words, *more)
                    assert code == 0, (line, err)
                    said[" ".join(words[:2])] = out
    if page.name == "add-a-task.md":
        assert "medbench_short_answer" in said["list tasks"]
        assert "Exact match" in said["run --models"]
    if page.name == "add-a-recipe.md":
        assert "6 trained on" in said["plan cards.yaml"]
        assert "smollm2-360m-cards" in said["list recipes"]
    if page.name == "add-an-engine.md":
        plain, other = (read_results(checkout / "runs" / name) for name in ("plain", "other"))
        assert plain.engine.items() >= {"name": "plain", "why": "the recipe says so", "engine": "plain"}.items()
        assert plain.reproduction.engine == "plain medbench-plain 1.0"
        values = [score.value for score in other.scores]
        assert [score.value for score in plain.scores] == pytest.approx(values, rel=1e-4)
        assert len(values) > 4


def test_what_the_walkthroughs_write_is_linted(checkout):
    files = set()
    for page in WALKTHROUGHS:
        for block in blocks(text_of(page)):
            if block.file and block.language not in ("sh", "text"):
                write(block, checkout)
                files.add(block.file)
    for check in (["check", "--ignore", "INP001"], ["format", "--check"]):  # a package outside of this one
        words = [sys.executable, "-m", "ruff", *check, "--no-cache"]
        words += sorted(each for each in files if each.endswith(".py"))
        assert subprocess.run(words, check=False).returncode == 0
