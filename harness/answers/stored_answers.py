"""Responses of engines in the answer store: opening it, and reading and writing single responses."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.answers.answer_keys import answer_key
from harness.answers.answer_store import AnswerStore
from harness.console import Terminal
from harness.engines.interface import Cost, GenerateResponse, ModelRequest, Response, ScoreResponse
from reports.errors import UserError
from reports.home import medbench_home

LIMIT = "MEDBENCH_CACHE_GB"
_DEFAULT_GB = 4.0
SETUP = b"setup"  # prefix of the keys that are no answer's
_FILE = "answers.sqlite"


def open_store() -> AnswerStore | None:
    """The user's store; None if `MEDBENCH_CACHE_GB` is 0, or medbench's folder is not writable.

    Raises:
        UserError: The variable is not a number.
    """
    given = os.environ.get(LIMIT, str(_DEFAULT_GB))
    try:
        limit = float(given)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UserError(f"{given!r} is no size", where=LIMIT, fix="write a number of GB, or 0 to run without the store")
    folder = medbench_home() / "answers"
    if limit == 0 or not _is_writable(folder):
        return None
    return AnswerStore(folder / _FILE, int(limit * 1e9))


@contextlib.contextmanager
def opened_store(terminal: Terminal) -> Iterator[AnswerStore | None]:
    """The answer store, closed at the end; reports damaged files."""
    store = open_store()
    try:
        yield store
    finally:
        if store is not None:
            for path in store.set_aside:
                terminal.say(
                    f"note: the answer store was damaged or of another version; set aside as {path.name}",
                    style="yellow",
                )
            store.close()


class ResponseCache:
    """The store, for the models of one plan.

    Args:
        store: None stores and finds nothing.
        keys: Key of each model's responses by its name (`harness.answers.answer_keys.store_key`).
        reads: Whether responses of earlier runs are used; new ones are stored anyway.
    """

    def __init__(self, store: AnswerStore | None, keys: Mapping[str, bytes], *, reads: bool = True) -> None:
        self._store = store
        self._keys = dict(keys)
        self._reads = reads
        self._loaded: dict[ModelRequest, Response | None] = {}

    def load(self, requests: Sequence[ModelRequest]) -> dict[int, Response]:
        """Responses of earlier runs by index in `requests`; loading these again, or a part of them, reads nothing."""
        if self._store is None or not self._reads:
            return {}
        if any(request not in self._loaded for request in requests):
            keys = {request: answer_key(self._keys[request.model], request.request) for request in requests}
            values = self._store.get(list(keys.values()))
            self._loaded = {request: _decode(values.get(key)) for request, key in keys.items()}
        loaded = ((index, self._loaded[request]) for index, request in enumerate(requests))
        return {index: response for index, response in loaded if response is not None}

    def recorded(self, request: ModelRequest) -> Response | None:
        """The response of an earlier run to one of the requests that were loaded last."""
        return self._loaded.get(request)

    def put(self, request: ModelRequest, response: Response) -> None:
        """Store a response."""
        self._loaded.pop(request, None)
        if self._store is not None:
            self._store.put(answer_key(self._keys[request.model], request.request), _encode(response))

    def find_setup(self) -> dict[str, Any]:
        """How the engine behind the responses was set up, without the seconds of its start."""
        values = {} if self._store is None else self._store.get([self._setup_key])
        return {name: value for setup in values.values() for name, value in json.loads(setup).items()}

    def keep_setup(self, setup: Mapping[str, Any]) -> None:
        """Store how the engine was set up."""
        lasting = {name: value for name, value in setup.items() if name != "start_seconds"}
        if self._store is not None and self.find_setup() != lasting:
            self._store.put(self._setup_key, json.dumps(lasting).encode())

    @property
    def _setup_key(self) -> bytes:
        return SETUP + hashlib.blake2b(b"".join(sorted(self._keys.values())), digest_size=20).digest()


def _encode(response: Response) -> bytes:
    cost = [response.cost.seconds, response.cost.latency, response.cost.peak_memory]
    if isinstance(response, ScoreResponse):
        value: list[Any] = [cost, _packed(response.logprobs), response.greedy]
    else:
        value = [cost, response.text, response.tokens, response.finish_reason]
    return json.dumps(value, separators=(",", ":")).encode()


def _decode(value: bytes | None) -> Response | None:
    """The response, or None if there is none or it is not in this version's form."""
    with contextlib.suppress(ValueError, TypeError):
        cost, *rest = json.loads(value or b"")
        reused = replace(Cost(*cost), reused=True)
        if len(rest) == 2:  # noqa: PLR2004 - see `_encode`
            return ScoreResponse(_unpacked(rest[0]), bool(rest[1]), reused)
        text, tokens, reason = rest
        return GenerateResponse(text, tuple(tokens), reason, reused)
    return None


def _packed(logprobs: array[float]) -> str:
    """An array of float32 as text: its bytes, little-endian, in base 64."""
    return base64.b64encode(np.asarray(logprobs, "<f4").tobytes()).decode()


def _unpacked(text: Any) -> array[float]:
    """The array; the earlier form, a single number, raises a TypeError."""
    return array("f", np.frombuffer(base64.b64decode(text, validate=True), "<f4").tolist())


def _is_writable(folder: os.PathLike[str]) -> bool:
    try:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    except OSError:
        return False
    return os.access(folder, os.W_OK)
