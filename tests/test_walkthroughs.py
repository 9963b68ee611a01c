"""The walkthroughs in docs/, followed to the letter in a copy of the checkout."""

import contextlib
import importlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("page", WALKTHROUGHS, ids=name_of)
def test_a_walkthrough_followed_to_the_letter_works(page, checkout, tiny_model, command, tmp_path):
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
        assert "engine plain (the recipe says so)" in said["run --models"]


def test_what_the_walkthroughs_write_is_linted(checkout):
    files = set()
    for page in WALKTHROUGHS:
        for block in blocks(text_of(page)):
            if block.file and block.language not in ("sh", "text"):
                write(block, checkout)
                files.add(block.file)
    for check in (["check"], ["format", "--check"]):
        words = [sys.executable, "-m", "ruff", *check, "--no-cache"]
        words += sorted(each for each in files if each.endswith(".py"))
        assert subprocess.run(words, check=False).returncode == 0
