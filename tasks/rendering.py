"""Turns a question into the exact prompt text and tokens that training, scoring and `ask` all use."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from reports.errors import UserError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.formats import AnswerFormat

ChatTemplate = Literal["auto", "never"]
# What templates that tell the model the date (Llama 3.1's and later) are given, their own default. With today's, the
# prompts of every day would be others.
_TODAY = dt.date(2024, 7, 26)


@functools.lru_cache(maxsize=8)
def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or hub id; loaded once a process, and without code of its own.

    Raises:
        UserError: There is none that transformers can load.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except BaseException as error:
        # Files of a stranger's fail in any way; a panic of the library in Rust is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(
            f"transformers cannot load its tokenizer: {first_line(error)[:300]}",
            where=name,
            fix="give a model with a tokenizer of a kind that transformers knows itself",
        ) from error


def render_prompt(
    tokenizer: PreTrainedTokenizerBase | None, answer_format: AnswerFormat, question: str, chat: ChatTemplate = "auto"
) -> str:
    """The prompt for one question, through the model's chat template where it has one and `chat` allows it.

    Some templates (DeepSeek-R1's) open the reasoning themselves. Where the format begins with that very marker it
    belongs to the answer, so it is removed here: the model writes it, training teaches it, and `split_answer` sees it.
    In other formats the prompt keeps it, and `tasks.answer_parts.opened_thinking` reads it from there.
    """
    turn = answer_format.user_turn(question)
    if chat == "never" or tokenizer is None or not tokenizer.chat_template:
        return turn + answer_format.plain_end
    prompt: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn}],
        tokenize=False,
        add_generation_prompt=True,
        date_string=_TODAY.strftime("%d %b %Y"),
        strftime_now=_TODAY.strftime,
    )
    opening = answer_format.sections[0].opening
    if opening and prompt.rstrip().endswith(opening):
        prompt = prompt.rstrip().removesuffix(opening)
    return prompt


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a prompt, with the model's own start token exactly once."""
    ids: list[int] = tokenizer(text, add_special_tokens=not _has_bos(tokenizer, text)).input_ids
    return ids


def _has_bos(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a text begins with the model's start token."""
    return bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)


def count_scored_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> int:
    """How many tokens lm-eval scores for `answer` after `prompt`.

    lm-eval moves white space at the end of a prompt to the answer and takes what remains of the joint encoding after
    the prompt's own tokens (`lm_eval.api.model.TemplateLM._encode_pair`); this counts the same tokens.
    """
    return len(encode(tokenizer, prompt + answer)) - len(encode(tokenizer, prompt.rstrip()))


def text_tokens(
    tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str, spans: Sequence[tuple[int, int]]
) -> list[list[int]] | None:
    """Which of the tokens that lm-eval scores for `answer` after `prompt` hold text of the answer's `spans`.

    A token that stands for characters within and outside a span, such as a full stop with the line breaks after it,
    belongs to the span.

    Args:
        tokenizer: The model's.
        prompt: The prompt.
        answer: The answer.
        spans: (start, end) of texts in characters of the answer, in their order.

    Returns:
        [first, last + 1] of the tokens of each span, numbered from the first that is scored; a token of two spans
        counts for the earlier one. None where the tokenizer does not say which characters a token stands for.
    """
    if not tokenizer.is_fast:
        return None
    offsets = tokenizer(
        prompt + answer, add_special_tokens=not _has_bos(tokenizer, prompt + answer), return_offsets_mapping=True
    ).offset_mapping
    # Some tokenizers leave white space out of a token's characters; it belongs to the token that follows.
    ends = list(itertools.accumulate((end for _, end in offsets), max, initial=0))
    done = first = len(encode(tokenizer, prompt.rstrip()))
    ranges = []
    for start, end in ((len(prompt) + start, len(prompt) + end) for start, end in spans):
        begun = [number for number in range(done, len(offsets)) if offsets[number][1] > start]
        held = [number for number in begun if min(offsets[number][0], ends[number]) < end]
        if held:
            done = held[-1] + 1
            ranges.append([held[0] - first, done - first])
    return ranges
