"""The user stories in examples/: their commands, run in order as they are written, on a tiny model."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks, commands, text_of

EXAMPLES = {path.parent.name: path for path in (ROOT / "examples").glob("*/README.md")}
SMALL = {"model.dtype": "float32", "scoring.noise_items": "0", "scoring.max_new_tokens": "4", "trainer.batch_size": "2"}
TRAINED = ("plan", "run", "train", "score")  # commands that take --set
EXIT_CODES = re.compile(r"# exit code ([\d, or]+)$")


def steps(page):
    """(command, exit codes that the page names for it) of each command in a page."""
    lines = [line for block in blocks(text_of(page)) if block.language == "sh" for line in block.text.splitlines()]
    for line in lines:
        codes = EXIT_CODES.search(line)
        (command,) = commands(line)
        yield command, [int(code) for code in re.findall(r"\d", codes[1])] if codes else [0]


@pytest.fixture
def follow(tmp_path, tiny_model, command, monkeypatch):
    """Follow an example in a copy of its folder: {command: (exit code, output)}; a wrong exit code fails."""

    def run(name, **settings):
        folder = Path(shutil.copytree(EXAMPLES[name].parent, tmp_path / name))
        monkeypatch.chdir(folder)
        subprocess.run(["git", "init", "-q"], check=True)
        small = {"model.base": tiny_model, **SMALL, **settings}
        printed = {}
        for line, codes in steps(EXAMPLES[name]):
            program, *words = shlex.split(line)
            if program == "git":
                who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
                subprocess.run(["git", *who, *words], check=True, capture_output=True)
                continue
            assert program == "medbench", line
            given = {word.partition("=")[0] for word in words}
            extra = [f"--set={key}={value}" for key, value in small.items() if key not in given]
            code, out, err = command(*words, *(extra if words[0] in TRAINED else []))
            assert code in codes, (line, code, out, err)
            printed[line] = out
        return folder, printed

    return run


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_leads_on_to_the_pages(name):
    assert re.search(r"\]\(\.\./\.\./docs/[\w-]+\.md", text_of(EXAMPLES[name]))
    assert list(steps(EXAMPLES[name]))


def test_own_csv_trains_on_most_rows_and_scores_the_others(follow):
    folder, printed = follow("own-csv", **{"trainer.max_steps": 2})
    (planned,) = [out for line, out in printed.items() if " plan " in line]
    assert "16 trained on" in planned
    results = json.loads((folder / "runs/qa/results.json").read_text())
    assert {score["n"] for score in results["scores"]} == {4}
    assert {score["model"] for score in results["scores"]} == {"base", "adapter"}
    assert (folder / "runs/qa/report.html").is_file()
    assert list((folder / "runs/qa").rglob("*.csv"))


@pytest.mark.slow
def test_gate_passes_a_release_and_blocks_what_is_worse(follow):
    folder, _ = follow("gate", **{"trainer.max_steps": 12, "trainer.learning_rate": 0.01})
    first, worse = (json.loads((folder / "runs" / name / "gate.json").read_text()) for name in ("first", "candidate"))
    assert (first["verdict"], worse["verdict"]) == ("pass", "fail")
    failed = [rule["rule"] for rule in worse["rules"] if rule["verdict"] == "fail"]
    assert failed == ["no_regression"]
    tracked = subprocess.run(["git", "ls-files"], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert "baselines/released/results.json" in tracked
    assert "runs/" not in tracked


@pytest.mark.slow
def test_verify_gguf_tells_a_faithful_file_from_a_rounded_one(follow):
    folder, printed = follow("verify-gguf", **{"trainer.max_steps": 3, "scoring.limit": 6})
    (faithful,) = [out for line, out in printed.items() if line.endswith("merged-f16.gguf")]
    (rounded,) = [out for line, out in printed.items() if line.endswith("merged-q4_0.gguf")]
    assert "different" not in faithful
    assert "q4_0" in rounded
    certificate = json.loads((folder / "runs/mine/verify.json").read_text())
    assert certificate["explained"][0]["kind"] == "rounding"


def test_the_notebook_for_colab_is_the_fourth_story():
    assert (ROOT / "examples" / "colab.ipynb").is_file()  # its cells run in tests/harness/commands/test_notebook.py
