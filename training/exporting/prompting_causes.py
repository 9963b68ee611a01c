"""Finds out in what the tokenizer, chat template and end tokens of a shipped model differ from the evaluated one's.

Prompts are compared as text, which the chat template decides, and as tokens, which the tokenizer does. Other programs
encode a rendered prompt with the tokenizer's own start token, so that it is there twice where the template writes it
too; medbench's own prompts have it once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from reports.document.verification import CauseKey
from reports.errors import UserError
from tasks.chat import turn_end
from tasks.rendering import encode, load_tokenizer, render_prompt
from training.exporting.causes import Cause, first_difference
from training.models.base_model import configured_ends

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tasks.chat import ChatSettings
    from tasks.formats import AnswerFormat

_SHOWN = 60  # characters of a text in a message


@dataclass(frozen=True)
class _Prompt:
    """A prompt as a tokenizer and its template make it.

    Attributes:
        text: The rendered text without start tokens.
        tokens: Ids without start tokens.
        starts: Number of start tokens before them in medbench's own prompts.
        added: The same where the tokenizer adds its own in any case.
    """

    text: str
    tokens: list[int]
    starts: int
    added: int


def find_prompting_causes(
    reference: str,
    target: Path,
    questions: Sequence[str],
    answer_format: AnswerFormat,
    chat: ChatSettings,
) -> list[Cause]:
    """Compare prompts and end tokens of a folder with those of the evaluation, token by token.

    Args:
        reference: Name of the tokenizer of the evaluation, see `tasks.rendering.load_tokenizer`.
        target: The folder that is shipped, with its tokenizer, chat template and generation settings.
        questions: The questions to render.
        answer_format: The format of the answers that the prompts request.
        chat: How questions become prompts.

    Raises:
        UserError: A tokenizer cannot be loaded, or the chat template of the evaluation fails.
    """
    own, other = load_tokenizer(reference), load_tokenizer(str(target))
    marks = {str(tokenizer.bos_token) for tokenizer in (own, other) if tokenizer.bos_token}
    first: dict[CauseKey, Cause] = {}
    for item, question in enumerate(questions):
        text = render_prompt(own, answer_format, question, chat)
        try:
            other_text = render_prompt(other, answer_format, question, chat)
        except UserError as error:
            first.setdefault(
                "template", Cause("template", f"{error.what} (sample question {item + 1})", {"item": item})
            )
            other_text = text
        same_text = _prompt(other, text, marks)
        prompts = _prompt(own, text, marks), _prompt(other, other_text, marks)
        for cause in _differences(item, *prompts, same_text, own, other):
            first.setdefault(cause.key, cause)
    return [*first.values(), *_end_causes(own, other, target, chat)]


def _prompt(tokenizer: PreTrainedTokenizerBase, text: str, marks: Collection[str]) -> _Prompt:
    """A rendered text as tokens.

    A start token that begins every turn, as SmolLM2's, counts as one too: one more before it is a fault all the same.

    Args:
        tokenizer: The tokenizer.
        text: The text.
        marks: Start tokens of both tokenizers.
    """
    numbers = {tokenizer.get_vocab().get(mark) for mark in marks}
    tokens, added = encode(tokenizer, text), tokenizer(text).input_ids
    starts, most = (sum(1 for _ in takewhile(numbers.__contains__, ids)) for ids in (tokens, added))
    while mark := next((mark for mark in marks if text.lstrip().startswith(mark)), ""):
        text = text.lstrip().removeprefix(mark)
    return _Prompt(text, tokens[starts:], starts, most)


def _differences(
    item: int,
    own: _Prompt,
    other: _Prompt,
    same_text: _Prompt,
    tokenizer: PreTrainedTokenizerBase,
    others: PreTrainedTokenizerBase,
) -> Iterator[Cause]:
    """Causes in one prompt.

    Args:
        item: Number of the question.
        own: The evaluated prompt.
        other: The target's.
        same_text: The evaluated text with the target's tokenizer.
        tokenizer: The evaluated tokenizer.
        others: The target's.
    """
    evidence: dict[str, float | str]
    if own.text != other.text:
        place = first_difference(own.text, other.text)
        shown = [text[place : place + _SHOWN] for text in (own.text, other.text)]
        what = "the chat template writes another prompt" if others.chat_template else "there is no chat template"
        evidence = {
            "item": item,
            "character": place,
            "token": first_difference(own.tokens, other.tokens),
            "expected": shown[0],
            "actual": shown[1],
        }
        where = f"first at character {place:,} of sample question {item + 1}"
        yield Cause("template", f"{what}, {where}: {shown[1]!r} instead of {shown[0]!r}", evidence)
    if own.tokens != same_text.tokens:
        place = first_difference(own.tokens, same_text.tokens)
        names = [_token(some, ids, place) for some, ids in ((tokenizer, own.tokens), (others, same_text.tokens))]
        what = (
            f"the tokenizer reads the same text as other tokens, first at token {place:,} of sample question {item + 1}"
        )
        evidence = {"item": item, "token": place, "expected": names[0], "actual": names[1]}
        yield Cause("tokenizer", f"{what}: {names[1]} instead of {names[0]}", evidence)
    added = other.added if own.text == other.text else same_text.added  # what another template leaves out is its fault
    evidence = {"item": item, "token": 0, "expected": own.starts, "actual": added}
    start = tokenizer.bos_token or others.bos_token
    if added < own.starts:
        what = f"the prompt begins without the start token {start}, which the evaluated one has"
        yield Cause("missing_bos", what, evidence)
    elif added > max(own.starts, own.added):
        what = f"the prompt begins with {added} start tokens ({start}) instead of {own.starts}"
        yield Cause("double_bos", what, evidence)


def _token(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], place: int) -> str:
    if place >= len(ids):
        return "nothing"
    return f"{str(tokenizer.convert_ids_to_tokens(ids[place]))[:_SHOWN]!r} ({ids[place]})"


def _end_causes(
    own: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase, target: Path, chat: ChatSettings
) -> list[Cause]:
    """The cause in the tokens that end an answer."""
    end = turn_end(own, chat)
    expected = () if end.text else end.tokens  # a text of several tokens is in no settings
    configured = configured_ends(target)
    names = [str(own.convert_ids_to_tokens(token)) for token in expected]
    evidence: dict[str, float | str] = {
        "expected": ", ".join(names),
        "generation_settings": ", ".join(map(str, sorted(configured))) or "none",
        "tokenizer": str(other.eos_token),
    }
    missing = [name for name, token in zip(names, expected, strict=True) if token not in configured]
    if missing:
        what = f"answers end with {', '.join(missing)}, which is not among the end tokens of the generation settings"
        there = ", ".join(str(other.convert_ids_to_tokens(token)) for token in sorted(configured)) or "there are none"
        return [Cause("end_token", f"{what} ({there}): answers go on to the limit", evidence)]
    if own.eos_token != other.eos_token:
        what = f"the tokenizer's end token is {other.eos_token} instead of {own.eos_token}"
        return [Cause("end_token", what, evidence | {"expected": str(own.eos_token)})]
    return []
