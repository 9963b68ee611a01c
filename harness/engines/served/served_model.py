"""One model of a server, asked in the dialect that the server understands."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from harness.engines.answer_text import AnswerEnd
from harness.engines.interface import GenerateRequest
from harness.engines.served.client import ServedClient
from harness.engines.served.prompts import Tokens, chat_messages, decode, prompt_text
from harness.engines.served.replies import (
    Answer,
    InvalidReplyError,
    TokenScore,
    answer,
    echoed_scores,
    next_scores,
    prompt_count,
    prompt_scores,
)
from reports.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.answers import FinishReason

Prompts = Literal["token ids", "text", "chat"]
_Value = TypeVar("_Value")
_GREEDY = {"max_tokens": 1, "temperature": 0}
# vLLM's settings: no tokens around the prompt, and ids in replies in place of texts, which may be those of several.
_EXACT = {"add_special_tokens": False, "return_tokens_as_token_ids": True}
_MOST_CUT = 8  # tokens by which a chat template's own may vary without a prompt being cut


@dataclass(frozen=True)
class Dialect:
    """How a server is asked for one of its models.

    Attributes:
        prompts: Form of the prompts; `chat` is /chat/completions, the others /completions.
        extras: Whether the server takes settings beyond OpenAI's.
        limit: Name of the setting for the number of new tokens.
        adds_start: Whether the server puts the tokenizer's first token before texts.
        whole: How it gives the log-probabilities of a prompt's tokens, or None.
        next_ids: Whether it gives those of any tokens that are named, for the first new token.
        top: Number of most likely tokens of which it gives those of the first new token.
        added: Tokens by which its own chat template makes prompts longer than ours.
    """

    prompts: Prompts = "token ids"
    extras: bool = True
    limit: str = "max_tokens"
    adds_start: bool = False
    whole: Literal["prompt_logprobs", "echo"] | None = None
    next_ids: bool = False
    top: int = 0
    added: int = 0


@dataclass(frozen=True)
class ServedModel:
    """Requests to one model of a server; may be used by several threads.

    Attributes:
        name: Name in the run.
        served_name: Name on the server.
        others: Names of the server's other models, none of which may reply instead.
        strict: Whether a reply to another prompt than ours is an error.
    """

    name: str
    served_name: str
    client: ServedClient
    tokenizer: PreTrainedTokenizerBase
    end: AnswerEnd
    dialect: Dialect = Dialect()
    others: frozenset[str] = frozenset()
    strict: bool = True

    def score(self, prompt: Tokens, count: int) -> list[TokenScore]:
        """Scores of the last `count` tokens of a prompt."""
        read, settings = (
            (prompt_scores, {"prompt_logprobs": 0})
            if self.dialect.whole == "prompt_logprobs"
            else (echoed_scores, {"echo": True, "logprobs": 1})
        )
        reply = self.ask(prompt, {**_GREEDY, **settings})
        return self._read(lambda: read(reply, prompt, count, strict=self.strict))

    def score_next(self, prompt: Tokens, tokens: Collection[int]) -> dict[int, TokenScore]:
        """Scores of all next tokens that the server lists: of the most likely ones, or also of `tokens`."""
        if self.dialect.next_ids:
            settings = {"logprobs": 1, "logprob_token_ids": sorted(tokens)}
        else:
            settings = {"logprobs": self.dialect.top}
        reply = self.ask(prompt, {**_GREEDY, **settings})
        return self._read(lambda: next_scores(reply, self.tokenizer))

    def generate(self, request: GenerateRequest, prompt: Tokens, limit: int) -> tuple[str, Tokens, FinishReason]:
        """(text, tokens, why it ended) of an answer to a prompt, which may be shorter than the request's."""
        settings: dict[str, Any] = {
            self.dialect.limit: limit,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        if request.stop:
            settings["stop"] = list(request.stop)
        if self.dialect.extras:
            settings |= {
                "repetition_penalty": 1.0,  # the model's own generation settings may have another
                "stop_token_ids": sorted(self.end.ends),
                "skip_special_tokens": False,  # so that a stop string may contain one
                "return_token_ids": True,
            }
            if request.temperature:
                settings |= {"top_k": request.top_k or -1, "min_p": 0.0}
        elif request.top_k:
            raise self.error("the server takes no top_k", "set scoring.top_k=0")
        reply = self.ask(prompt, settings)
        return self._answer(self._read(lambda: answer(reply, len(self.tokenizer))), request.stop)

    def ask(self, prompt: Tokens, settings: dict[str, Any], *, counted: bool = True) -> dict[str, Any]:
        """The server's reply to a prompt.

        Args:
            prompt: Token ids.
            settings: Of the request.
            counted: Whether to compare the number of tokens that the server read with those of the prompt.

        Raises:
            UserError: The server refuses, another model replies, or it has read another number of tokens.
        """
        body, path, expected = {"model": self.served_name, **settings}, "completions", len(prompt)
        if self.dialect.prompts == "chat":
            path = "chat/completions"
            messages = chat_messages(self.tokenizer, prompt)
            body["messages"] = messages or [{"role": "user", "content": decode(self.tokenizer, prompt)}]
            expected += self.dialect.added if messages else 0
        else:
            body["prompt"] = list(prompt) if self.dialect.prompts == "token ids" else self._text(prompt)
            body |= _EXACT if self.dialect.extras else {}
        reply = self.client.post(path, body)
        if reply.get("model") in self.others:
            what = f"the server answered {self.served_name!r} with another of its models: {reply['model']!r}"
            raise self.error(what, "check its adapters and routes")
        count = prompt_count(reply)
        if counted and self.strict and count is not None:
            self.check_count(expected, count)
        return reply

    def check_count(self, sent: int, count: int) -> None:
        """Compare the number of tokens of a prompt, in the server's template, with what the server read.

        Raises:
            UserError: They differ, by more than a chat template varies.
        """
        difference = count - sent
        if difference == 0 or (self.dialect.prompts == "chat" and difference >= -_MOST_CUT):
            return
        if difference < 0:
            cause, fix = (
                "it cuts prompts",
                "start the server with a longer context, or set scoring.served.context to its own",
            )
        elif difference == 1:
            cause = "it adds a token, probably a second beginning-of-text token"
            fix = "turn off the server's own special tokens, or use one that takes token ids as prompts"
        else:
            cause, fix = "it applies a template of its own", "turn the server's template off for /completions"
        raise self.error(f"the server read {count} tokens of a prompt of {sent}: {cause}", fix)

    def error(self, what: str, fix: str) -> UserError:
        """A fault of this model's server."""
        return UserError(what, where=f"{self.client.url}#{self.served_name}", fix=fix)

    def _read(self, read: Callable[[], _Value]) -> _Value:
        try:
            return read()
        except InvalidReplyError as error:
            fix = "update the server, or serve the model with another, such as vLLM"
            raise self.error(f"the server's reply {error}", fix) from error

    def _text(self, prompt: Tokens) -> str:
        text = prompt_text(self.tokenizer, prompt)
        if text is None:
            what = "the server takes prompts as text only, and a prompt's text has other tokens than the prompt"
            raise self.error(what, "serve the model with a server that takes token ids, such as vLLM")
        start = self.tokenizer.bos_token or ""
        return text.removeprefix(start) if self.dialect.adds_start else text

    def _answer(self, given: Answer, stop: tuple[str, ...]) -> tuple[str, Tokens, FinishReason]:
        if given.tokens:
            return self.end.text(given.tokens, stop), given.tokens, given.finish_reason
        text = given.text
        for string in (*stop, *(decode(self.tokenizer, (token,)) for token in sorted(self.end.ends))):
            text = text.split(string, maxsplit=1)[0]
        tokens = tuple(self.tokenizer.encode(text, add_special_tokens=False))
        if given.finish_reason == "stop" and not given.ends_at_string and self.end.ends:
            tokens = (*tokens, min(self.end.ends))  # which one, such servers do not say
        return text, tokens, given.finish_reason
