"""A hub on this machine, with as much of the real one's API as fetching needs: gated, private and missing repositories.

Processes that tests start reach it over HTTP, at HF_ENDPOINT.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "0" * 40
_OK = 200
# (status, X-Error-Code) of a repository's files and of its description, as the hub answers.
REFUSALS: dict[str, tuple[int, str]] = {
    "owner/gated": (401, "GatedRepo"),
    "owner/gated-for-me": (403, "GatedRepo"),
    "owner/missing": (401, "RepoNotFound"),
    "owner/revised": (404, "RevisionNotFound"),
}


class _Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_GET  # noqa: N815 - http.server's name

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
def local_hub() -> Iterator[str]:
    """The address of a hub that runs meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
