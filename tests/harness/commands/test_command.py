"""The command itself: quick to answer, lists, and the README check."""

import re
import resource
import shutil
import subprocess
import sys

import pytest

from reports.version import __version__


def test_help_answers_in_under_half_a_second():
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "harness", "--help"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Processor time, which other processes on the machine do not stretch; nothing in it waits.
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert "run" in done.stdout
    assert min(times) < 0.5


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("recipes", ["quickstart"]),
        ("tasks", ["medbench_pubmedqa", "medbench_perplexity", "medbench_generation"]),
        ("formats", ["thinking-headings", "think", "think-response", "alpaca", "medical-question"]),
    ],
)
def test_lists_show_all_names(command, what, names):
    code, out, _ = command("list", what)
    assert code == 0
    assert all(name in out for name in names)


def test_an_unknown_list_is_refused(command):
    code, _, err = command("list", "models")
    assert code == 2
    assert "recipes, tasks, formats" in err


def test_readme_tables_are_written_checked_and_found_stale(command, tiny_run, tmp_path):
    file = tmp_path / "README.md"
    shutil.copytree(tiny_run, tmp_path / "run")
    file.write_text("# Mine\n\n<!-- medbench:results run -->\nTBD\n<!-- medbench:end -->\n")
    assert command("readme", file, "--check")[0] == 1
    assert command("readme", file)[0] == 0
    assert "| Accuracy" in file.read_text()
    assert command("readme", file, "--check")[0] == 0
    file.write_text(file.read_text().replace("Accuracy", "Precision"))
    code, out, _ = command("readme", file, "--check")
    assert code == 1
    assert "-| Precision" in out
    assert f"--- {file}\n+++ {file} (after: medbench readme {file})\n" in out
    assert f"{file} is stale; write it again and commit it: medbench readme {file}\n" in out
    code, out, _ = command("readme", file)
    folder = tmp_path / "run" / "results.json"
    assert f"commit it with its numbers: git add --force {file} {folder}\n" in out


def test_help_lists_every_command_once_under_what_it_is_for_in_whole_sentences(command):
    code, out, _ = command("--help")
    assert code == 0
    commands, text = set(_commands()), " ".join(out.split())
    listed = re.findall(r"^  ([a-z]+) {2,}(?=[A-Z])", out, re.MULTILINE)
    assert sorted(listed) == sorted(commands)
    assert [line for line in out.splitlines() if re.fullmatch("[A-Z][^.:]*:", line)] == [
        "Options:",
        "Train and score:",
        "Look at results:",
        "Release:",
        "Models, data and this machine:",
    ]
    assert "..." not in text.partition("Options:")[2]
    assert "ask Put one question to several models and show their answers side by side. Look at results:" in text
    assert command("-h") == (0, out, "")


def _commands():
    import typer

    from harness.__main__ import make_app

    return list(vars(typer.main.get_command(make_app()))["commands"])


def test_every_command_takes_h_and_begins_with_the_sentence_that_the_list_has(command):
    listed = "".join(command("--help")[1].split())  # lines may end after a hyphen
    for name in _commands():
        code, out, err = command(name, "-h")
        assert (code, err) == (0, "")
        assert out.startswith("Usage: ")
        sentence = re.split(r"(?<=\.)\s+(?=[A-Z])", " ".join(out.split("\n\n")[1].split()))[0]
        assert "".join([name, *sentence.split()]) in listed


def test_the_version(command):
    assert command("--version") == (0, f"medbench {__version__}\n", "")


def test_model_output_cannot_steer_a_terminal():
    from harness.console import printable

    assert printable("a\x1b[31mb\x07\x9bc\r\nd\te") == "a[31mbc\nd\te"
