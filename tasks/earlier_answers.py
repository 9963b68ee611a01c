"""Finds the answers of earlier turns in the rendered prompt of a conversation, which training learns too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.errors import UserError
from tasks.chat import ChatSettings, ChatTemplate, turn_end
from tasks.rendering import encode_with_offsets, render_turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.formats import AnswerFormat


def earlier_answer_tokens(
    tokenizer: PreTrainedTokenizerBase,
    answer_format: AnswerFormat,
    messages: list[dict[str, str]],
    prompt: str,
    chat: ChatSettings | ChatTemplate,
) -> list[range | None]:
    """The tokens of each earlier answer in a prompt, with what ends its turn.

    Args:
        tokenizer: Tokenizer of the model.
        answer_format: The format of the answers.
        messages: The messages that the prompt is rendered from.
        prompt: The prompt.
        chat: As the prompt was rendered.

    Returns:
        A range of indices into `encode(tokenizer, prompt)` for each assistant message; None for one that the chat
        template alters, as those of reasoning models do that leave out the reasoning of earlier turns.

    Raises:
        UserError: The answers cannot be found in the prompt, or the tokenizer has no character offsets.
    """
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    if not answers:
        return []
    if not tokenizer.is_fast:
        raise UserError(
            "conversations of several turns need a tokenizer with character offsets, which this one does not have",
            where="data.train",
            fix="train on conversations of a single turn",
        )
    spans = _spans(_pieces(tokenizer, answer_format, messages, chat), answers, prompt, _end(tokenizer, chat))
    _, offsets = encode_with_offsets(tokenizer, prompt)
    return [span and _tokens(span, offsets) for span in spans]


def _pieces(
    tokenizer: PreTrainedTokenizerBase,
    answer_format: AnswerFormat,
    messages: list[dict[str, str]],
    chat: ChatSettings | ChatTemplate,
) -> list[str]:
    """What the prompt holds before, between and after its earlier answers: the prompt of other answers, taken apart."""
    names, others = [], []
    for number, message in enumerate(messages):
        is_answer = message["role"] == "assistant"
        names += [f"answerofturn{number}end"] if is_answer else []
        others.append({**message, "content": names[-1]} if is_answer else message)
    rest, pieces = render_turns(tokenizer, answer_format, others, chat), []
    for name in names:
        before, _, rest = rest.partition(name)
        pieces.append(before)
    return [*pieces, rest]


def _spans(
    pieces: Sequence[str], answers: Sequence[str], prompt: str, turn_ending: str
) -> list[tuple[int, int] | None]:
    """(start, end) in characters of each answer with what ends its turn; None for an altered one."""
    spans: list[tuple[int, int] | None] = []
    position = len(pieces[0]) if prompt.startswith(pieces[0]) else -1
    for answer, following in zip(answers, pieces[1:], strict=True):
        is_verbatim = prompt.startswith(answer + following, position)
        end = position + len(answer) if is_verbatim else prompt.find(following, max(position, 0))
        if position < 0 or end < 0:
            raise UserError(
                "the chat template renders conversations so that their earlier answers cannot be found",
                where="format.chat_template",
                fix="set format.chat_template=never, or train on conversations of a single turn",
            )
        text = following.lstrip(" ")
        is_ended = bool(turn_ending) and text.startswith(turn_ending)
        after = len(following) - len(text) + len(turn_ending) if is_ended else 0
        spans.append((position, end + after) if is_verbatim else None)
        position = end + len(following)
    return spans


def _end(tokenizer: PreTrainedTokenizerBase, chat: ChatSettings | ChatTemplate) -> str:
    """What the chat template ends an answer with."""
    end = turn_end(tokenizer, chat)
    return end.text or "".join(map(str, tokenizer.convert_ids_to_tokens(list(end.tokens))))


def _tokens(span: tuple[int, int], offsets: Sequence[tuple[int, int]]) -> range:
    start, end = span
    inside = [index for index, (first, last) in enumerate(offsets) if first < end and last > start]
    return range(inside[0], inside[-1] + 1)
