"""Turns training rows into token ids and labels: prompts are masked, answers and their end tokens learned."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.errors import UserError
from tasks.answer_parts import after_opened_thinking
from tasks.chat import ChatSettings, ChatTemplate, turn_end
from tasks.earlier_answers import earlier_answer_tokens
from tasks.formats import AnswerFormat, get_format
from tasks.rendering import encode, render_turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.data import ReasoningRow
    from training.recipes.recipe import Recipe

MASKED = -100


@dataclass(frozen=True)
class EncodedRow:
    """One row ready to train on.

    Attributes:
        input_ids: Tokens of prompt, answer and end token.
        labels: The same, with the prompt's tokens masked (-100); as long as `input_ids`.
        truncated: Whether the row was cut at the limit, and so lost its end token.
        altered_turns: Number of earlier answers that are not learned because the chat template alters them.
    """

    input_ids: list[int]
    labels: list[int]
    truncated: bool
    altered_turns: int = 0


@dataclass(frozen=True)
class EncodedRows:
    """All rows of a set, with what was dropped (ids of rows whose prompt alone fills the limit)."""

    rows: list[EncodedRow]
    dropped: list[str]

    @property
    def truncated(self) -> int:
        """How many rows were cut."""
        return sum(row.truncated for row in self.rows)

    def token_ids(self) -> Iterator[int]:
        """All tokens of all rows."""
        return itertools.chain.from_iterable(row.input_ids for row in self.rows)

    @property
    def altered_turns(self) -> int:
        """Number of earlier answers that are not learned."""
        return sum(row.altered_turns for row in self.rows)

    @property
    def trained_tokens(self) -> int:
        """How many tokens carry a loss."""
        return sum(label != MASKED for row in self.rows for label in row.labels)


def encode_row(
    tokenizer: PreTrainedTokenizerBase,
    answer_format: AnswerFormat,
    row: ReasoningRow,
    *,
    chat: ChatSettings | ChatTemplate,
    max_length: int,
) -> EncodedRow | None:
    """The encoded row, or None if the prompt leaves no room for anything to learn.

    Of a conversation, the answers of all turns are learned; of a plain text, all of it.
    """
    if row.is_text:
        ids, end = encode(tokenizer, row.response), turn_end(tokenizer, "never").tokens
        if tuple(ids[-len(end) :]) != end:  # a conversation as text often has the end token already
            ids += end
        labels = [MASKED, *ids[1:]]  # nothing predicts the first token
        return EncodedRow(ids[:max_length], labels[:max_length], truncated=len(ids) > max_length)
    messages = answer_format.messages(row.question, row.history)
    text = render_turns(tokenizer, answer_format, messages, chat)
    prompt = encode(tokenizer, text)
    completion = after_opened_thinking(text, answer_format.completion(row.reasoning, row.response))
    ids = [*prompt, *_answer(tokenizer, text, prompt, completion)]
    ids += turn_end(tokenizer, chat).tokens
    labels = [MASKED] * len(prompt) + ids[len(prompt) :]
    earlier = earlier_answer_tokens(tokenizer, answer_format, messages, text, chat)
    for tokens in filter(None, earlier):
        labels[tokens.start : tokens.stop] = ids[tokens.start : tokens.stop]
    labels = labels[:max_length]
    if all(label == MASKED for label in labels):
        return None
    return EncodedRow(ids[:max_length], labels, len(ids) > max_length, earlier.count(None))


def _answer(tokenizer: PreTrainedTokenizerBase, text: str, prompt: list[int], answer: str) -> list[int]:
    """The tokens of an answer as they follow its prompt, as scoring encodes them and models write them.

    Alone, some tokenizers (SentencePiece's) would begin it with a space. Where its first characters would join the
    prompt's last token, it is encoded alone, since the prompt stands when an answer is written.
    """
    whole = encode(tokenizer, text + answer)
    if whole[: len(prompt)] == prompt:
        return whole[len(prompt) :]
    alone: list[int] = tokenizer(answer, add_special_tokens=False).input_ids
    return alone


def check_vocabulary(ids: Iterable[int], tokenizer: PreTrainedTokenizerBase, rows: int | None) -> None:
    """Check that a model has an embedding for all tokens of a text.

    Args:
        ids: The tokens.
        tokenizer: The tokenizer that made them.
        rows: Rows of the model's embedding; None if unknown.

    Raises:
        UserError: A token has none; the message names it.
    """
    beyond = None if rows is None else next((number for number in ids if number >= rows), None)
    if beyond is not None:
        raise UserError(
            f"token id {beyond} ({tokenizer.convert_ids_to_tokens(beyond)}) is beyond the {rows} rows of the model's"
            " embedding",
            where=str(tokenizer.name_or_path),
            fix="resize the embeddings to the tokenizer (transformers' resize_token_embeddings) and save both, give the"
            " model with its own tokenizer, or choose a format.name whose markers it has",
        )


def encode_rows(tokenizer: PreTrainedTokenizerBase, recipe: Recipe, rows: Sequence[ReasoningRow]) -> EncodedRows:
    """All rows of a set in a recipe's answer format, up to its length.

    Raises:
        UserError: Nothing ends an answer, or no row is left to learn from.
    """
    end = turn_end(tokenizer, recipe.format.chat)
    if not end.tokens or (end.text and tokenizer.eos_token_id is None):
        raise UserError("the tokenizer has no end token, so answers could not learn to end", fix="set its eos_token")
    answer_format, max_length = get_format(recipe.format.name), recipe.trainer.max_length
    encoded, dropped = [], []
    for row in rows:
        one = encode_row(tokenizer, answer_format, row, chat=recipe.format.chat, max_length=max_length)
        if one is None:
            dropped.append(row.id)
        else:
            encoded.append(one)
    if not encoded:
        raise UserError(
            f"every one of the {len(rows)} rows has a prompt of {max_length} tokens or more, so nothing is learned",
            where="trainer.max_length",
            fix="raise it, such as --set trainer.max_length=2048",
        )
    return EncodedRows(encoded, dropped)
