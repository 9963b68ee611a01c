"""The local server of `medbench view`: answers GET and HEAD on the loopback interface, and changes nothing."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import signal
import socketserver
import sys
import threading
import webbrowser
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from harness.console import Terminal, print_error
from harness.logs import log_fault
from harness.viewing.run_index import RunIndex
from reports.errors import UserError
from reports.page.run_query import Query
from reports.page.view import view_page
from training.stopping import Stopped

ADDRESS = "127.0.0.1"
_HOST = re.compile(rf"({re.escape(ADDRESS)}|localhost)(:\d{{1,5}})?", re.IGNORECASE)  # any port: it may be forwarded
_READ_SECONDS = 2.0  # of new results before a page is answered; the rest is read by the next ones
_SOCKET_SECONDS = 30.0
_RUN_PARTS = 3  # of the path /runs/ID/FILE
_TYPES = {".html": "text/html", ".md": "text/plain", ".json": "application/json"}
# Reports come from anyone: in a sandbox without an origin, their scripts reach neither other pages nor any network.
_SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_OPENER = {"Cross-Origin-Opener-Policy": "same-origin"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Response:
    """The answer to a request.

    Attributes:
        status: Its status.
        content: The body, open for reading.
        size: Length of the body in bytes.
        type: Media type.
        policy: Content security policy.
        headers: Further headers.
    """

    status: HTTPStatus
    content: BinaryIO
    size: int
    type: str = "text/plain"
    policy: str = _NOTHING
    headers: dict[str, str] = field(default_factory=dict)


def respond(index: RunIndex, target: str, hosts: list[str]) -> Response:
    """Answer a GET or HEAD request.

    Args:
        index: The runs.
        target: Path and query of the request.
        hosts: Its Host headers. A page from elsewhere whose name was rebound to this machine has its own name there.
    """
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        return _text(HTTPStatus.FORBIDDEN, f"open this page as http://{ADDRESS}:PORT/")
    path, _, query = target.partition("?")
    if path == "/":
        page, policy = view_page(index.listing(_READ_SECONDS), Query.parse(query))
        body = page.encode()
        # Not of reports: browsers refuse to show a page that has both an opener policy and a sandbox.
        return Response(HTTPStatus.OK, io.BytesIO(body), len(body), "text/html", policy, _OPENER)
    parts = path.removeprefix("/").split("/")
    if len(parts) == _RUN_PARTS and parts[0] == "runs":
        file = index.open(*parts[1:])
        if file is not None:
            suffix = Path(parts[2]).suffix
            policy = _SANDBOX if suffix == ".html" else _NOTHING
            return Response(HTTPStatus.OK, file, os.fstat(file.fileno()).st_size, _TYPES[suffix], policy)
    return _text(HTTPStatus.NOT_FOUND, "there is no such page; the runs are listed at /")


def _text(status: HTTPStatus, text: str, **headers: str) -> Response:
    body = f"{status.value}: {text}\n".encode()
    return Response(status, io.BytesIO(body), len(body), headers=headers)


class _Server(ThreadingHTTPServer):
    """Listens on the loopback interface.

    Attributes:
        index: The runs.
    """

    daemon_threads = True

    def __init__(self, port: int, index: RunIndex) -> None:
        self.index = index
        super().__init__((ADDRESS, port), _Handler)

    def server_bind(self) -> None:
        """Bind without looking up the machine's name, which can take long without a network."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a connection that was closed too early."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _Server
    timeout = _SOCKET_SECONDS
    server_version = "medbench"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page or a file."""
        try:
            response = respond(self.server.index, self.path, self.headers.get_all("Host") or [])
        except Exception as error:  # noqa: BLE001 - the others are answered; a traceback may quote data
            print_error(log_fault(error))
            response = _text(HTTPStatus.INTERNAL_SERVER_ERROR, "an error in medbench; the terminal has the details")
        self._send(response)

    do_HEAD = do_GET  # noqa: N815 - as http.server names it

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer what is not HTTP, or another method."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send(_text(HTTPStatus.METHOD_NOT_ALLOWED, "this page is read-only", Allow="GET, HEAD"))
        else:
            self._send(_text(HTTPStatus(code), "the request cannot be read"))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        """Print nothing for each request."""

    def _send(self, response: Response) -> None:
        with closing(response.content) as content:
            self.send_response(response.status)
            headers = {
                "Content-Type": f"{response.type}; charset=utf-8",
                "Content-Length": str(response.size),
                "Content-Security-Policy": response.policy,
            }
            for name, value in {**headers, **_HEADERS, **response.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                shutil.copyfileobj(content, self.wfile)


def serve(folder: Path, *, port: int | None, open_browser: bool, terminal: Terminal) -> None:
    """Serve a page of the runs below a folder until Ctrl-C.

    Args:
        folder: The folder.
        port: Port on the loopback interface; a free one if None.
        open_browser: Whether to open the page in the user's browser.
        terminal: Prints the address.

    Raises:
        UserError: There is no such folder, or the port cannot be used.
    """
    index = RunIndex(folder)
    with listen(port, index) as server:
        address = f"http://{ADDRESS}:{server.server_address[1]}/"
        terminal.say(f"runs in {folder}: {address}")
        terminal.say("press Ctrl-C to stop")
        if open_browser and _has_browser():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        except Stopped as stop:
            if stop.number != signal.SIGINT:
                raise


def listen(port: int | None, index: RunIndex) -> ThreadingHTTPServer:
    """A server of the runs that listens on a port of the loopback interface, a free one if None.

    Raises:
        UserError: The port cannot be used.
    """
    try:
        return _Server(port or 0, index)
    except OSError as error:
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else f"cannot listen there ({error.strerror})"
        if port is None:
            raise UserError(reason, where="medbench view", fix="check the loopback interface 127.0.0.1") from error
        raise UserError(reason, where=f"--port {port}", fix="leave --port out to use a free one") from error


def _has_browser() -> bool:
    """Whether opening a page would show a window: a browser in the terminal would take it over."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
