"""Engines as installed packages: an entry point in a temporary distribution on the path, and an engine of hashes."""

import hashlib
import sys
from array import array
from types import SimpleNamespace
from typing import ClassVar

from harness.engines.interface import CAPABILITIES, Cost, GenerateRequest, GenerateResponse, ScoreRequest, ScoreResponse


def install_engine(folder, name, target, package="medbench-plugin", version="1.0", group="medbench.engines"):
    """Write the metadata of an installed package with one engine; `folder` must be on the path."""
    metadata = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")


def use_engine(monkeypatch, folder, engine, name):
    """Install an engine class under a name for one test."""
    install_engine(folder, name, f"medbench_{name}:Engine")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, f"medbench_{name}", SimpleNamespace(Engine=engine))


class HashEngine:
    """Responds with a hash of the request, so that responses do not depend on batches.

    Attributes:
        before_each: Called with the number of requests of a block before each response.
        announced: Requests of which the engine was told at its start.
        received: Requests that it was asked.
    """

    capabilities = CAPABILITIES
    before_each = staticmethod(lambda _: None)
    announced: ClassVar[set] = set()
    received: ClassVar[set] = set()

    def __init__(self, config):
        self.setup = {"start_seconds": 0.0}
        self.announced.update(request.request for request in config.requests)

    def respond(self, requests):
        """One response after another."""
        self.received.update(request.request for request in requests)
        for index, (model, request) in enumerate(requests):
            self.before_each(len(requests))
            yield index, hash_response(model, request)

    def close(self):
        """Nothing to release."""


def hash_response(model, request):
    """A response that depends on nothing but model and request."""
    number = int.from_bytes(hashlib.sha256(f"{model} {request}".encode()).digest()[:4])
    cost = Cost(0.25, 0.5, 1000)
    if isinstance(request, GenerateRequest):
        text = f"Thinking: {number} is it.\n#### {number % 20}"
        return GenerateResponse(text, (1, number % 9), "length" if number % 7 == 0 else "stop", cost)
    tokens = request.continuation if isinstance(request, ScoreRequest) else request.tokens
    return ScoreResponse(array("f", [-(number % 4096) / 64] * len(tokens)), number % 2 == 0, cost)
