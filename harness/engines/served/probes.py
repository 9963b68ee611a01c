"""Probes of a server before anything is asked: which requests it takes, and whether it does what it is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.engines.interface import GenerateRequest
from harness.engines.served.client import RefusedError
from harness.engines.served.prompts import Tokens, chat_messages
from harness.engines.served.replies import prompt_count
from harness.engines.served.served_model import Dialect, ServedModel
from reports.errors import MachineError, UserError

_TEXTS = (
    "A 54-year-old man has had chest pain for two hours. The most likely diagnosis is",
    "Question: Does aspirin lower the risk of a second stroke?\nAnswer:",
    "The three most common side effects of metformin are",
)
_TOPS = (20, 5)  # most likely tokens that servers list
_NEW_TOKENS = 16
_EQUAL = 1e-6  # nats
_FORMS = (
    Dialect(),
    Dialect(extras=False),
    Dialect("text"),
    Dialect("text", extras=False),
    Dialect("chat"),
    Dialect("chat", extras=False),
    Dialect("chat", extras=False, limit="max_completion_tokens"),
)


def probe_prompts(model: ServedModel) -> list[Tokens]:
    """Short prompts with the tokenizer's first token."""
    start = model.tokenizer.bos_token_id
    encoded = (model.tokenizer.encode(text, add_special_tokens=False) for text in _TEXTS)
    return [(*([] if start is None else [start]), *tokens) for tokens in encoded]


def with_dialect(model: ServedModel) -> tuple[ServedModel, list[str]]:
    """The model with the first form of request that its server takes, and notes on what that changes.

    Raises:
        UserError: The server takes none, or reads other prompts than it is sent.
    """
    prompt, refusals = probe_prompts(model)[1], []
    for form in _FORMS:
        attempt = replace(model, dialect=form)
        if form.prompts == "chat":
            prompt = _chat_prompt(model) or prompt
        try:
            reply = _reply(attempt, prompt)
        except RefusedError as error:
            refusals.append(error)
            continue
        except MachineError:
            if form.prompts != "token ids":
                raise
            continue  # some servers fail at a list of token ids
        count = prompt_count(reply)
        if form.prompts == "text" and count == len(prompt) + 1 and model.tokenizer.bos_token_id is not None:
            attempt = replace(attempt, dialect=replace(form, adds_start=True))
            count = prompt_count(_reply(attempt, prompt))
        model, notes = _counted(attempt, prompt, count)
        if (named := reply.get("model")) != model.served_name:
            notes.append(f"its replies name another model: {str(named)[:80]!r}")
        return model, notes
    raise refusals[-1]


def _chat_prompt(model: ServedModel) -> Tokens | None:
    """A short question in the tokenizer's chat template, if it has one."""
    if not model.tokenizer.chat_template:
        return None
    messages = [{"role": "user", "content": _TEXTS[-1]}]
    ids = model.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return tuple(ids)


def _reply(model: ServedModel, prompt: Tokens) -> dict[str, Any]:
    settings = {model.dialect.limit: 1, "temperature": 0}
    if model.dialect.extras:
        settings["repetition_penalty"] = 1
    return model.ask(prompt, settings, counted=False)


def _counted(model: ServedModel, prompt: Tokens, count: int | None) -> tuple[ServedModel, list[str]]:
    notes = []
    if count is None:
        notes.append("it does not report how many tokens it read, so cut prompts are only noticed by log-probabilities")
    if model.dialect.prompts == "chat":
        added = 0 if count is None else count - len(prompt)
        if added and chat_messages(model.tokenizer, prompt):
            direction = "longer" if added > 0 else "shorter"
            notes.append(f"its own chat template makes prompts {abs(added)} tokens {direction} than ours")
        return replace(model, dialect=replace(model.dialect, added=added)), notes
    if count is not None and count != len(prompt):
        if model.strict:
            model.check_count(len(prompt), count)
        notes.append(f"it read {count} tokens of a prompt of {len(prompt)}")
    return model, notes


def with_log_likelihoods(model: ServedModel) -> tuple[ServedModel, str]:
    """The model with the ways in which its server gives log-probabilities; or why it gives none."""
    if model.dialect.prompts == "chat":
        return model, "it only takes chat messages"
    prompt = probe_prompts(model)[0]
    rare = {model.tokenizer.encode(sign, add_special_tokens=False)[-1] for sign in "@}"}
    why = ""
    forms: list[dict[str, Any]] = [{"whole": "prompt_logprobs"}, {"whole": "echo"}, {"next_ids": True}]
    for form in [*forms, *({"top": top} for top in _TOPS)]:
        dialect = model.dialect
        if ("whole" in form and dialect.whole) or (
            "top" in form and (dialect.whole or dialect.next_ids or dialect.top)
        ):
            continue
        attempt = replace(model, dialect=replace(dialect, **form))
        try:
            if "whole" in form:
                scores = attempt.score(prompt, len(prompt) - 1)
            else:
                listed = attempt.score_next(prompt, rare)
                if len(listed) < 2 or not (rare <= listed.keys() or "top" in form):  # noqa: PLR2004
                    continue
                scores = list(listed.values())
        except UserError as error:
            why = why or ("" if isinstance(error, RefusedError) else error.what)
            continue
        if all(math.isfinite(score.logprob) for score in scores):
            model = attempt
        else:
            why = why or "its log-probabilities are no finite numbers"
    dialect = model.dialect
    return model, "" if dialect.whole or dialect.next_ids or dialect.top else why or "it gives no log-probabilities"


def check_greedy(model: ServedModel) -> list[str]:
    """Notes on whether the same prompts get the same greedy answers twice."""
    if greedy_answers(model) == greedy_answers(model):
        return []
    why = "it may ignore the temperature, or its answers depend on its load"
    return [f"it answers the same prompt differently at temperature 0: {why}"]


def greedy_answers(model: ServedModel) -> list[str]:
    """Short greedy answers to the probes."""
    request = GenerateRequest((), _NEW_TOKENS)
    return [model.generate(request, prompt, _NEW_TOKENS)[0] for prompt in probe_prompts(model)]


def answer_alike(model: ServedModel, other: ServedModel) -> bool:
    """Whether two models differ by no more than one of them from itself, as where a server ignores the name."""
    if not (model.dialect.whole and other.dialect.whole):
        return greedy_answers(model) == greedy_answers(other)
    own, again, others = _scores(model), _scores(model), _scores(other)
    return _distance(own, others) <= max(_distance(own, again), _EQUAL)


def _scores(model: ServedModel) -> list[float]:
    return [score.logprob for prompt in probe_prompts(model) for score in model.score(prompt, len(prompt) - 1)]


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(value - another) for value, another in zip(one, other, strict=True))
