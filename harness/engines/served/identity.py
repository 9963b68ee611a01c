"""Recognises a served model by its replies: a server that loads other weights under a name reports the same facts."""

from __future__ import annotations

from typing import Any

from harness.engines.served.client import RefusedError, ServedClient
from harness.engines.served.replies import InvalidReplyError, answer
from reports.errors import UserError
from reports.files import sha256_value
from training.recipes.recipe import ServedSection

_PROMPTS = (
    "The patient was admitted with chest pain, and the first thing to",
    "List the side effects of this medicine in order:",
    "1, 1, 2, 3, 5, 8,",
)
_TOKENS = 16
_ANY_TOKEN = 1 << 40


def reply_hash(url: str, served_name: str, settings: ServedSection) -> str:
    """Hash of a model's greedy replies to fixed prompts; empty if the server refuses them."""
    client = ServedClient(url, settings)
    try:
        return sha256_value([_reply(client, served_name, prompt) for prompt in _PROMPTS])
    except (UserError, InvalidReplyError):
        return ""
    finally:
        client.close()


def _reply(client: ServedClient, served_name: str, prompt: str) -> str:
    body: dict[str, Any] = {"model": served_name, "max_tokens": _TOKENS, "temperature": 0}
    try:
        reply = client.post("completions", {**body, "prompt": prompt})
    except RefusedError:
        reply = client.post("chat/completions", {**body, "messages": [{"role": "user", "content": prompt}]})
    return answer(reply, _ANY_TOKEN).text
