"""`medbench push` gives no paths and tokens away, and refuses in one message what cannot or must not be sent."""

import json
import tempfile
from pathlib import Path

import httpx
import pytest
from huggingface_hub import errors

from harness.releases.local_paths import shorten_paths
from tests.harness.releases.conftest import REPO, TOKEN, change_results, refused
from tests.harness.test_killed_commands import run_killed

pytestmark = pytest.mark.usefixtures("without_plots")


def test_no_folder_of_this_machine_is_uploaded(hub, run, tiny_model, tmp_path, command):
    """The recipe names the base and the data by where they lie here, and so do results, log and command line."""

    def spaced(value):
        value["recipe"]["data"]["train"]["source"] = str(tmp_path / "home of somebody" / "my rows.jsonl")
        value["command"] = f"medbench run --set model.base={tiny_model} --out {tmp_path}/run"

    change_results(run, spaced)
    assert str(tiny_model) in (run / "adapter" / "recipe.yaml").read_text()
    code, out, err = command("push", run, REPO, "--execute")
    assert code == 0, err
    for name, content in hub.files.items():
        for folder in (tiny_model.parent, tmp_path, Path.cwd(), Path(tmp_path.parts[0], *tmp_path.parts[1:3])):
            assert str(folder).encode() not in content, name
    for name in ("recipe.yaml", "training_log.json", "results.json"):
        assert f"changed: {name}: " in out
    results = json.loads(hub.files["results.json"])
    assert results["recipe"]["model"]["base"] == "tiny"
    assert results["recipe"]["data"]["train"]["source"] == "my rows.jsonl"
    assert results["command"] == "medbench run --set model.base=tiny --out run"


def test_what_cannot_be_shortened_is_refused(hub, run, command):
    file = run / "adapter" / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "from": str(run / "adapter")}))
    (run / "adapter" / "training_log.json").unlink()  # which says that training wrote another tokenizer
    code, _, err = command("push", run, REPO, "--execute")
    assert code == 2
    assert "tokenizer.json: it names a folder of this machine" in err
    assert hub.calls == []


@pytest.mark.parametrize("token", [TOKEN, "hf_" + "aB3" * 12])
def test_a_token_in_a_file_is_refused_and_not_shown(hub, run, command, token):
    def leaked(value):
        value["command"] = f"medbench run --set model.revision={token}"

    change_results(run, leaked)
    code, out, err = command("push", run, REPO, "--execute")
    assert code == 2
    assert "results.json: it holds an access token" in err
    assert token not in out + err
    assert hub.calls == []


@pytest.mark.parametrize(
    ("step", "failure", "said"),
    [
        ("whoami", refused(401), ("refused this machine's token", "right to write", "hf auth login", "HF_TOKEN")),
        ("create_repo", refused(403), ("may not write to repositories of somebody", "a repository of your own")),
        ("upload_folder", refused(403), ("may not write to repositories of somebody",)),
        ("upload_folder", refused(404, errors.RepositoryNotFoundError), ("may not write to repositories",)),
        ("create_repo", refused(500), ("the hub answered with an error (500)",)),
        (
            "whoami",
            httpx.ConnectError(f"no route with {TOKEN}"),
            ("could not be reached (ConnectError)", "the network"),
        ),
        ("upload_folder", TimeoutError(TOKEN), ("could not be reached (TimeoutError)",)),
        ("upload_folder", ValueError("Invalid metadata in README.md.\n- license is unknown"), ("license is unknown",)),
    ],
)
def test_what_the_hub_refuses_is_one_message_without_the_token(hub, run, tmp_path, command, step, failure, said):
    hub.failures[step] = failure
    code, out, err = command("push", run, REPO, "--execute")
    assert code == 2
    for each in said:
        assert each in err
    assert "Traceback" not in out + err
    assert TOKEN not in out + err


def test_the_token_is_never_shown_or_written(hub, run, tmp_path, command, caplog):
    for words in ((), ("--execute",), ("--execute", "--samples", "--public")):
        code, out, err = command("push", run, REPO, *words)
        assert code == 0
        assert TOKEN not in out + err + caplog.text
    for name, content in hub.files.items():
        assert TOKEN.encode() not in content, name
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_without_a_token_it_says_how_to_get_one(hub, run, command, monkeypatch, hub_settings, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    hub_settings(HF_TOKEN_PATH=str(tmp_path / "none"))
    code, out, _ = command("push", run, REPO)
    assert code == 0
    assert "missing: a token for the hub" in out
    code, _, err = command("push", run, REPO, "--execute")
    assert code == 2
    assert "there is no token" in err
    assert "hf auth login" in err
    assert hub.calls == []


def test_a_public_repository_is_not_filled_by_somebody_who_meant_a_private_one(hub, run, command):
    hub.existing = type("Info", (), {"private": False})
    code, _, err = command("push", run, REPO, "--execute")
    assert code == 2
    assert "exists already and is public" in err
    assert "upload_folder" not in [name for name, _ in hub.calls]
    code, out, _ = command("push", run, REPO, "--execute", "--public")
    assert code == 0
    assert "public" in out
    assert hub.calls[-2][1]["private"] is False
    hub.existing = type("Info", (), {"private": True})
    code, _, err = command("push", run, REPO, "--execute", "--public")
    assert code == 2
    assert "leave out --public" in err


@pytest.mark.parametrize(
    ("source", "repo", "message"),
    [
        ("{run}", "no-owner", "the owner is missing"),
        ("{run}", "some body/x", "allows no such name"),
        ("{run}/samples", REPO, "there is nothing to push in it"),
        ("{run}/none", REPO, "there is no such folder"),
    ],
)
def test_what_cannot_be_pushed_is_one_message(hub, run, command, source, repo, message):
    code, _, err = command("push", source.format(run=run), repo, "--execute")
    assert code == 2
    assert message in err
    assert hub.calls == []


def test_a_broken_card_is_told(hub, run, command):
    (run / "adapter" / "README.md").write_text("---\nlicense: [\n---\n# x\n")
    code, _, err = command("push", run, REPO)
    assert code == 2
    assert "front matter is broken" in err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("see /tmp/a/b.json and /home/me/c, too", "see b.json and c, too"),
        ('--set model.base="~/models/x" --out=/tmp/y', '--set model.base="x" --out=y'),
        (r"C:\Users\me\rows.jsonl", "rows.jsonl"),
        ("yes / no / maybe, and/or, 3 s/step, </think> /think https://host/tmp/x", None),
        ("/no-such-root/x/y is no folder here", None),
    ],
)
def test_paths_are_told_from_other_text(text, wanted):
    assert shorten_paths(text, ".md")[0] == (wanted or text)


@pytest.mark.slow
def test_a_killed_push_changes_nothing_here_and_is_repeated_whole(hub, run, command, tmp_path, monkeypatch):
    """It writes to a temporary folder alone, which the next push removes; the upload itself is one commit."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def contents(folder):
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before, words = contents(run), ("push", run, REPO, "--execute")
    for change in (1, 2, 5, 10, 20, 30, 40):
        code, died = run_killed(words, change, f"{temporary}/.medbench-push")
        assert died, f"it ended with {code} before change {change}"
        assert len(list(temporary.glob(".medbench-push.*"))) == (change > 1)
        assert contents(run) == before
        assert command(*words)[0] == 0
        assert list(temporary.glob(".medbench-push.*")) == []
        assert hub.files["adapter_model.safetensors"] == before[run / "adapter" / "adapter_model.safetensors"]
