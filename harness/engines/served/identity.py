"""Recognises a served model by its replies: a server that loads other weights under a name reports the same facts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.engines.served.client import RefusedError, ServedClient
from harness.engines.served.replies import InvalidReplyError, answer
from reports.errors import UserError
from reports.files import read_json, sha256_value, write_json
from reports.strict import Strict, checked
from training.recipes.recipe import ServedSection

_PROMPTS = (
    "The patient was admitted with chest pain, and the first thing to",
    "List the side effects of this medicine in order:",
    "1, 1, 2, 3, 5, 8,",
)
_TOKENS = 16
_ANY_TOKEN = 1 << 40
_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before another look at a model that replies otherwise than before

Replies = tuple[str, str, str]  # a hash of the reply to each prompt


class _Record(Strict):
    session: str = Field(default_factory=lambda: uuid.uuid4().hex)
    replies: dict[str, list[Replies]] = Field(default_factory=dict)


class ServedRecord:
    """How servers replied while the answers of a run folder were given.

    Args:
        path: File in which it is kept; where it is missing or broken, a new session begins.

    Attributes:
        session: Name of the session, part of the key of a server's answers.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._record = checked(_Record, read_json(path), what="a record of servers", where=str(path), fix="")
        except UserError:
            self._record = _Record()
            self._write()
        self.session = self._record.session

    def recognise(
        self, url: str, served_name: str, settings: ServedSection, say: Callable[[str], None] | None = None
    ) -> str:
        """Hash of a model's greedy replies to fixed prompts; empty if the server refuses them.

        In 16 bits near ties depend on what else the server computes. So a model that replies otherwise than before is
        looked at again for some seconds, until each of its earlier replies was seen; the hash is the earlier one then.

        Args:
            url: Address of the API.
            served_name: The model's name there.
            settings: `scoring.served` of the recipe.
            say: Called with a line that says that answers given before are requested again.

        Raises:
            UserError: It replied earlier and does not now.
        """
        earlier = self._record.replies.setdefault(f"{url}#{served_name}", [])
        client = ServedClient(url, settings)
        try:
            now = _recognised(lambda: _replies(client, served_name), earlier)
        except (UserError, InvalidReplyError) as error:
            if earlier and isinstance(error, UserError):  # as when it cannot be reached, which shows no other weights
                raise
            return ""
        finally:
            client.close()
        if now not in earlier:
            if earlier and say is not None:
                say(
                    f"{served_name} at {url} replies otherwise than when its stored answers were given (other"
                    " weights, or a server that is busy), so they are requested again"
                )
            earlier.append(now)
            self._write()
        return sha256_value(now)

    def _write(self) -> None:
        write_json(self._path, self._record.model_dump(mode="json"))


def _recognised(look: Callable[[], Replies], earlier: Sequence[Replies]) -> Replies:
    """Those of the earlier replies that are seen again, else the first that were seen now."""
    now = look()
    seen = set(enumerate(now))
    for wait in (*_WAITS, None) if earlier else ():
        for replies in earlier:
            if seen.issuperset(enumerate(replies)):
                return replies
        if wait is not None:
            time.sleep(wait)
            seen.update(enumerate(look()))
    return now


def _replies(client: ServedClient, served_name: str) -> Replies:
    first, second, third = (sha256_value(_reply(client, served_name, prompt)) for prompt in _PROMPTS)
    return first, second, third


def _reply(client: ServedClient, served_name: str, prompt: str) -> str:
    body: dict[str, Any] = {"model": served_name, "max_tokens": _TOKENS, "temperature": 0}
    try:
        reply = client.post("completions", {**body, "prompt": prompt})
    except RefusedError:
        reply = client.post("chat/completions", {**body, "messages": [{"role": "user", "content": prompt}]})
    return answer(reply, _ANY_TOKEN).text
