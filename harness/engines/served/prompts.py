"""Prompts in the form that a server takes: token ids, text that encodes to the same tokens, or chat messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Tokens = tuple[int, ...]
_SYSTEM, _USER, _ANSWER = "\x01", "\x02", "\x03"  # stand for the turns' contents, to see what a template writes between


def decode(tokenizer: PreTrainedTokenizerBase, tokens: Tokens) -> str:
    """Tokens as text with special tokens."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def prompt_text(tokenizer: PreTrainedTokenizerBase, tokens: Tokens) -> str | None:
    """A prompt's text, or None if the tokenizer would make other tokens of it."""
    text = decode(tokenizer, tokens)
    return text if tokenizer.encode(text, add_special_tokens=False) == list(tokens) else None


def chat_messages(tokenizer: PreTrainedTokenizerBase, tokens: Tokens) -> list[dict[str, str]] | None:
    """The messages of which the tokenizer's chat template makes this prompt; None if there are none."""
    if not tokenizer.chat_template:
        return None
    text = decode(tokenizer, tokens)
    for system in ([], [{"role": "system", "content": _SYSTEM}]):
        turns = [{"role": role, "content": text} for role, text in (("user", _USER), ("assistant", _ANSWER))]
        around = _rendered(tokenizer, [*system, *turns, turns[0]])
        if around is None or around.count(_USER) != 2 or around.count(_ANSWER) != 1:  # noqa: PLR2004
            continue
        start, to_answer, rest = around.partition(_USER)[0], *around.partition(_USER)[2].split(_ANSWER)
        to_user, end = rest.split(_USER)
        messages = []
        body = text.removeprefix(start)
        if system:
            before, _, start = start.partition(_SYSTEM)
            content, _, body = text.removeprefix(before).partition(start)
            messages.append({"role": "system", "content": content})
        if not (body.endswith(end) and to_user and to_answer):
            continue
        *shots, question = body.removesuffix(end).split(to_user)
        for shot in shots:
            earlier, _, answer = shot.partition(to_answer)
            messages += [{"role": "user", "content": earlier}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": question})
        if _rendered(tokenizer, messages) == text:
            return messages
    return None


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str | None:
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except UserError:  # no system turn, for one
        return None
