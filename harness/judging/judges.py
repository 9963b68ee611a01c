"""The judge: a model behind a server that takes chat messages, or a base or whole model on this machine."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.engines.kinds import served_identity
from harness.engines.served.client import FailingError, RefusedError, ServedClient
from harness.engines.served.replies import InvalidReplyError, answer, prompt_count
from harness.engines.served.workers import run_jobs
from reports.errors import UserError
from reports.files import sha256_value
from reports.json_text import dumps
from reports.version import __version__

if TYPE_CHECKING:
    from harness.answers.answer_store import AnswerStore
    from tasks.judging.prompts import JudgePrompt
    from training.models.model import Model
    from training.recipes.recipe import ServedSection

_ANY_TOKEN = 1 << 40
_CHARACTERS_PER_TOKEN = 4  # of English text, for estimates
_PROBE_TOKENS = 24
_PROBE = dumps(  # a schema that only one object fits
    {
        "type": "object",
        "properties": {"medbench": {"type": "boolean", "enum": [True]}},
        "required": ["medbench"],
        "additionalProperties": False,
    }
)
_LIMITS = ("max_tokens", "max_completion_tokens")  # OpenAI's newer models take only the second


@dataclass(frozen=True)
class JudgeReply:
    """What a judge replied to a prompt.

    Attributes:
        text: The reply.
        ending: `stop`, `length` if it was cut, `refused` if the server says so, `failed` if the judge did not take the
            prompt, such as one that is too long.
        prompt_tokens: Tokens of the prompt, or None if unknown.
        output_tokens: Tokens of the reply, or None if unknown.
        json_schema: Whether the reply was requested by JSON schema.
    """

    text: str
    ending: Literal["stop", "length", "refused", "failed"]
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    json_schema: bool = False


class Judge(Protocol):
    """Replies to prompts, and stores each reply as it comes so that nothing is asked twice.

    Attributes:
        model: The judge.
        facts: What its server reports about it; empty on this machine.
    """

    model: Model
    facts: dict[str, str]

    def stored(self, prompts: Sequence[JudgePrompt]) -> dict[JudgePrompt, JudgeReply]:
        """Replies of earlier runs."""
        ...

    def count_tokens(self, prompt: JudgePrompt) -> int:
        """Tokens of a prompt, estimated where the tokenizer is the server's."""
        ...

    def ask(self, prompts: Sequence[JudgePrompt]) -> Iterator[tuple[JudgePrompt, JudgeReply]]:
        """The replies in the order in which they are complete."""
        ...

    def close(self) -> None:
        """Release connections or memory."""
        ...


class ServedJudge:
    """A judge behind an OpenAI-compatible server, asked by chat messages; see `Judge`.

    Args:
        model: The served model.
        settings: `scoring.served` of the recipe.
        seed: Seed of the replies.
        store: The answer store; None keeps nothing.
        reads: Whether replies of earlier runs are used.
        record: File of the run folder in which it is kept how servers replied.
        say: Called with a line that says that replies given before are requested again.

    Raises:
        UserError: The server cannot be reached, or lacks the model.
    """

    def __init__(
        self,
        model: Model,
        settings: ServedSection,
        *,
        seed: int,
        store: AnswerStore | None,
        reads: bool = True,
        record: Path,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.model = model
        self.facts, identity = served_identity(model, settings, record, say)
        self._settings, self._seed, self._store, self._reads = settings, seed, store, reads
        self._client = ServedClient(model.url, settings)
        self._key = sha256_value(["judge", __version__, identity, seed])

    def stored(self, prompts: Sequence[JudgePrompt]) -> dict[JudgePrompt, JudgeReply]:
        """Replies of earlier runs."""
        if self._store is None or not self._reads:
            return {}
        values = self._store.get([self._store_key(prompt) for prompt in prompts])
        stored = {prompt: values.get(self._store_key(prompt)) for prompt in prompts}
        return {prompt: JudgeReply(*json.loads(value)) for prompt, value in stored.items() if value is not None}

    def count_tokens(self, prompt: JudgePrompt) -> int:
        """Tokens of a prompt by its characters."""
        return (len(prompt.system) + len(prompt.user)) // _CHARACTERS_PER_TOKEN

    def ask(self, prompts: Sequence[JudgePrompt]) -> Iterator[tuple[JudgePrompt, JudgeReply]]:
        """The replies in the order in which the server completes them."""
        form = self._form(prompts[0])

        def reply(prompt: JudgePrompt) -> JudgeReply:
            try:
                return self._reply(prompt, form)
            except RefusedError as error:
                return JudgeReply(error.what, "failed")

        for prompt, given in run_jobs(prompts, reply, self._settings.concurrency, self._client.end):
            if self._store is not None and given.ending != "failed":
                fields = [given.text, given.ending, given.prompt_tokens, given.output_tokens, given.json_schema]
                self._store.put(self._store_key(prompt), json.dumps(fields).encode())
            yield prompt, given

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _form(self, prompt: JudgePrompt) -> dict[str, Any]:
        """The settings that the server takes: JSON schema only if its replies keep to one, which some servers ignore.

        Raises:
            UserError: It takes none of them.
        """
        refusals: list[UserError] = []
        for limit, schema in itertools.product(_LIMITS, (_PROBE, "")):
            short = replace(prompt, user="Name a fruit.", schema=schema, max_new_tokens=_PROBE_TOKENS)
            form = {"limit": limit, "schema": bool(schema)}
            try:
                reply = self._client.post("chat/completions", self._body(short, form))
            except (RefusedError, FailingError) as error:  # some servers fail at a setting that they do not know
                refusals.append(error)
                continue
            if not schema or _keeps_to_probe(reply):
                return form
        raise refusals[-1]

    def _body(self, prompt: JudgePrompt, form: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model.served_name,
            "messages": prompt.messages,
            "temperature": 0,
            "seed": self._seed,
            form["limit"]: prompt.max_new_tokens,
        }
        if form["schema"]:
            schema = {"name": "rating", "strict": True, "schema": json.loads(prompt.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _reply(self, prompt: JudgePrompt, form: dict[str, Any]) -> JudgeReply:
        given = self._client.post("chat/completions", self._body(prompt, form))
        try:
            read = answer(given, _ANY_TOKEN)
        except InvalidReplyError as error:
            fix = "update the server, or serve the judge with another, such as vLLM"
            raise UserError(f"the server's reply {error}", where=self.model.source, fix=fix) from error
        message, usage = given["choices"][0].get("message"), given.get("usage")
        refusal = message.get("refusal") if isinstance(message, dict) else None
        count = usage.get("completion_tokens") if isinstance(usage, dict) else None
        return JudgeReply(
            read.text or str(refusal or ""),
            "refused" if refusal and not read.text else read.finish_reason,
            prompt_count(given),
            count if type(count) is int and count >= 0 else None,
            form["schema"],
        )

    def _store_key(self, prompt: JudgePrompt) -> bytes:
        return hashlib.sha256(dumps([self._key, prompt.sha256]).encode()).digest()


def _keeps_to_probe(reply: dict[str, Any]) -> bool:
    """Whether a reply is the only one that the probe's schema allows."""
    try:
        return bool(json.loads(answer(reply, _ANY_TOKEN).text) == {"medbench": True})
    except (ValueError, InvalidReplyError):
        return False
