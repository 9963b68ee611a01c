"""Asks an endpoint what the causes of a difference are found in: log-probabilities, its own prompts, answers twice."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.engines.served.replies import InvalidReplyError, answer, prompt_count
from harness.releases.endpoint_causes import STOP_TOKENS, Observation
from reports.errors import MachineError, UserError
from tasks.data import DataSource, load_reasoning
from tasks.formats import get_format
from tasks.rendering import encode, render_prompt

if TYPE_CHECKING:
    from harness.engines.served.served_model import ServedModel
    from tasks.chat import ChatSettings

_ITEMS = 8
_TARGET_TOKENS = 64
_ANSWER_TOKENS = 32


def observe(model: ServedModel, format_name: str, chat: ChatSettings, longest: int) -> list[Observation]:
    """Replies of an endpoint about medbench's own held-out samples, and about one prompt as long as a run's longest.

    Args:
        model: The endpoint, asked leniently (`strict` is off).
        format_name: Answer format of the prompts.
        chat: How questions become prompts.
        longest: Tokens of the longest request of the run.
    """
    shape, tokenizer = get_format(format_name), model.tokenizer
    rows = load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=0)[:_ITEMS]
    items = []
    for row in rows:
        prompt = tuple(encode(tokenizer, render_prompt(tokenizer, shape, row.question, chat)))
        gold = tokenizer(shape.completion(row.reasoning, row.response), add_special_tokens=False).input_ids
        one = Observation(prompt, tuple(gold[:_TARGET_TOKENS]), whole=(*prompt, *gold))
        items.append((shape.user_turn(row.question), one))
    long = _repeated([one.prompt[1:] + one.target for _, one in items], longest)
    with ThreadPoolExecutor(4) as pool:
        observed = list(pool.map(lambda item: _observe(model, chat, *item), items))
        start = items[0][1].prompt[:1]
        cut = pool.submit(_scored, model, Observation((*start, *long), items[0][1].target)).result()
    return [*observed, cut]


def _repeated(texts: Sequence[tuple[int, ...]], length: int) -> tuple[int, ...]:
    """Tokens of texts, one after another and again from the first, up to a length."""
    tokens = tuple(token for text in texts for token in text)
    return (tokens * (length // max(len(tokens), 1) + 1))[:length]


def _observe(model: ServedModel, chat: ChatSettings, turn: str, one: Observation) -> Observation:
    one = _scored(model, one)
    system = [{"role": "system", "content": chat.system}] if chat.system else []
    messages = [*system, {"role": "user", "content": turn}]
    tokens = _tokenized(model, messages)
    answers, count, ended = [], None, True
    for _ in range(2):
        reply = _chat(model, messages)
        if reply is None:
            break
        text, ended, count = reply
        answers.append(tuple(model.tokenizer(text, add_special_tokens=False).input_ids))
    one = replace(one, chat_prompt=tokens, chat_counted=count, answers=tuple(answers), ended=ended)
    stops = _stops(model, one.whole)
    return replace(one, whole=()) if stops is None else replace(one, stops=stops)


def _stops(model: ServedModel, tokens: tuple[int, ...]) -> bool | None:
    """Whether the endpoint ends its answer at once after some tokens; None if it does not continue prompts."""
    if model.dialect.prompts == "chat":
        return None
    try:
        given = answer(model.ask(tokens, {"max_tokens": STOP_TOKENS, "temperature": 0}), len(model.tokenizer))
    except MachineError:
        raise
    except (UserError, InvalidReplyError):  # it refuses or cuts the prompt, or its reply is none
        return None
    return given.finish_reason == "stop" and not given.text.strip()


def _scored(model: ServedModel, one: Observation) -> Observation:
    """With the log-probabilities of the target, and how many tokens the endpoint read."""
    whole = (*one.prompt, *one.target)
    one = replace(one, sent=len(whole))
    try:
        one = replace(one, counted=prompt_count(model.ask(whole, {"max_tokens": 1, "temperature": 0}, counted=False)))
        if model.dialect.whole:
            scores = model.score(whole, len(one.target))
            one = replace(one, logprobs=tuple(score.logprob for score in scores))
    except MachineError:
        raise
    except UserError:  # it refuses the prompt, or its reply is of another one
        pass
    return one


def _tokenized(model: ServedModel, messages: list[dict[str, str]]) -> tuple[int, ...] | None:
    """Token ids that the endpoint's chat template makes of messages; None if it does not tell them (as vLLM does)."""
    body = {"model": model.served_name, "messages": messages, "add_generation_prompt": True}
    try:
        tokens = model.client.post("/tokenize", body).get("tokens")
    except (UserError, MachineError):
        return None
    return tuple(tokens) if isinstance(tokens, list) and all(isinstance(token, int) for token in tokens) else None


def _chat(model: ServedModel, messages: list[dict[str, str]]) -> tuple[str, bool, int | None] | None:
    """(greedy answer, whether it ended by itself, tokens of the prompt) of the chat endpoint; None if it has none."""
    body: dict[str, Any] = {"model": model.served_name, "messages": messages}
    body |= {"max_tokens": _ANSWER_TOKENS, "temperature": 0}
    try:
        reply = model.client.post("chat/completions", body)
    except UserError:
        return None
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return (text, choice.get("finish_reason") == "stop", prompt_count(reply)) if isinstance(text, str) else None
