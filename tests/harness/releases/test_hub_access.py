"""A hub that refuses: gated models and refused tokens give the steps to get access, and the token is never shown."""

import httpx
import pytest

TOKEN = "planted-token-that-nobody-may-see"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
INFO = {"_id": "1", "id": MODEL, "modelId": MODEL, "sha": "0" * 40, "gated": "manual", "siblings": []}
TREE = [{"type": "file", "path": "config.json", "size": 10, "oid": "1" * 40}]


def files_refused(status, code):
    """A gated model: everyone may see that it is there, few its files."""

    def answer(request):
        if "/tree/" in request.url.path:
            return httpx.Response(200, json=TREE, request=request)
        if request.url.path.startswith("/api/"):
            return httpx.Response(200, json=INFO, request=request)
        return httpx.Response(status, headers={"X-Error-Code": code}, request=request)

    return answer


def all_refused(status, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: httpx.Response(status, headers=names, request=request)


def unreachable(request):
    raise httpx.ConnectError(f"no route to the hub with {request.headers.get('authorization')}", request=request)


GATED = ("gated: the owner of the model", "ask for access", "hf auth login", "HF_TOKEN")
REFUSED = ("refused this machine's token", "hf auth login", "HF_TOKEN")


@pytest.mark.parametrize("words", [("train", "--recipe", "llama31-8b-huatuo"), ("plan", "llama31-8b-huatuo")])
@pytest.mark.parametrize(
    ("token", "answer", "said"),
    [
        (None, files_refused(401, "GatedRepo"), GATED),
        (TOKEN, files_refused(403, "GatedRepo"), GATED),
        (TOKEN, all_refused(401, X_Error_Message="Invalid credentials in Authorization header"), REFUSED),
        (TOKEN, files_refused(403, "Forbidden"), REFUSED),
        (TOKEN, all_refused(403), REFUSED),
        (TOKEN, all_refused(404, X_Error_Code="RepoNotFound"), ("may not see it", "HF_TOKEN")),
        (TOKEN, all_refused(500), ("the hub answered with an error (500)", "try again later")),
        (TOKEN, unreachable, ("offline: the hub (https://huggingface.co) cannot be reached", "check the network")),
    ],
    ids=["no token", "no access", "bad token", "file right", "no right", "not there", "hub down", "no network"],
)
def test_a_refusal_says_what_to_do_and_never_shows_the_token(
    http_hub, command, tmp_path, monkeypatch, token, answer, said, words
):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    requests = http_hub(answer)
    out = tmp_path / "run"
    code, printed, err = command(*words, *(("--out", out) if words[0] == "train" else ()))
    assert code == 2
    assert MODEL in err
    for each in said:
        assert each in err
    assert "Traceback" not in printed + err
    sent = {request.headers.get("authorization") for request in requests}
    assert sent == {f"Bearer {token}" if token else None}
    assert TOKEN not in printed + err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    if words[0] == "train":
        assert (out / "run.log").is_file()
