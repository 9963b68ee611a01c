"""HTTP client for OpenAI-compatible servers, whose replies are untrusted: bounded, validated, retried with back-off."""

from __future__ import annotations

import email.utils
import json
import math
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.engines.served.address import DEFAULT_KEY, api_key, checked_url
from reports.errors import MachineError, UserError, did_you_mean, first_line
from reports.secrets import HIDDEN
from reports.text import map_texts, replace_surrogates

if TYPE_CHECKING:
    import httpx

    from training.recipes.recipe import ServedSection

_MOST_BYTES = 32 << 20  # of a reply
_MOST_NAMES = 20  # in a message
_MOST_QUOTED = 300  # characters of a server's own message
_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_ASKED = 0.5, 30.0, 600.0  # seconds before another attempt
_TIMEOUTS = 2  # attempts that may time out; others would make a user wait for hours
_CONNECT = 10.0  # seconds
_FACT_SECONDS = 10.0  # for what only some servers report
# What servers report about themselves beside their list of models, by path: vLLM and Ollama, llama.cpp, TGI, SGLang.
_FACTS = {
    "/version": {"version": "version"},
    "/api/version": {"version": "version"},
    "/props": {
        "build_info": "version",
        "model_path": "root",
        "n_ctx": "max_model_len",
        "default_generation_settings.n_ctx": "max_model_len",
    },
    "/info": {"version": "version", "model_sha": "sha", "model_dtype": "dtype", "max_total_tokens": "max_model_len"},
    "/get_model_info": {"model_path": "root"},
}
_CARD = ("root", "parent", "max_model_len", "owned_by", "quantization")  # of a model in the list of models
_TOO_MANY = 429
_AGAIN = {408, 425, _TOO_MANY}  # and all 5xx
_OVERLOADED = "check that the server runs and what its log says, lower scoring.served.concurrency if it is overloaded"
_OVERLOADED += " (vLLM on a CPU with adapters fails at more than 1)"
_SLOW = "raise scoring.served.timeout or lower scoring.served.concurrency"
_BUSY = "wait, lower scoring.served.concurrency or raise scoring.served.retries"


class RefusedError(UserError):
    """A server refused a request for good (4xx), so that another form of it may be tried.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, what: str, status: int, *, where: str, fix: str) -> None:
        super().__init__(what, where=where, fix=fix)
        self.status = status


class FailingError(MachineError):
    """A server answered with failures (5xx, 429, no JSON), also after retries."""


@dataclass(eq=False)
class _AttemptError(Exception):
    """A failed attempt that may succeed later."""

    reason: str
    wait: float | None = None  # seconds, as the server asks
    is_timeout: bool = False
    is_answer: bool = False
    fix: str = _OVERLOADED


class ServedClient:
    """Sends requests to one server; may be used by several threads.

    Args:
        url: Address of the API, such as `http://localhost:8000/v1`.
        settings: Time limits, retries and the API key.
        transport: Replaces the network, for tests.

    Raises:
        UserError: The address holds credentials or is none, or the API key is missing.
    """

    def __init__(self, url: str, settings: ServedSection, transport: httpx.BaseTransport | None = None) -> None:
        import httpx

        self.url = checked_url(url)
        self._settings = settings
        self._key = api_key(self.url, settings)
        self._ended = threading.Event()
        headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {self._key}"} if self._key else {})
        limits = httpx.Limits(max_connections=settings.concurrency)
        self._http = httpx.Client(headers=headers, limits=limits, transport=transport)

    def get(self, path: str, *, optional: bool = False) -> Any:
        """JSON of a path below the server's address, or of one that starts with `/` at its root; see `post`.

        With `optional` the server has one attempt of a few seconds.
        """
        return self._attempt("GET", path, None, _FACT_SECONDS) if optional else self._call("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """JSON object that the server answers to a request.

        Raises:
            RefusedError: The server refuses it for good.
            MachineError: It cannot be reached or fails, also after retries.
            UserError: It wants an API key, or its reply is no JSON object.
        """
        reply = self._call("POST", path, body)
        if not isinstance(reply, dict):
            raise self._error(f"the server's reply to {path} is no JSON object", "check that it is OpenAI-compatible")
        return reply

    def end(self) -> None:
        """Let requests that are under way end, without retries."""
        self._ended.set()

    def close(self) -> None:
        """Close all connections."""
        self.end()
        self._http.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        timeouts = 0
        for attempt in range(self._settings.retries + 1):
            try:
                return self._attempt(method, path, body)
            except _AttemptError as failure:
                last = failure
            timeouts += last.is_timeout
            wait = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
            wait = wait if last.wait is None else last.wait
            is_last = attempt == self._settings.retries or timeouts == _TIMEOUTS or wait > _LONGEST_ASKED
            if is_last or self._ended.wait(wait):
                break
        again = "" if attempt == 0 else f", also after {attempt} {'retry' if attempt == 1 else 'retries'}"
        kind = FailingError if last.is_answer else MachineError
        fix = f"{last.fix}, and run the same command again; what is answered is kept"
        raise kind(f"{self._quoted(last.reason)}{again}", where=self.url, fix=fix)

    def _attempt(self, method: str, path: str, body: dict[str, Any] | None, most: float = math.inf) -> Any:
        import httpx

        seconds = min(self._settings.timeout, most)
        deadline, limit = time.monotonic() + seconds, f"{seconds:g} s"
        parts = urlsplit(self.url)
        url = f"{parts.scheme}://{parts.netloc}{path}" if path.startswith("/") else f"{self.url}/{path}"
        timeout = httpx.Timeout(seconds, connect=min(_CONNECT, seconds), pool=None)
        data = bytearray()
        try:
            with self._http.stream(method, url, json=body, timeout=timeout) as response:
                for chunk in response.iter_raw():
                    data += chunk
                    if len(data) > _MOST_BYTES:
                        what = f"the server's reply to {path} is larger than {_MOST_BYTES >> 20} MB"
                        raise self._error(what, "check that the address is that of an OpenAI-compatible server")
                    if time.monotonic() > deadline:
                        what = f"the server did not finish its reply within {limit}"
                        raise _AttemptError(what, is_timeout=True, fix=_SLOW)
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                raise _AttemptError("no server answers at this address") from error
            raise _AttemptError(f"the server did not answer within {limit}", is_timeout=True, fix=_SLOW) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            what = "no server answers" if isinstance(error, httpx.ConnectError) else "the connection broke"
            raise _AttemptError(f"{what}: {first_line(error)}") from error
        if not response.is_success:
            raise self._refusal(response, path, bytes(data))
        try:
            value = json.loads(data)
            if self._key and self._key.encode() in data.replace(b"\\/", b"/"):
                value = map_texts(value, self._quoted)
            return map_texts(value, replace_surrogates) if b"\\ud" in data.lower() else value
        except (ValueError, RecursionError) as error:
            fix = "check that the address is that of the API, which usually ends in /v1, and what the server's log says"
            what = f"the server's reply to {path} is no JSON, or is cut off"
            raise _AttemptError(what, is_answer=True, fix=fix) from error

    def _refusal(self, response: httpx.Response, path: str, data: bytes) -> Exception:
        status, said = response.status_code, self._quoted(_message(data))
        what = f"the server answers {path} with status {status}{f': {said}' if said else ''}"
        if status in _AGAIN or status >= 500:  # noqa: PLR2004
            fix = _BUSY if status == _TOO_MANY else _OVERLOADED
            return _AttemptError(what, _retry_after(response.headers.get("retry-after")), is_answer=True, fix=fix)
        if status in (401, 403):
            variable = self._settings.api_key_env or DEFAULT_KEY
            state = "the server refuses the key in it" if self._key else "it is not set or not sent"
            return self._error(what, f"put a valid API key into the environment variable {variable} ({state})")
        fix = "check the address and the name of the model; an address usually ends in /v1"
        return RefusedError(what, status, where=self.url, fix=fix)

    def _error(self, what: str, fix: str) -> UserError:
        return UserError(what, where=self.url, fix=fix)

    def _quoted(self, text: str) -> str:
        return text.replace(self._key, HIDDEN) if self._key else text


def list_models(client: ServedClient) -> dict[str, dict[str, str]]:
    """What the server's list of models says about each, by its name there; empty if it has no list."""
    try:
        listed = client.get("models")
    except (RefusedError, FailingError):
        return {}
    entries = listed.get("data") if isinstance(listed, dict) else None
    models = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(name := entry.get("id"), str):
            card = {key: str(entry[key]) for key in _CARD if isinstance(entry.get(key), str | int)}
            meta = entry.get("meta")  # of llama.cpp
            models[name] = card | (
                {key: str(meta[key]) for key in sorted(meta) if isinstance(meta[key], int)}
                if isinstance(meta, dict)
                else {}
            )
    return models


def server_facts(url: str, served_name: str, settings: ServedSection | None = None) -> dict[str, str]:
    """What a server reports about itself and one of its models; part of the key of stored answers and of results.

    `id`, and where they are reported `root`, `parent` (of an adapter), `max_model_len` (tokens; the parent's for an
    adapter without its own), `version`, and others. A server that loads other weights under the same name and path
    reports the same facts.

    Raises:
        UserError: The server cannot be reached, or lacks the model.
    """
    from training.recipes.recipe import ServedSection

    client = ServedClient(url, settings or ServedSection())
    try:
        models = list_models(client)
        if not models:
            _check_answers(client, served_name)
            models = {served_name: {"listed": "no"}}
        if served_name not in models:
            names = ", ".join(sorted(models)[:_MOST_NAMES]) or "none"
            raise UserError(
                f"the server has no model {served_name!r}; it lists: {names}",
                where=client.url,
                fix=did_you_mean(served_name, models) or "write one of these after the # of the address",
            )
        facts = {"id": served_name, **models[served_name]}
        for path, names_of in _FACTS.items():
            for key, value in _reported(client, path, names_of).items():
                facts.setdefault(key, value)
        parent = models.get(facts.get("parent", ""), {})
        if "max_model_len" in parent:
            facts.setdefault("max_model_len", parent["max_model_len"])
        return facts
    finally:
        client.close()


def _check_answers(client: ServedClient, served_name: str) -> None:
    """Ask a model that no list names, as behind `transformers serve`.

    Raises:
        UserError: The server does not answer with it.
    """
    body = {"model": served_name, "max_tokens": 1}
    try:
        client.post("completions", {**body, "prompt": "A"})
    except RefusedError:
        client.post("chat/completions", {**body, "messages": [{"role": "user", "content": "A"}]})


def _reported(client: ServedClient, path: str, names: dict[str, str]) -> dict[str, str]:
    """Facts below a path that not every server has; empty if it has none."""
    try:
        value = client.get(path, optional=True)
    except (UserError, _AttemptError):
        return {}
    facts: dict[str, str] = {}
    for place, name in names.items():
        member = value
        for key in place.split("."):
            member = member.get(key) if isinstance(member, dict) else None
        if isinstance(member, str | int):
            facts.setdefault(name, str(member)[:_MOST_QUOTED])
    return facts


def _message(data: bytes) -> str:
    """The message in a server's error, in one line of limited length."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = data.decode("utf-8", "replace")
    for key in ("error", "message", "detail"):
        value = value[key] if isinstance(value, dict) and key in value else value
    return " ".join(str(value).split())[:_MOST_QUOTED]


def _retry_after(value: str | None) -> float | None:
    """Seconds that a server asks to wait, from a number or a date; None if it asks for none."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if seconds < float("inf") else None
