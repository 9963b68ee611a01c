"""What medbench says: nothing it quotes steers a terminal, secrets are hidden, machines get a JSON object a line."""

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.console import Terminal, printable
from harness.engines.kinds import ENGINES
from harness.logs import log_to

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "hf_" + "aB3" * 12
HOSTILE = "\x1b[31m\x9b2J\r[bold]x[/bold] \\[red]y \u202egnol :smile: \ud800 \a"


@pytest.fixture(autouse=True)
def as_before():
    """No test leaves its log or its kind of output to the next."""
    yield
    Terminal.as_json = False
    log_to(None)


def printed(capsys):
    out = capsys.readouterr().out
    assert not any(each in out for each in ("\x1b", "\x9b", "\r", "\a", "\u202e", "\ud800"))
    return out


def test_nothing_that_is_quoted_steers_the_terminal_or_its_markup(capsys):
    terminal = Terminal()
    terminal.say(HOSTILE)
    terminal.heading(HOSTILE)
    terminal.table((HOSTILE, "b"), [(HOSTILE, HOSTILE)], left=True)
    terminal.columns({HOSTILE: HOSTILE, "other": "x"})
    with terminal.progress(HOSTILE, 1) as advance:
        advance(1, HOSTILE)
    out = printed(capsys)
    assert out.count("[bold]x[/bold] \\[red]y") >= 7
    assert ":smile:" in out


def test_secrets_are_hidden_wherever_something_is_said(capsys):
    terminal = Terminal()
    terminal.say(f"a {TOKEN}")
    terminal.table((TOKEN,), [(TOKEN,)])
    terminal.columns({"a": TOKEN})
    assert TOKEN not in printed(capsys)


def test_machines_get_an_object_a_line(capsys, command, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    code, out, _ = command("--log-json", "gate", run)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code in (0, 1, 3)
    assert {each["event"] for each in lines} >= {"message", "table"}
    assert all(each["time"].endswith("+00:00") for each in lines)
    code, out, err = command("--log-json", "report", tmp_path / "none")
    assert (code, out) == (2, "")
    error = json.loads(err)
    assert error["event"] == "error"
    assert error["fix"].startswith("score first")
    code, out, err = command("report", tmp_path / "none")
    assert err.startswith("error: ")


def test_a_github_runner_finds_no_commands_in_what_is_quoted(capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    terminal = Terminal()
    terminal.say("answer ##[stop-commands]x")
    terminal.say("::error::forged")
    terminal.table(("a", "b"), [("::add-mask::fail", f"{'wide ' * 40}::error::forged")], left=True)
    terminal.command("::error title=ours::100%25")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "##[" in line or "::" in line] == ["::error title=ours::100%25"]
    assert any("stop-commands]x" in line for line in lines)


def run_command(*words, **more):
    """The command in a process of its own."""
    program = [sys.executable, "-m", "harness", *map(str, words)]
    return subprocess.run(program, capture_output=True, check=False, cwd=ROOT, **more)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_text_that_the_terminal_cannot_encode_is_escaped(tiny_run, tmp_path, encoding):
    run = shutil.copytree(tiny_run, tmp_path / "r\u00fcn \u2713")
    done = run_command("gate", run, env=os.environ | {"PYTHONIOENCODING": encoding})
    assert done.returncode in (0, 1, 3), done.stderr
    assert b"r\\xfcn \\u2713" in done.stdout or b"r\xfcn \\u2713" in done.stdout


@pytest.mark.slow
def test_a_closed_pipe_changes_no_exit_code(tiny_run, tmp_path, command):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for words in (("gate", run), ("--log-json", "gate", run)):
        read, write = os.pipe()
        os.close(read)  # as `| head -0` leaves it
        code, _, _ = command(*words)
        program = [sys.executable, "-m", "harness", *map(str, words)]
        cut = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, check=False, cwd=ROOT)
        os.close(write)
        assert (cut.returncode, cut.stderr) == (code, b"")


def test_a_home_of_nobody_is_one_message(monkeypatch, command):
    monkeypatch.setenv("MEDBENCH_HOME", "~no-such-user/x")
    code, _, err = command("cache", "info")
    assert (code, "there is no such user" in err) == (2, True)


def test_progress_for_machines_counts(capsys):
    Terminal.as_json = True
    with Terminal().progress("scoring", 2) as advance:
        advance(0, "")
        advance(2, HOSTILE)
    (line,) = capsys.readouterr().out.splitlines()
    value = json.loads(line)
    assert (value["progress"], value["done"], value["total"]) == ("scoring", 2, 2)
    assert value["note"] == printable(HOSTILE)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_log_has_no_forged_lines_no_secrets_and_no_control_characters(tmp_path, monkeypatch, as_json):
    Terminal.as_json = as_json
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest-xdist cannot pass such a record on
    log_to(tmp_path / "run.log")
    forged = f"{HOSTILE}\n2026-01-01 00:00:00,000 ERROR medbench:1: forged {TOKEN}"
    logging.getLogger("transformers").warning(forged)
    try:
        int(f"{TOKEN}\nTraceback")
    except ValueError:
        logging.getLogger("medbench").exception("failed")
    log_to(None)
    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert TOKEN not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    if as_json:
        assert [json.loads(line)["level"] for line in lines] == ["warning", "error"]
        assert "ValueError" in json.loads(lines[1])["exception"]
    else:
        assert sum(line.startswith("20") for line in lines) == 2
        assert all(line.startswith(("20", "    ")) for line in lines)


def test_words_with_control_characters_are_refused(command):
    code, _, err = command("list", "re\x1b[31mcipes")
    assert code == 2
    assert "control characters" in err
    assert "\x1b" not in err


def test_a_planted_token_is_in_nothing_that_a_run_leaves(tiny_recipe, tmp_path, command, monkeypatch):
    """In the environment, on the command line, in a recipe, and in an error of a library's."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    out = tmp_path / "run"
    words = ("--recipe", tiny_recipe, "--out", out, "--models", "base", "--tasks", "medbench_perplexity")
    code, said, err = command("run", *words, "--set", f"description=see {TOKEN}")
    assert code == 2
    assert "access token" in err
    assert TOKEN not in said + err
    import transformers

    right = transformers.AutoModelForCausalLM.from_pretrained

    failing = False

    def logging_it(*args, **more):
        if failing:
            raise RuntimeError(f"401 Client Error: Authorization: Bearer {TOKEN}")
        logging.getLogger("transformers").warning("401 for bearer %s", TOKEN)
        return right(*args, **more)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", logging_it)
    code, said, err = command("run", *words, "--set", f"report.title=about {'x' * 3}")
    assert code == 0, err
    assert "401 for bearer" in (out / "run.log").read_text()

    failing = True
    code, more, errors = command("run", *words, "--again")
    assert code == 2
    for text in (said, err, more, errors, *(path.read_bytes().decode("utf-8", "replace") for path in out.rglob("*.*"))):
        assert TOKEN not in text


def test_an_unforeseen_error_is_one_message_without_what_it_quotes(command, monkeypatch, tiny_recipe, tmp_path):
    def fail(_):
        raise KeyError(f"patient Smith {TOKEN}")

    monkeypatch.setitem(ENGINES, "transformers", replace(ENGINES["transformers"], seconds=fail))
    code, _, err = command("score", "--recipe", tiny_recipe, "--models", "base", "--out", tmp_path / "run")
    assert code == 4
    assert "Traceback" not in err
    assert "KeyError" in err
    assert "medbench doctor --bundle" in err
    assert "Smith" not in err
    assert "Traceback" not in err


def test_windows_is_refused_with_a_way_that_works(command, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    code, _, error = command("plan")
    assert code == 2
    assert "medbench does not run on Windows itself" in error
    assert "Windows Subsystem for Linux" in error
