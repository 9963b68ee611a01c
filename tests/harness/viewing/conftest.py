"""A running server of a folder, and requests to it as a browser or an attacker makes them."""

import http.client
import threading
from contextlib import ExitStack

import pytest

from harness.viewing.run_index import RunIndex
from harness.viewing.server import listen


@pytest.fixture
def start():
    """Serve a folder; returns the port."""
    with ExitStack() as stack:

        def serve(folder):
            server = stack.enter_context(listen(None, RunIndex(folder)))
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
            return server.server_address[1]

        yield serve


@pytest.fixture
def request_from():
    """Send a request and return status, headers and body."""

    def send(port, path="/", method="GET", hosts=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for host in [f"127.0.0.1:{port}"] if hosts is None else hosts:
            connection.putheader("Host", host)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, response.headers, body

    return send
