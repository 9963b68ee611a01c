"""A hub on this machine, with as much of the real one's API as fetching needs: gated, private and missing repositories.

Processes that tests start reach it over HTTP, at HF_ENDPOINT.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

REVISION = "0" * 40
_OK = 200
# (status, X-Error-Code) of a repository's files and of its description, as the hub answers.
REFUSALS: dict[str, tuple[int, str]] = {
    "owner/gated": (401, "GatedRepo"),
    "owner/gated-for-me": (403, "GatedRepo"),
    "owner/missing": (401, "RepoNotFound"),
    "owner/revised": (404, "RevisionNotFound"),
}


@dataclass(frozen=True)
class Repository:
    """A repository that the hub has.

    Attributes:
        folder: Its files.
        kind: `datasets` or `models`.
        is_gated: Whether its description says that its owner grants access.
        refuses: Whether its files are refused, as of a gated repository to those without access.
    """

    folder: Path
    kind: str = "datasets"
    is_gated: bool = False
    refuses: bool = False

    @property
    def card(self) -> dict[str, Any]:
        """The front matter of its README.md."""
        readme = self.folder / "README.md"
        text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
        return dict(yaml.safe_load(text.split("---")[1])) if text.startswith("---") else {}

    def describe(self, name: str, commit: str) -> dict[str, Any]:
        """The description that the API gives, with the sizes of its files."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        files = [(path.relative_to(self.folder).as_posix(), path.stat().st_size) for path in paths]
        siblings = [{"rfilename": path, "size": size, "blobId": "1" * 40} for path, size in files]
        gated = "manual" if self.is_gated else False
        return {"_id": "1", "id": name, "sha": commit, "gated": gated, "siblings": siblings, "cardData": self.card}


class _Server(ThreadingHTTPServer):
    repositories: Mapping[str, Repository]
    requests: list[str]


class _Hub(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path != "/":
            self.server.requests.append(f"{self.command} {path}")
        name = next((name for name in self.server.repositories if f"/{name}/" in f"{path}/"), None)
        if name is None or name in REFUSALS:
            self._answer()
        else:
            self._give(name, self.server.repositories[name], path)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _give(self, name: str, repository: Repository, path: str) -> None:
        """Describe a repository, or send one of its files."""
        commit = next((part for part in path.split("/") if len(part) == len(REVISION) and part.isalnum()), REVISION)
        if path.startswith(f"/api/{repository.kind}/"):
            self._send(200, "", repository.describe(name, commit))
            return
        file = repository.folder / path.partition("/resolve/")[2].partition("/")[2]
        if repository.refuses:
            self._send(403, "GatedRepo")
            return
        if path.startswith("/api/") or not file.is_file():
            self._send(404, "RepoNotFound" if path.startswith("/api/") else "EntryNotFound")
            return
        body = file.read_bytes()
        self.send_response(_OK)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _answer(self) -> None:
        name = next((name for name in REFUSALS if f"/{name}/" in f"{self.path}/"), None)
        if name is None:
            self._send(*((_OK, "") if self.path == "/" else (404, "RepoNotFound")), {})
        elif self.path.startswith("/api/") and "gated" in name:  # everyone may see that it is there
            self._send(200, "", {"_id": "1", "id": name, "sha": REVISION, "gated": "manual", "siblings": []})
        else:
            self._send(*REFUSALS[name], {"error": "refused"})

    def _send(self, status: int, code: str, value: object = None) -> None:
        is_tree = "/tree/" in self.path
        files = [{"type": "file", "path": "config.json", "size": 2, "oid": "1" * 40}]
        body = json.dumps(files if is_tree and status == _OK else value).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", f"refused: {code}")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def local_hub(repositories: Mapping[str, Repository] | None = None, requests: list[str] | None = None) -> Iterator[str]:
    """The address of a hub that runs meanwhile.

    Args:
        repositories: What it has, by id; may be changed meanwhile.
        requests: Gets `METHOD PATH` of each request, but for those that only ask whether the hub is there.
    """
    server = _Server(("127.0.0.1", 0), _Hub)
    server.repositories = {} if repositories is None else repositories
    server.requests = [] if requests is None else requests
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
