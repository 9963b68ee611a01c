"""What tests of pushing share: a hub in memory, and a run whose folder may be changed."""

import inspect
import json
import shutil
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitInfo, HfApi, errors

from reports.document.reading import write_results
from reports.document.schema import Results

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
    write_results(run, Results.model_validate(value))
