"""What a model on the hub is, by its configuration files; nothing else is fetched to find out."""

import httpx
import pytest

from reports.errors import UserError
from training.models.source_kind import hub_kind

CONFIGS = ("adapter_config.json", "config.json")


@pytest.fixture
def hub_with(http_hub):
    """A model on the hub with these files; returns the names of those that were fetched."""

    def make(files):
        def answer(request):
            path = request.url.path
            if "/tree/" in path:
                return httpx.Response(200, json=[{"type": "file", "path": n, "size": 2, "oid": "1"} for n in files])
            if "/api/models/" in path:
                info = {"id": "owner/name", "sha": "a" * 40, "siblings": [{"rfilename": name} for name in files]}
                return httpx.Response(200, json=info)
            headers = {"x-repo-commit": "a" * 40, "etag": '"1"', "content-length": "2"}
            return httpx.Response(200, headers=headers, content=b"" if request.method == "HEAD" else b"{}")

        requests = http_hub(answer)
        return lambda: {request.url.path.rpartition("/")[2] for request in requests if "/resolve/" in request.url.path}

    return make


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["adapter_config.json", "adapter_model.safetensors", "README.md"], "adapter"),
        (["config.json", "model-00001-of-00002.safetensors", "tokenizer.json"], "full"),
        (["adapter_config.json", "adapter_model.safetensors", "config.json"], "adapter"),
    ],
)
def test_on_the_hub_only_the_configuration_is_fetched(hub_with, files, kind):
    fetched = hub_with(files)
    assert hub_kind("owner/name") == kind
    assert fetched() == {name for name in files if name in CONFIGS}


def test_a_hub_model_of_neither_kind_is_refused(hub_with):
    hub_with(["model-q4.gguf"])
    with pytest.raises(UserError, match=r"neither adapter_config.json nor config.json(?s:.*)NAME=FILE.gguf"):
        hub_kind("owner/name")
