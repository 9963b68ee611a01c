"""An OpenAI-compatible server at its edge, on a port of this machine, which may misbehave in every way."""

from __future__ import annotations

import contextlib
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

END = 1  # token that ends answers: "<|end|>" of the tests' tokenizers
EVERYTHING = frozenset(
    {"token ids", "text", "chat", "extras", "prompt_logprobs", "echo", "logprobs", "logprob_token_ids"}
)


class Raw(NamedTuple):
    """A reply in place of the usual one."""

    status: int
    data: bytes
    headers: Mapping[str, str] = MappingProxyType({})


def hashed(*values) -> int:
    return zlib.crc32(repr(values).encode())


def next_token(model: str, prefix: tuple[int, ...]) -> int:
    """The most likely next token."""
    number = hashed(model, prefix)
    return END if number % 13 == 0 else 40 + number % 50


def logprob(model: str, prefix: tuple[int, ...], token: int) -> float:
    return -0.25 if token == next_token(model, prefix) else -1 - hashed(model, prefix, token) % 1000 / 100


@dataclass
class FakeServer:
    """What a server takes and gives, and what it was sent.

    Attributes:
        can: Of `EVERYTHING`.
        models: Its list of models.
        change: Changes a reply, given the request.
        instead: A reply in place of the usual one, given path and request; None for the usual one.
        adds: Tokens that it puts before every prompt.
        context: Tokens of a prompt that it reads; the others are cut off without a word.
        ignores_names: Whether its first model answers for all.
        sent: (path, request, headers) of everything it was sent.
    """

    tokenizer: Any
    can: frozenset[str] = EVERYTHING
    models: tuple[dict[str, Any], ...] = (
        {"id": "base", "root": "folder", "max_model_len": 256, "created": 5},
        {"id": "tuned", "root": "adapter", "parent": "base", "max_model_len": None},
    )
    change: Callable[[dict, dict], dict] = lambda request, reply: reply
    instead: Callable[[str, dict], Raw | None] = lambda path, request: None
    adds: tuple[int, ...] = ()
    context: int = 100_000
    ignores_names: bool = False
    sent: list[tuple[str, dict, dict]] = field(default_factory=list)
    url: str = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeServer]:
        """Serve until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def scored(self) -> list[dict]:
        """Requests that were sent to it for completions."""
        return [request for path, request, _ in self.sent if path.endswith("completions")]

    def reply(self, path: str, request: dict) -> Raw:
        """What it answers."""
        raw = self.instead(path, request)
        if raw is not None:
            return raw
        pages = {"/v1/models": {"object": "list", "data": list(self.models)}, "/version": {"version": "1.2.3"}}
        if not path.endswith("completions"):
            return _json(200, pages[path]) if path in pages else _json(404, {"detail": "Not Found"})
        if request["model"] not in {model["id"] for model in self.models}:
            return _json(404, {"error": {"message": f"The model `{request['model']}` does not exist."}})
        if refusal := self._refusal(path, request):
            return _json(400, {"error": {"message": refusal, "code": 400}})
        return _json(200, self.change(request, self._completion(path, request)))

    def _refusal(self, path: str, request: dict) -> str:
        if path.endswith("chat/completions"):
            form = "chat"
        else:
            form = "text" if isinstance(request["prompt"], str) else "token ids"
        if form not in self.can:
            return f"takes no {form}"
        if request.get("repetition_penalty") is not None and "extras" not in self.can:
            return "Unrecognized request argument supplied: repetition_penalty"
        if request.get("logprobs", 0) > 20:
            return "at most 20"
        return ""

    def _completion(self, path: str, request: dict) -> dict:
        is_chat = path.endswith("chat/completions")
        if is_chat:
            tokens = self.tokenizer.apply_chat_template(
                request["messages"], add_generation_prompt=True, return_dict=False
            )
        elif isinstance(request["prompt"], str):
            tokens = self.tokenizer.encode(request["prompt"], add_special_tokens=False)
        else:
            tokens = request["prompt"]
        tokens = (*self.adds, *tokens)[-self.context :]
        model = self.models[0]["id"] if self.ignores_names else request["model"]
        answer = self._answer(model, tokens, request)
        new = answer["tokens"]
        choice: dict[str, Any] = {"index": 0, "finish_reason": answer["reason"], "logprobs": None}
        choice |= {"message": {"content": answer["text"]}} if is_chat else {"text": answer["text"]}
        if request.get("return_token_ids") and "extras" in self.can:
            choice["token_ids"] = list(new)
        if "prompt_logprobs" in request and "prompt_logprobs" in self.can:
            choice["prompt_logprobs"] = [None, *(_entry(model, tokens, place) for place in range(1, len(tokens)))]
        if request.get("echo") and "echo" in self.can:
            choice["logprobs"] = self._listed(model, (), (*tokens, *new), request)
        elif request.get("logprobs") and "logprobs" in self.can and not request.get("echo"):
            choice["logprobs"] = self._listed(model, tokens, new, request)
        usage = {"prompt_tokens": len(tokens), "completion_tokens": len(new)}
        return {"model": request["model"], "choices": [choice], "usage": usage}

    def _answer(self, model: str, prompt: tuple[int, ...], request: dict) -> dict[str, Any]:
        new: list[int] = []
        for _ in range(request.get("max_tokens") or request["max_completion_tokens"]):
            new.append(next_token(model, (*prompt, *new)))
            text = self.tokenizer.decode(new, skip_special_tokens=True)
            if new[-1] == END:
                return {"tokens": new, "text": text, "reason": "stop"}
            for stop in request.get("stop", ()):
                if stop in text:
                    return {"tokens": new, "text": text.split(stop)[0], "reason": "stop"}
        return {"tokens": new, "text": self.tokenizer.decode(new, skip_special_tokens=True), "reason": "length"}

    def _listed(self, model: str, prefix: tuple[int, ...], tokens: tuple[int, ...], request: dict) -> dict:
        tops: list[dict[str, float] | None] = []
        for place, token in enumerate(tokens):
            before = (*prefix, *tokens[:place])
            named = request.get("logprob_token_ids", ()) if "logprob_token_ids" in self.can else ()
            likely = {token, next_token(model, before), *named, *range(30, 30 + request["logprobs"] - 1)}
            tops.append({self._name(other, request): logprob(model, before, other) for other in likely})
        names = [self._name(token, request) for token in tokens]
        values: list[float | None] = [(top or {})[name] for top, name in zip(tops, names, strict=True)]
        if not prefix:
            values[0] = tops[0] = None
        return {"tokens": names, "token_logprobs": values, "top_logprobs": tops}

    def _name(self, token: int, request: dict) -> str:
        if request.get("return_tokens_as_token_ids") and "extras" in self.can:
            return f"token_id:{token}"
        return str(self.tokenizer.decode([token]))


def _entry(model: str, tokens: tuple[int, ...], place: int) -> dict:
    token, before = tokens[place], tuple(tokens[:place])
    rank = 1 if token == next_token(model, before) else 2
    return {str(token): {"logprob": logprob(model, before, token), "rank": rank, "decoded_token": "?"}}


def _json(status: int, value: Any) -> Raw:
    return Raw(status, json.dumps(value).encode(), {"content-type": "application/json"})


class _Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and content in one packet: a second one waits 40 ms for the first to be acknowledged

    def handle_any(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = json.loads(data) if data else {}
        self.fake.sent.append((self.path, request, dict(self.headers)))
        raw = self.fake.reply(self.path, request)
        with contextlib.suppress(OSError):
            self.send_response(raw.status)
            for name, value in {"content-length": str(len(raw.data)), **raw.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw.data)

    do_GET = do_POST = handle_any  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""
