"""`medbench push`: a dry run that sends nothing, private by default, without texts, paths or tokens of this machine."""

import base64
import json
import shutil

import httpx
import pytest
from huggingface_hub import ModelCard

from tests.harness.releases.conftest import REPO, TOKEN, change_results

pytestmark = pytest.mark.usefixtures("without_plots")


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
        value["recipe"]["data"]["train"].update(source="qiaojin/PubMedQA", config="pqa_artificial", split="other")
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


@pytest.mark.parametrize(("options", "is_sent"), [((), False), (("--samples",), True)])
def test_texts_of_rows_that_items_share_go_along_only_with_samples(hub, run, command, options, is_sent):
    def leaked(value):
        match = {"item": "1", "row": "2", "role": "train", "kind": "exact", "part": "question", "share": 1, "rows": 1}
        match |= {"row_source": "a.csv, line 7", "item_text": "the text of the item", "row_text": "the text of the row"}
        value["overlap"]["matches"] = [{"task": "medbench_pubmedqa", **match}]

    change_results(run, leaked)
    assert command("push", run, REPO, "--execute", *options)[0] == 0
    for name in ("results.json", "report.md", "report.html"):
        assert b"a.csv, line 7" in hub.files[name]
        assert (b"the text of the" in hub.files[name]) == is_sent


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
