"""`medbench push`: a dry run that sends nothing, private by default, without texts, paths or tokens of this machine."""

import base64
import inspect
import json
import shutil
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitInfo, HfApi, ModelCard, errors

from harness.releases.local_paths import shorten_paths

TOKEN = "planted-token-that-nobody-may-see"
REPO = "somebody/medical-adapter"


class FakeHub:
    """Stands in for `HfApi`: takes the calls that it would, keeps what was uploaded, fails where a test wants."""

    def __init__(self):
        self.calls = []
        self.files = {}
        self.existing = None
        self.failures = {}

    def __call__(self):
        """An API, as `HfApi()` gives."""
        return self

    def _called(self, method, *positional, **given):
        inspect.signature(getattr(HfApi, method)).bind(self, *positional, **given)
        self.calls.append((method, given))
        if method in self.failures:
            raise self.failures[method]

    def whoami(self):
        """Whose token it is."""
        self._called("whoami")

    def repo_info(self, repo, **given):
        """The repository, where it is there."""
        self._called("repo_info", repo, **given)
        if self.existing is None:
            raise refused(404, errors.RepositoryNotFoundError)
        return self.existing

    def create_repo(self, repo, **given):
        """Make the repository."""
        self._called("create_repo", repo, **given)

    def upload_folder(self, **given):
        """Keep the files of the folder."""
        self._called("upload_folder", **given)
        folder = Path(given["folder_path"])
        for path in folder.rglob("*"):
            if path.is_file():
                self.files[path.relative_to(folder).as_posix()] = path.read_bytes()
        return CommitInfo(commit_url=f"hub/{REPO}/commit/1", commit_message="", commit_description="", oid="1")


def refused(status, kind=errors.HfHubHTTPError):
    request = httpx.Request("POST", "https://hub/api", headers={"authorization": f"Bearer {TOKEN}"})
    return kind(f"refused {TOKEN}", response=httpx.Response(status, request=request))


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fake = FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", fake)
    return fake


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "home of somebody" / "run")


def change_results(run, change):
    value = json.loads((run / "results.json").read_text())
    change(value)
    (run / "results.json").write_text(json.dumps(value))


def test_a_dry_run_says_everything_and_sends_nothing(hub, run, command):
    code, out, err = command("push", run, REPO)
    assert code == 0, err
    assert "dry run" in out
    assert "--execute" in out
    assert f"to {REPO} on the hub, private" in out
    for name in (
        "adapter_model.safetensors",
        "tokenizer.json",
        "README.md",
        "results.json",
        "report.md",
        "report.html",
    ):
        assert name in out
    assert "card: base tiny, licence none, data sets none, no benchmark results" in out
    assert "missing: a licence" in out
    assert "missing: a base model that the hub knows (tiny is no hub id)" in out
    assert "left out: samples" in out
    assert "left out: run.log" in out
    assert hub.calls == []


def test_executed_it_is_private_and_holds_model_card_and_results_but_no_texts(hub, run, command):
    code, out, err = command("push", run, REPO, "--execute", "--license", "apache-2.0")
    assert code == 0, err
    assert [name for name, _ in hub.calls] == ["whoami", "repo_info", "create_repo", "upload_folder"]
    assert hub.calls[2][1]["private"] is True
    assert f"sent: hub/{REPO}/commit/1" in out
    assert set(hub.files) == {
        *("adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("chat_template.jinja", "README.md", "recipe.yaml", "training_log.json"),
        *("results.json", "report.md", "report.html"),
    }
    assert hub.files["adapter_model.safetensors"] == (run / "adapter" / "adapter_model.safetensors").read_bytes()
    row = json.loads((run / "samples" / "base" / "medbench_generation.jsonl").read_text().splitlines()[0])
    shown = (run / "report.html").read_text()
    assert row["gold"][:30] in shown
    for name, content in hub.files.items():
        assert row["gold"][:30].encode() not in content, name
    assert b"No answers are shown here" in hub.files["report.html"]


def test_the_card_has_the_results_and_calls_synthetic_ones_so(hub, run, command):
    command("push", run, REPO, "--execute", "--license", "apache-2.0")
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.license == "apache-2.0"
    assert card.data.eval_results is None
    assert "## Results" in card.text
    assert "| Accuracy" in card.text
    assert "The items are synthetic: a demonstration, no benchmark." in card.text
    assert "Not medical advice" in card.text
    assert "## Results" not in (run / "adapter" / "README.md").read_text()


def test_only_scores_on_data_sets_of_the_hub_go_into_the_cards_metadata(hub, run, command):
    def real(value):
        value["tasks"][0]["synthetic"] = False
        value["recipe"]["data"]["pubmedqa"].update(source="qiaojin/PubMedQA", config="pqa_labeled", split="train")
        for data in value["data"]:
            if data["role"] == "medbench_pubmedqa":
                data.update(source="qiaojin/PubMedQA", synthetic=False)
            if data["role"] == "medbench_perplexity":  # of a file of one's own, which is no benchmark either
                data.update(source="mine.jsonl", synthetic=False)
                value["tasks"][1]["synthetic"] = False

    change_results(run, real)
    code, out, err = command("push", run, REPO, "--execute")
    assert code == 0, err
    assert "2 benchmark results" in out
    found = ModelCard(hub.files["README.md"].decode()).data.eval_results
    assert {(each.metric_type, each.dataset_type, each.dataset_config, each.dataset_split) for each in found} == {
        ("accuracy", "qiaojin/PubMedQA", "pqa_labeled", "train"),
        ("f1", "qiaojin/PubMedQA", "pqa_labeled", "train"),
    }
    scores = json.loads((run / "results.json").read_text())["scores"]
    (wanted,) = [each["value"] for each in scores if (each["model"], each["metric"]) == ("adapter", "accuracy")]
    (shown,) = [each.metric_value for each in found if each.metric_type == "accuracy"]
    assert shown == wanted


def test_a_benchmark_that_was_trained_on_is_none(hub, run, command):
    def real(value):
        value["tasks"][0]["synthetic"] = False
        for data in value["data"]:
            if data["role"] == "medbench_pubmedqa":
                data.update(source="qiaojin/PubMedQA", synthetic=False)
        match = {"item": "1", "row": "2", "role": "train", "kind": "exact", "part": "question", "share": 1, "rows": 1}
        value["overlap"]["matches"] = [{"task": "medbench_pubmedqa", **match}]

    change_results(run, real)
    _, out, _ = command("push", run, REPO)
    assert "no benchmark results" in out


def test_samples_go_along_when_asked_for(hub, run, command):
    code, _, err = command("push", run, REPO, "--execute", "--samples")
    assert code == 0, err
    assert "samples/adapter/medbench_generation.jsonl" in hub.files
    assert b"Answers side by side" in hub.files["report.html"]
    assert b"No answers are shown here" not in hub.files["report.html"]


def test_an_exported_folder_goes_with_the_scores_of_its_adapter(hub, run, command):
    assert command("export", run)[0] == 0
    code, out, err = command("push", run / "merged", REPO, "--execute")
    assert code == 0, err
    assert {"model.safetensors", "config.json", "export.json", "results.json"} <= set(hub.files)
    assert "adapter_model.safetensors" not in hub.files
    assert "Scored before the merge" in hub.files["README.md"].decode()
    assert "missing: results" not in out


def test_scores_of_another_adapter_are_left_out(hub, run, command):
    def other(value):
        value["models"][1]["sha256"] = "0" * 64

    change_results(run, other)
    code, out, _ = command("push", run, REPO, "--execute", "--samples")
    assert code == 0
    assert "left out: results.json (scores of another adapter than this" in out
    assert not {name for name in hub.files if name.startswith(("results", "report", "samples"))}
    assert "## Results" not in hub.files["README.md"].decode()


def test_an_adapters_folder_alone_can_be_pushed(hub, run, tmp_path, command):
    adapter = shutil.copytree(run / "adapter", tmp_path / "alone")
    (adapter / "optimizer.pt").write_bytes(b"x")
    code, out, _ = command("push", adapter, REPO, "--execute")
    assert code == 0
    assert "left out: optimizer.pt" in out
    assert "optimizer.pt" not in hub.files
    assert "missing: results of this adapter" in out


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


def test_without_a_token_it_says_how_to_get_one(hub, run, command, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
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


def test_the_hubs_own_client_uploads_the_folder(http_hub, run, command, monkeypatch):
    """The same through the real `HfApi`, with the hub's answers replaced."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    created, files = [], {}

    def answer(request):
        path, body = request.url.path, request.content
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if path == "/api/whoami-v2":
            return httpx.Response(200, json={"name": "somebody", "type": "user"}, request=request)
        if path == "/api/repos/create":
            created.append(json.loads(body))
            return httpx.Response(200, json={"url": f"https://huggingface.co/{REPO}"}, request=request)
        if path == "/api/validate-yaml":
            return httpx.Response(200, json={}, request=request)
        if path == f"/api/models/{REPO}/preupload/main":
            modes = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            return httpx.Response(200, json={"files": modes}, request=request)
        if path == f"/api/models/{REPO}/commit/main":
            lines = [json.loads(line) for line in body.splitlines()]
            files.update({each["value"]["path"]: each["value"]["content"] for each in lines if each["key"] == "file"})
            done = {"success": True, "commitOid": "1", "commitUrl": f"https://huggingface.co/{REPO}/commit/1"}
            return httpx.Response(200, json=done, request=request)
        return httpx.Response(404, headers={"X-Error-Code": "RepoNotFound"}, request=request)

    http_hub(answer)
    code, out, err = command("push", run, REPO, "--execute")
    assert code == 0, err
    assert f"sent: https://huggingface.co/{REPO}/commit/1" in out
    assert (created[0]["organization"], created[0]["visibility"]) == ("somebody", "private")
    weights = (run / "adapter" / "adapter_model.safetensors").read_bytes()
    assert base64.b64decode(files["adapter_model.safetensors"]) == weights
    assert "## Results" in base64.b64decode(files["README.md"]).decode()
    assert TOKEN not in out + err


def test_it_is_a_function_too(hub, run):
    import harness

    upload = harness.push(run, REPO, quiet=True)
    assert upload.private
    assert upload.address is None
    assert upload.files["adapter_model.safetensors"] == (run / "adapter" / "adapter_model.safetensors").stat().st_size


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
